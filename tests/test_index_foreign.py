"""Vectors that come back out of other libraries' FAISS files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import clustered

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import read_faiss_vectors
from dpr_rag.errors import CorpusError

VECTORS = clustered(300, 16)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "HNSW16", "IDMap,Flat", "IDMap2,Flat"])
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_vectors_come_back_in_order(tmp_path: Path, factory: str, metric: str) -> None:
    index = faiss.index_factory(16, factory, getattr(faiss, f"METRIC_{metric.upper()}"))
    index.train(VECTORS)
    if "IDMap" in factory:
        index.add_with_ids(VECTORS, np.arange(300)[::-1].copy())
    else:
        index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    found, named = read_faiss_vectors(tmp_path / "index.faiss")
    assert np.array_equal(found, VECTORS)
    assert named == metric


NO_TEXT = pytest.mark.skipif(sys.platform != "linux", reason="names are text there")


@NO_TEXT
def test_a_file_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    index = faiss.IndexFlatIP(16)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "i"))
    odd = (tmp_path / "i").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    assert np.array_equal(read_faiss_vectors(odd)[0], VECTORS)


@NO_TEXT
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_a_store_whose_name_is_no_text_has_every_kind_of_index(tmp_path: Path, index: str) -> None:
    passages = [Passage(str(at), f"passage {at}") for at in range(300)]
    place = tmp_path / os.fsdecode(b"caf\xe9")
    with PassageStore.open(place, index=index) as store:
        store.add(passages[:250], vectors=VECTORS[:250])
        store.optimize()
        store.add(passages[250:], vectors=VECTORS[250:])
        store.optimize()  # extends what was written
    with PassageStore.open(place, read_only=True) as store:
        assert store.info().index == index
        found = np.array([int(hits[0].passage.id) for hits in store.search(VECTORS, 1)])
        assert (found == (VECTORS @ VECTORS.T).argmax(axis=1)).mean() > 0.9
        assert store.check().indexed == 300


def test_compressed_vectors_come_back_closely(tmp_path: Path) -> None:
    index = faiss.index_factory(16, "SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "i"))
    assert np.abs(read_faiss_vectors(tmp_path / "i")[0] - VECTORS).max() < 0.05


def test_an_empty_index_is_empty(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatIP(16), str(tmp_path / "i"))
    assert read_faiss_vectors(tmp_path / "i")[0].shape == (0, 16)


def test_what_gives_no_vectors_is_named(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"this is no index file at all")
    broken = faiss.IndexFlatIP(2)
    broken.add(np.array([[1, np.nan]], dtype=np.float32))
    faiss.write_index(broken, str(tmp_path / "broken"))
    for name, said in (("noise", "cannot give its vectors back"), ("nowhere", "no such file"), ("broken", "NaN")):
        with pytest.raises(CorpusError, match=said) as caught:
            read_faiss_vectors(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def made(path: Path, factory: str) -> bytearray:
    index = faiss.index_factory(16, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    faiss.write_index(index, str(path))
    return bytearray(path.read_bytes())


def test_a_kind_on_which_faiss_crashes_ends_another_process(tmp_path: Path) -> None:
    made(tmp_path / "i", "IVF8,PQ4x4fs")
    with pytest.raises(CorpusError, match=r"ended by SIG\w+"):
        read_faiss_vectors(tmp_path / "i")


@pytest.mark.parametrize("count", [2**60, 2**40, 10**9])
@pytest.mark.parametrize("factory", ["Flat", "PQ4x4", "IVF8,Flat", "HNSW8"])
def test_a_file_that_claims_more_vectors_than_it_holds_is_refused(tmp_path: Path, factory: str, count: int) -> None:
    content = made(tmp_path / "i", factory)
    content[8:16] = count.to_bytes(8, "little")
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(CorpusError, match="cannot give its vectors back"):
        read_faiss_vectors(tmp_path / "i")


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "HNSW16", "SQ8", "PCA8,Flat"])
def test_a_truncated_file_is_refused(tmp_path: Path, factory: str) -> None:
    content = made(tmp_path / "i", factory)
    (tmp_path / "i").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorpusError, match="cannot give its vectors back"):
        read_faiss_vectors(tmp_path / "i")

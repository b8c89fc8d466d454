"""An index is held against the vectors beside it: what it holds of each, for every kind whose codes can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, clustered, make_passages

from dpr_rag import PassageStore
from dpr_rag.derived import SegmentDamagedError, file_checksum
from dpr_rag.errors import StoreCorrupted
from dpr_rag.index import ann, kinds, proving
from dpr_rag.index.building import finish_base, write_vectors
from dpr_rag.index.segments import FAISS, Base, Manifest, verify_base

DIM = 16
KINDS = [
    "hnsw",
    "hnsw-sq8",
    "ivf",
    "ivf-sq8",
    "ivf-rabitq",
    "sq8",
    "fp16",
    "rabitq",
    "IVF16,PQ4x4",
    "PQ4x4",
    "RR16,IVF16,SQ8",
]


def segment(folder: Path, vectors: np.ndarray, index: str) -> Manifest:
    folder.mkdir()
    plan = kinds.plan(index, passages=len(vectors), dim=DIM)
    rows = np.arange(1, len(vectors) + 1)
    written = write_vectors(folder, [(rows, vectors)], dim=DIM, dtype="float32")
    return finish_base(folder, written, plan, generation=1, dtype="float32")


def varied() -> np.ndarray:
    """Vectors around centres, with some that are long, zero or the same as others."""
    vectors = clustered(900, DIM)
    vectors[::50] *= 40
    vectors[7] = 0
    vectors[300:340] = vectors[100]
    return vectors


@pytest.mark.parametrize("index", KINDS)
def test_an_index_holds_the_vectors_that_it_was_built_from_and_no_others(index: str, tmp_path: Path) -> None:
    vectors = varied()
    base = Base(tmp_path / "a", segment(tmp_path / "a", vectors, index))
    verify_base(base, tmp_path / "a")
    assert base.ann is not None
    assert proving.holds(base.ann, base.matrix, sampled=True)
    vectors[[11, 612]] = vectors[[612, 11]]
    other = Base(tmp_path / "b", replace(segment(tmp_path / "b", vectors, "flat")))
    assert not proving.holds(base.ann, other.matrix)
    third = Base(tmp_path / "c", segment(tmp_path / "c", vectors[::-1], "flat"))
    assert not proving.holds(base.ann, third.matrix, sampled=True)


def test_kinds_whose_codes_cannot_be_read_one_by_one_are_taken_on_trust(tmp_path: Path) -> None:
    base = Base(tmp_path / "a", segment(tmp_path / "a", varied(), "PCA8,SQ8"))
    assert base.ann is not None
    assert proving.holds(base.ann, Base(tmp_path / "b", segment(tmp_path / "b", varied()[::-1], "flat")).matrix)


def exchange(folder: Path, manifest: Manifest, other: Path) -> Manifest:
    """Put another index beside the vectors, with checksums that fit."""
    (folder / FAISS).write_bytes((other / FAISS).read_bytes())
    return replace(manifest, files={**manifest.files, FAISS: file_checksum(folder / FAISS)})


def test_an_index_of_another_size_is_not_opened(tmp_path: Path) -> None:
    manifest = segment(tmp_path / "a", varied(), "sq8")
    segment(tmp_path / "b", varied()[:-1], "sq8")
    with pytest.raises(SegmentDamagedError, match="holds 899 vectors of 16 dimensions, expected 900 of 16"):
        Base(tmp_path / "a", exchange(tmp_path / "a", manifest, tmp_path / "b"))


def test_an_index_that_another_faiss_reads_otherwise_is_not_used(tmp_path: Path) -> None:
    manifest = segment(tmp_path / "a", varied(), "ivf-sq8")
    segment(tmp_path / "b", varied()[::-1], "ivf-sq8")
    assert manifest.faiss == ann.version()
    Base(tmp_path / "a", replace(manifest, faiss="1.99"))  # what it reads is what was written
    exchanged = exchange(tmp_path / "a", manifest, tmp_path / "b")
    with pytest.raises(SegmentDamagedError, match=rf"written by FAISS 1\.99, which {ann.version()} reads otherwise"):
        Base(tmp_path / "a", replace(exchanged, faiss="1.99"))
    with pytest.raises(SegmentDamagedError, match="holds other vectors than those beside it"):
        verify_base(Base(tmp_path / "a", exchanged), tmp_path / "a")


def test_check_holds_the_index_against_the_vectors(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add(make_passages(200))
        store.optimize("hnsw-sq8")
        assert store.check().indexed == 200
        base = dict(store._engine.state().base or {})
        folder = store.path / "index" / base["directory"]
        vectors = np.stack(list(store.get_vectors([str(at) for at in range(200)]).values()))
        segment(tmp_path / "other", vectors[::-1], "hnsw-sq8")
        manifest = exchange(folder, Manifest.from_json(base), tmp_path / "other")
        with store._engine.writing() as writer:
            writer.set_base({**base, "files": manifest.files}, built_from=-1, index="hnsw-sq8")
            writer.commit_state()
        with pytest.raises(StoreCorrupted, match=r"holds other vectors than those beside it; optimize\(\)"):
            store.check()
        store.optimize()
        assert store.check().indexed == 200

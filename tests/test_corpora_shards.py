"""Vectors as other projects write them: Tevatron's pickles, Pyserini's folders and JSONL, Cohere's columns, NumPy's archives."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from dpr_rag.corpora import read_vectors
from dpr_rag.errors import CorpusError, UnreadableError, UnsafeFileError, VectorError
from dpr_rag.index.library import import_faiss

IDS = ["d1", "d2", "d3"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def read(path: Path, block: int = 2) -> tuple[list[str], list[list[float]]]:
    found = list(read_vectors(path, block=block))
    assert all(vectors.dtype == np.float32 for _, vectors in found)
    return [name for names, _ in found for name in names], np.concatenate([one for _, one in found]).tolist()


EXPECTED = (IDS, VECTORS.tolist())


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_tevatron(tmp_path: Path, kind: Any, protocol: int) -> None:
    path = tmp_path / "corpus_emb.0.pkl"
    path.write_bytes(pickle.dumps((VECTORS.astype(kind), IDS), protocol))
    assert read(path) == EXPECTED
    path.write_bytes(pickle.dumps((VECTORS.astype(kind), [1, 2, 3]), protocol))
    assert read(path) == (["1", "2", "3"], VECTORS.tolist())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((VECTORS, IDS[:2]), r"x\.pkl: 2 ids for 3 vectors"),
        ((VECTORS, IDS, 1), r"x\.pkl: holds a tuple, expected a pair of vectors of shape \[n, dim\] and their ids"),
        ((VECTORS[0], IDS), r"x\.pkl: holds a tuple, expected a pair"),
        ((IDS, VECTORS), r"x\.pkl: holds a tuple, expected a pair"),
        ((VECTORS, ["a", "", "c"]), r"x\.pkl: the id of record 1 is ''"),
        ((VECTORS.astype(int), IDS), r"x\.pkl: the vector of record 0 is no array of floats"),
        ({"a": 1}, r"x\.pkl: holds dict, expected a pickled list of \(id, vector\), or a pair"),
    ],
)
def test_other_pickles_are_named(tmp_path: Path, value: object, said: str) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / "x.pkl")


def test_nothing_of_a_pair_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    (tmp_path / "x.pkl").write_bytes(pickle.dumps((VECTORS, Bomb())))
    with pytest.raises(UnsafeFileError, match=r"x\.pkl"):
        read(tmp_path / "x.pkl")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    """What Pyserini's encoding to FAISS leaves."""
    faiss = import_faiss()
    index = faiss.IndexFlatIP(2)
    index.add(VECTORS)
    folder = tmp_path / "encoded"
    folder.mkdir()
    faiss.write_index(index, str(folder / "index"))
    (folder / "docid").write_text("\n".join(IDS) + "\n", "utf-8")
    return folder


def test_folders_of_pyserini(encoded: Path) -> None:
    assert read(encoded) == EXPECTED
    (encoded / "docid").write_text("\n".join(IDS[:2]), "utf-8")
    with pytest.raises(CorpusError, match=r"docid: 2 ids for the 3 vectors of index; encode them anew"):
        read(encoded)


def test_several_folders_are_found_by_a_pattern(encoded: Path) -> None:
    encoded.rename(encoded.with_name("shard10"))
    other = encoded.with_name("shard9")
    other.mkdir()
    (other / "embeddings.jsonl").write_text('{"id": "d0", "contents": "x", "vector": [7, 8.5]}\n', "utf-8")
    assert read(encoded.parent / "shard*") == (["d0", *IDS], [[7, 8.5], *VECTORS.tolist()])


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_lines_of_json_with_vectors(tmp_path: Path, name: str) -> None:
    lines = [{"docid": one, "contents": "x", "emb": row} for one, row in zip(IDS, VECTORS.tolist(), strict=True)]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read(tmp_path / name) == EXPECTED


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a"}', r":2: has the keys id, expected an id and a vector, such as \{\"id\""),
        ('{"vector": [1, 2]}', r":2: has the keys vector, expected an id and a vector"),
        ('{"id": "a", "vector": "x"}', r":2: 'vector' is 'x', expected a list of numbers"),
        ('{"id": "a", "vector": [1, true]}', r":2: 'vector' is \[1, True\], expected a list of numbers"),
        ('{"id": "a", "vector": []}', r":2: 'vector' is \[\], expected a list of numbers"),
        ('{"id": "a", "vector": [1, 2, 3]}', r":2: a vector of 3 numbers, expected 2 as in the first"),
        ('{"id": 1.5, "vector": [1, 2]}', r":2: the id is 1.5, expected a non-empty string or an integer"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "e.jsonl").write_text(f'{{"id": "d", "vector": [1, 2]}}\n{line}\n', "utf-8")
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / "e.jsonl")


def test_numbers_beyond_float32_are_named(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"id": "d", "vector": [1e300, 2]}\n', "utf-8")
    with pytest.raises(VectorError, match="'d'"):
        read(tmp_path / "e.jsonl")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'["d1", "\xff", "d3"]', r"v\.ids\.json: is not UTF-8 \(invalid start byte at byte 9\); write it anew"),
        (b'["d1", "d2"', r"v\.ids\.json: is not JSON \(.*\); write it anew"),
        (b'["d1", NaN, "d3"]', r"v\.ids\.json: is not JSON \(NaN is no JSON number\); write it anew"),
        (b"[" * 100_000, r"v\.ids\.json: the JSON value is nested too deeply"),
        (b'{"a": "d1"}', r"v\.ids\.json: holds {'a': 'd1'}, expected a JSON list of ids; write it anew"),
        (b'["d1", "", "d3"]', r"v\.ids\.json: the id is '', expected a non-empty string or an integer"),
        (b'["d1", null, "d3"]', r"v\.ids\.json: the id is None, expected a non-empty string or an integer"),
        (b'["d1", 2, "d3"]', ""),
        (b'\xef\xbb\xbf["d1", 2, "d3"]', ""),
    ],
)
def test_ids_beside_an_array_are_a_list_of_json_or_the_file_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "v.ids.json").write_bytes(data)
    if not said:
        assert read(tmp_path / "v.npy") == (["d1", "2", "d3"], VECTORS.tolist())
        return
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(3, 2)", b"(3, 2["),  # a bracket that does not close
        (b"'descr': '<f4'", b"'descr': {[]:1}"),
        (b"NUMPY\x01", b"NUMPY\x09"),
        (b"'fortran_order'", b"5,              "),
    ],
)
def test_a_damaged_header_of_an_array_is_called_one(tmp_path: Path, old: bytes, new: bytes) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "v.ids.json").write_text('["1", "2", "3"]')
    data = (tmp_path / "v.npy").read_bytes()
    assert old in data
    (tmp_path / "v.npy").write_bytes(data.replace(old, new.ljust(len(old)), 1))
    with pytest.raises(CorpusError, match=r"v\.npy: a damaged \.npy file"):
        read(tmp_path / "v.npy")


@pytest.mark.parametrize("name", ["none.json", "none.txt", "folder.json", "folder.txt"])
def test_ids_that_cannot_be_read_are_named(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    for folder in ("folder.json", "folder.txt"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UnreadableError, match=rf"{name}: cannot be read \(.*\); check the path"):
        list(read_vectors(tmp_path / "v.npy", ids=tmp_path / name))


@pytest.mark.parametrize(("ids", "vectors"), [("_id", "emb"), ("id", "vector"), ("docid", "embedding")])
def test_columns_of_parquet_have_several_names(tmp_path: Path, ids: str, vectors: str) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pa.array(VECTORS.tolist(), pa.list_(pa.float32()))
    parquet.write_table(pa.table({ids: IDS, "title": IDS, vectors: column}), tmp_path / "e.parquet")
    assert read(tmp_path / "e.parquet") == EXPECTED
    parquet.write_table(pa.table({ids: IDS, "title": IDS}), tmp_path / "e.parquet")
    with pytest.raises(CorpusError, match=rf"has the columns {ids}, title, expected one of ids .* and one of vectors"):
        read(tmp_path / "e.parquet")
    parquet.write_table(pa.table({ids: IDS, vectors: IDS}), tmp_path / "e.parquet")
    with pytest.raises(CorpusError, match=r"e\.parquet: "):
        read(tmp_path / "e.parquet")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("ids", "vectors"), ("docids", "embeddings"), ("a", "b")])
@pytest.mark.parametrize("ids", [np.array(IDS), np.array([b"d1", b"d2", b"d3"])])
def test_archives_of_numpy(tmp_path: Path, save: Any, names: tuple[str, str], ids: np.ndarray) -> None:
    save(tmp_path / "e.npz", **{names[0]: ids, names[1]: VECTORS.astype(np.float16)})
    assert read(tmp_path / "e.npz") == EXPECTED


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"vectors": VECTORS}, r"holds vectors \(float32, \[3, 2\]\), in which no ids are known; write them as"),
        ({"ids": np.array(IDS)}, r"in which no vectors are known"),
        ({"ids": np.array(IDS), "vectors": np.asfortranarray(VECTORS)}, r"in which no vectors are known.*in C order"),
        ({"ids": np.array(IDS), "vectors": VECTORS[:2]}, r"3 ids for 2 vectors; give one each"),
        ({"ids": np.array(IDS, object), "vectors": VECTORS}, r"ids \(object, \[3\]\).* in which no ids are known"),
        ({"ids": np.array(["a", "", "c"]), "vectors": VECTORS}, r"the id is ''"),
    ],
)
def test_archives_without_vectors_and_ids_are_named(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(CorpusError, match=rf"e\.npz: .*{said}"):
        read(tmp_path / "e.npz")


def test_a_header_is_not_believed(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", ids=np.array(IDS), vectors=VECTORS)
    with zipfile.ZipFile(tmp_path / "e.npz") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["vectors.npy"] = parts["vectors.npy"].replace(b"(3, 2), }      ", b"(3, 9999999), }")
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(CorpusError, match=r"of shape \[3, 9999999\] holds 24 bytes, which do not fit"):
        read(tmp_path / "e.npz")


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", ids=np.array(IDS), vectors=VECTORS)
    data = (tmp_path / "e.npz").read_bytes()
    (tmp_path / "e.npz").write_bytes(data[:-30])
    with pytest.raises(CorpusError, match=r"e\.npz: a damaged \.npz file"):
        read(tmp_path / "e.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_that_shrinks_while_it_is_read_is_an_error_and_no_end_of_the_process(
    tmp_path: Path, order: Literal["C", "F"]
) -> None:
    matrix = np.asarray(np.random.default_rng(0).random((5000, 32), np.float32), order=order)
    np.save(tmp_path / "v.npy", matrix)
    (tmp_path / "v.ids.txt").write_text("".join(f"{n}\n" for n in range(5000)), "utf-8")
    whole = list(read_vectors(tmp_path / "v.npy", block=1024))
    assert [name for names, _ in whole for name in names] == [str(n) for n in range(5000)]
    assert np.array_equal(np.concatenate([vectors for _, vectors in whole]), matrix)
    found = read_vectors(tmp_path / "v.npy", block=1024)
    assert np.array_equal(next(iter(found))[1], matrix[:1024])
    os.truncate(tmp_path / "v.npy", 300_000)
    with pytest.raises(
        CorpusError, match=r"v\.npy: has become shorter while it was read; read it again when it is whole"
    ):
        list(found)


def test_ids_that_become_fewer_while_an_array_is_read_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((50_000, 2), np.float32))
    (tmp_path / "v.ids.txt").write_text("".join(f"{n:09}\n" for n in range(50_000)), "utf-8")
    found = read_vectors(tmp_path / "v.npy", block=1000)
    next(iter(found))
    os.truncate(tmp_path / "v.ids.txt", 200_000)
    with pytest.raises(
        CorpusError, match=r"v\.ids\.txt: changed while it was read, after 2\d,\d{3} ids; read it again"
    ):
        list(found)

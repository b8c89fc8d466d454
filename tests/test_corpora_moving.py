"""Stores of LangChain and LlamaIndex as corpora, with their ids, metadata and vectors, without those libraries."""

from __future__ import annotations

import json
import math
import pickle
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_rag.corpora import LeftOut, Reading, open_corpus, open_reading
from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.index.library import import_faiss
from dpr_rag.passages import Passage

VECTORS = np.array([[1, 0], [0, 1]], np.float32)


def as_json(path: Path, value: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2), "utf-8")
    return path


def faiss_file(path: Path, vectors: np.ndarray, *, l2: bool = False) -> None:
    faiss = import_faiss()
    index = faiss.IndexFlatL2(vectors.shape[1]) if l2 else faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(path))


def found(path: Path, part: str | None = None) -> list[tuple[Passage, list[float]]]:
    opened = open_reading(path, Reading(part=part, vectors=True))
    return [(one.passage, list(map(float, one.vector))) for one in opened.found]


def node(name: str, text: str, **metadata: Any) -> dict[str, Any]:
    return {"__data__": {"id_": name, "text": text, "metadata": metadata}, "__type__": "1"}


@pytest.fixture
def persisted(tmp_path: Path) -> Path:
    """What LlamaIndex 0.14 persists: the document lies beside its nodes, and no index holds it."""
    folder = tmp_path / "storage"
    document = {"__data__": {"id_": "d", "text_resource": {"text": "whole"}, "metadata": {}}, "__type__": "4"}
    nodes = {"d": document, "n2": node("n2", "second"), "n1": node("n1", "first", title="T", page=1)}
    as_json(folder / "docstore.json", {"docstore/data": nodes})
    struct = json.dumps({"nodes_dict": {"n1": "n1", "n2": "n2"}})
    as_json(folder / "index_store.json", {"index_store/data": {"i": {"__type__": "vector_store", "__data__": struct}}})
    as_json(folder / "default__vector_store.json", {"embedding_dict": {"n1": [1, 0], "n2": [0, 1]}})
    as_json(folder / "image__vector_store.json", {"embedding_dict": {}})
    return folder


FIRST, SECOND = Passage("n1", "first", "T", {"page": 1}), Passage("n2", "second")


def test_a_folder_of_llama_index(persisted: Path) -> None:
    left_out = LeftOut()
    assert list(open_corpus(persisted, left_out=left_out)) == [FIRST, SECOND]
    assert left_out == {"node that no index holds": 1}
    assert found(persisted) == [(FIRST, [1, 0]), (SECOND, [0, 1])]
    opened = open_reading(persisted, Reading())
    assert opened.what == "a folder of LlamaIndex: 2 documents with vectors of 2 dimensions, ranked by cosine"


def test_a_folder_of_llama_index_with_faiss(persisted: Path) -> None:
    struct = {"nodes_dict": {"0": "n2", "1": "n1"}}
    as_json(
        persisted / "index_store.json", {"index_store/data": {"i": {"__type__": "vector_store", "__data__": struct}}}
    )
    faiss_file(persisted / "default__vector_store.json", VECTORS)
    assert found(persisted) == [(SECOND, [1, 0]), (FIRST, [0, 1])]
    as_json(persisted / "id_map.json", {"faiss_id_to_node_id_map": {"0": "n1", "2": "n2"}})
    with pytest.raises(CorpusError, match=r"2 vectors, but ids of nodes for 2 positions, not one for each"):
        open_corpus(persisted)


def test_a_folder_of_llama_index_without_vectors(persisted: Path) -> None:
    for file in persisted.glob("*vector_store.json"):
        file.unlink()
    opened = open_reading(persisted, Reading())
    assert [one.passage for one in opened.found] == [FIRST, SECOND]
    assert opened.what == "a folder of LlamaIndex: 2 documents without vectors"
    for part in ("notes", "default"):
        with pytest.raises(CorpusError) as caught:
            open_corpus(persisted, part=part)
        assert str(caught.value) == (
            f"{persisted}: holds no vectors, and so no collection; leave the collection {part!r} out"
        )


def test_an_empty_index_of_llama_index(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    as_json(folder / "docstore.json", {})  # what it persists without nodes
    as_json(folder / "default__vector_store.json", {"embedding_dict": {}, "text_id_to_ref_doc_id": {}})
    assert found(folder) == []
    assert open_reading(folder, Reading()).what == "a folder of LlamaIndex: 0 documents without vectors"


def test_a_missing_number_of_pandas_is_none(persisted: Path, tmp_path: Path) -> None:
    nodes = {"n1": node("n1", "first", year=math.nan), "n2": node("n2", "second", of=[math.inf, 1])}
    as_json(persisted / "docstore.json", {"docstore/data": nodes})
    assert [one for one, _ in found(persisted)] == [
        Passage("n1", "first", metadata={"year": None}),
        Passage("n2", "second", metadata={"of": [None, 1]}),
    ]
    entry = {"id": "a", "vector": [1, 0], "text": "Hamlet", "metadata": {"year": math.nan}}
    dump = as_json(tmp_path / "dump.json", {"a": entry})
    assert found(dump) == [(Passage("a", "Hamlet", metadata={"year": None}), [1, 0])]


def test_another_namespace_of_llama_index_is_named(persisted: Path) -> None:
    as_json(persisted / "notes__vector_store.json", {"embedding_dict": {"n2": [3, 4]}})
    assert found(persisted, "notes") == [(SECOND, [3, 4])]
    with pytest.raises(CorpusError, match=r"there is no collection 'x'; it holds default, image, notes"):
        open_corpus(persisted, part="x")


def test_texts_that_lie_in_another_store_are_said_to(persisted: Path) -> None:
    as_json(persisted / "docstore.json", {"docstore/data": {}})
    with pytest.raises(CorpusError, match=r"2 of 2 nodes of the index are not in docstore\.json, the first is 'n1'"):
        open_corpus(persisted)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("docstore.json", [], r"docstore\.json: holds \[\], expected a JSON object"),
        ("docstore.json", {"x": 1}, r"docstore\.json: 'docstore/data' is missing, expected an object"),
        ("docstore.json", {"docstore/data": {"n1": 1, "n2": 2}}, r"docstore\.json: node 'n1': '__data__' is None"),
        ("index_store.json", {"index_store/data": {"i": 1}}, r"index_store\.json: index 'i': '__data__' is None"),
        (
            "docstore.json",
            {"docstore/data": {"n1": {"__data__": "{"}, "n2": {}}},
            r"docstore\.json: node 'n1': '__data__' is not JSON \(.*\); write it anew",
        ),
        (
            "index_store.json",
            {"index_store/data": {"i": {"__data__": "{"}}},
            r"index_store\.json: index 'i': '__data__' is not JSON \(.*\); write it anew",
        ),
        ("default__vector_store.json", {"x": 1}, r"default__vector_store\.json: 'embedding_dict' is missing"),
    ],
)
def test_what_llama_index_does_not_write_is_named(persisted: Path, name: str, data: object, said: str) -> None:
    as_json(persisted / name, data)
    with pytest.raises(CorpusError, match=said):
        list(open_corpus(persisted))


def test_a_dump_of_langchain(tmp_path: Path) -> None:
    entries = {
        "a": {"id": "a", "vector": [0.6, 0.8], "text": "Hamlet", "metadata": {"title": "T", "n": 1}},
        "b": {"id": "b", "vector": [1.0, 0.0], "text": "Faust", "metadata": {}},
    }
    path = as_json(tmp_path / "dump.json", entries)
    assert found(path) == [(Passage("a", "Hamlet", "T", {"n": 1}), [0.6, 0.8]), (Passage("b", "Faust"), [1, 0])]
    assert open_reading(path, Reading()).what == (
        "a dump of LangChain's InMemoryVectorStore: 2 documents with vectors of 2 dimensions, ranked by cosine"
    )
    as_json(path, entries | {"c": 1})
    with pytest.raises(CorpusError, match=r"dump\.json: document 'c' is 1, expected an object with id, vector"):
        open_corpus(path)
    as_json(path, entries | {"c": {"id": "c", "vector": [1, 2], "text": "x", "metadata": []}})
    with pytest.raises(CorpusError, match=r"dump\.json: document 'c': metadata is \[\], expected an object"):
        list(open_corpus(path))


@pytest.fixture
def faiss_folder(tmp_path: Path) -> Path:
    """What LangChain's FAISS store saves; the classes have other names here, and are written by theirs."""
    folder = tmp_path / "faiss"
    folder.mkdir()
    faiss_file(folder / "index.faiss", VECTORS)
    (folder / "index.pkl").write_bytes(pickled({"a": ("Hamlet", {"title": "T"}), "b": ("Faust", {})}, {0: "b", 1: "a"}))
    return folder


def pickled(documents: dict[str, tuple[str, dict[str, Any]]], rows: dict[int, str]) -> bytes:
    def built(module: str, name: str, state: object) -> bytes:
        return f"c{module}\n{name}\n".encode() + b")\x81" + body(state) + b"b"

    def body(value: object) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    inner = b"}("
    for key, (text, metadata) in documents.items():
        fields = {"__dict__": {"page_content": text, "metadata": metadata, "type": "Document"}}
        inner += body(key) + built("langchain_core.documents.base", "Document", fields)
    store = b"clangchain_community.docstore.in_memory\nInMemoryDocstore\n)\x81}X\x05\x00\x00\x00_dict" + inner + b"usb"
    return b"\x80\x02" + store + body(rows) + b"\x86."


def test_a_folder_of_langchain(faiss_folder: Path) -> None:
    assert found(faiss_folder) == [(Passage("b", "Faust"), [1, 0]), (Passage("a", "Hamlet", "T"), [0, 1])]
    assert open_reading(faiss_folder, Reading()).what == (
        "a folder of LangChain's FAISS store: 2 documents with vectors of 2 dimensions, ranked by inner product"
    )


def test_metadata_that_are_no_json_are_converted(faiss_folder: Path) -> None:
    summer = timezone(timedelta(hours=2))
    metadata = {
        "day": date(1601, 2, 3),
        "time": datetime(1601, 2, 3, 4, 5, 6, 789),
        "zoned": datetime(2020, 1, 1, 1, tzinfo=summer),
        "lasts": timedelta(minutes=1),
        "year": math.nan,
        "tags": {"b", "a"},
        "numbers": np.array([1, 2]),
        "score": np.float32(1.5),
        7: "seven",
    }
    documents = {"a": ("Hamlet", metadata), "b": ("Faust", {})}
    (faiss_folder / "index.pkl").write_bytes(pickled(documents, {0: "b", 1: "a"}))
    _, (hamlet, _) = found(faiss_folder)
    assert hamlet.metadata == {
        "day": "1601-02-03",
        "time": "1601-02-03T04:05:06.000789",
        "zoned": "2019-12-31T23:00:00+00:00",
        "lasts": 60.0,
        "year": None,
        "tags": ["a", "b"],
        "numbers": [1, 2],
        "score": 1.5,
        "7": "seven",
    }


def test_metadata_that_are_not_read_have_a_remedy(faiss_folder: Path) -> None:
    (faiss_folder / "index.pkl").write_bytes(pickled({"a": ("Hamlet", {"path": Path("x")})}, {0: "a"}))
    said = (
        r"index\.pkl: the file asks for 'pathlib\..*', which is not read; nothing was run\. If it stands in metadata of your "
        r"own, convert those in LangChain with dpr_rag\.to_json_metadata and call save_local again; if not, use a file from a "
        r"trusted source$"
    )
    with pytest.raises(UnsafeFileError, match=said):
        open_corpus(faiss_folder)


def test_one_of_several_indexes_of_langchain_is_named(faiss_folder: Path) -> None:
    faiss_file(faiss_folder / "other.faiss", VECTORS[:1])
    (faiss_folder / "other.pkl").write_bytes(pickled({"c": ("Emma", {})}, {0: "c"}))
    assert found(faiss_folder, "other") == [(Passage("c", "Emma"), [1, 0])]
    with pytest.raises(CorpusError, match=r"it holds index, other; name the index with part=NAME"):
        open_corpus(faiss_folder)


def test_a_folder_of_langchain_is_not_unpickled(faiss_folder: Path) -> None:
    (faiss_folder / "index.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsafeFileError, match=r"index\.pkl"):
        open_corpus(faiss_folder)


def test_halves_that_do_not_fit_are_named(faiss_folder: Path) -> None:
    faiss_file(faiss_folder / "index.faiss", VECTORS[:1])
    with pytest.raises(CorpusError, match=r"the index has 1 vectors, the document store 2; save it anew"):
        open_corpus(faiss_folder)

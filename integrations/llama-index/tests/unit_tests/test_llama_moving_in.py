"""Moving in from folders that LlamaIndex persisted: the same answers, nothing encoded again, and honest refusals."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import CorpusError

QUESTION = "which prince avenges his father"


class PlainFaissStore(BasePydanticVectorStore):
    """What LlamaIndex's FaissVectorStore does: vectors in a FAISS file, known by their positions."""

    stores_text: bool = False
    _index: Any = PrivateAttr()

    def __init__(self, index: Any) -> None:
        super().__init__(stores_text=False)
        self._index = index

    @property
    def client(self) -> Any:
        return self._index

    def add(self, nodes: Any, **_: Any) -> list[str]:
        first = self._index.ntotal
        self._index.add(np.array([node.embedding for node in nodes], np.float32))
        return [str(first + at) for at in range(len(nodes))]

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        raise NotImplementedError

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        raise NotImplementedError

    def persist(self, persist_path: str, fs: Any = None) -> None:
        faiss.write_index(self._index, persist_path)


def persisted(
    folder: Path, nodes: list[TextNode], embedding: DPREmbedding, store: BasePydanticVectorStore | None = None
) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(list(embedding(nodes)), storage_context=context, embed_model=embedding)
    context.persist(str(folder))
    return index


def without_embeddings(nodes: list[Any]) -> list[BaseNode]:
    return [node.model_copy(update={"embedding": None}) for node in nodes]


def same_as_oracle(store: DPRVectorStore, nodes: list[TextNode], towers: Any) -> list[NodeWithScore]:
    """Nodes equal, and the scores those of numpy."""
    assert without_embeddings(store.get_nodes()) == without_embeddings(nodes)
    vector = towers.encode_questions([QUESTION])[0]
    query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=len(nodes))
    result = store.query(query)
    scores = {node.node_id: float(np.dot(vector.astype(np.float64), node.embedding)) for node in nodes}
    assert result.ids == sorted(scores, key=lambda key: -scores[key])
    assert result.similarities == pytest.approx([scores[key] for key in result.ids], rel=1e-5)
    return result.nodes


def test_simple_vector_store(
    tmp_path: Path,
    plays: list[TextNode],
    embedding: DPREmbedding,
    towers: Any,
    caplog: pytest.LogCaptureFixture,
    bare: Any,
) -> None:
    persisted(tmp_path / "old", plays, embedding)
    calls = list(towers.calls)
    with DPRVectorStore.from_llama_index(tmp_path / "old", path=tmp_path / "new.dpr", encoder=towers) as store:
        assert towers.calls == calls
        assert same_as_oracle(store, plays, towers)[0].node_id == "hamlet"
        assert "ranked by cosine so far, and by inner product from now on" in caplog.text
        assert DPRRetriever(store, similarity_top_k=1).retrieve(QUESTION)[0].node.node_id == "hamlet"
        store.delete("d1")
    with DPRVectorStore(tmp_path / "new.dpr") as again:
        assert without_embeddings(again.get_nodes()) == without_embeddings(plays[2:])
        filters = MetadataFilters(filters=[MetadataFilter(key="title", value="Faust")])
        assert without_embeddings(again.get_nodes(filters=filters)) == without_embeddings(plays[2:3])


@pytest.mark.parametrize(("make", "warns"), [(faiss.IndexFlatIP, False), (faiss.IndexFlatL2, True)])
def test_faiss_vector_store(
    make: Any,
    warns: bool,
    tmp_path: Path,
    plays: list[TextNode],
    embedding: DPREmbedding,
    towers: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    persisted(tmp_path, plays, embedding, PlainFaissStore(make(towers.dim)))
    with DPRVectorStore.from_llama_index(tmp_path) as store:
        same_as_oracle(store, plays, towers)
        assert store.encoder is None
    assert ("ranked by l2 so far" in caplog.text) is warns


def test_faiss_map_vector_store(tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding, towers: Any) -> None:
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(towers.dim))
    persisted(tmp_path, plays, embedding, PlainFaissStore(faiss.IndexFlatIP(towers.dim)))
    index.add_with_ids(np.array([node.embedding for node in plays], np.float32), np.arange(4))
    by_position = {str(at): node.node_id for at, node in enumerate(plays)}

    def write(ids: dict[str, str]) -> None:
        faiss.write_index(index, str(tmp_path / "default__vector_store.json"))
        (tmp_path / "id_map.json").write_text(json.dumps({"faiss_id_to_node_id_map": ids}))

    write(by_position)
    with DPRVectorStore.from_llama_index(tmp_path) as store:
        same_as_oracle(store, plays, towers)
    index.remove_ids(np.array([1]))
    del by_position["1"]
    write(by_position)
    with pytest.raises(CorpusError, match="3 vectors, but ids of nodes for 3 positions, not one for each"):
        DPRVectorStore.from_llama_index(tmp_path)


def test_a_namespace_is_chosen_by_name(
    tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding, towers: Any
) -> None:
    persisted(tmp_path, plays, embedding)
    (tmp_path / "default__vector_store.json").rename(tmp_path / "mine__vector_store.json")
    with DPRVectorStore.from_llama_index(tmp_path, namespace="mine") as store:
        same_as_oracle(store, plays, towers)
    with pytest.raises(CorpusError, match=r"in that folder: image__vector_store\.json, mine__vector_store\.json"):
        DPRVectorStore.from_llama_index(tmp_path)


def test_file_from_before_namespaces(
    tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding, towers: Any
) -> None:
    persisted(tmp_path, plays, embedding)
    (tmp_path / "default__vector_store.json").rename(tmp_path / "vector_store.json")
    (tmp_path / "index_store.json").unlink()
    with DPRVectorStore.from_llama_index(tmp_path) as store:
        same_as_oracle(store, plays, towers)


def test_deleted_document_does_not_come_along(tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding) -> None:
    index = persisted(tmp_path, plays, embedding)
    index.delete_ref_doc("d1")  # leaves its nodes in docstore.json
    index.storage_context.persist(str(tmp_path))
    with DPRVectorStore.from_llama_index(tmp_path) as store:
        assert without_embeddings(store.get_nodes()) == without_embeddings(plays[2:])


def edited(path: Path, change: Any) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def test_node_without_its_vector_is_named(
    tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding, caplog: pytest.LogCaptureFixture
) -> None:
    persisted(tmp_path, plays, embedding)
    edited(tmp_path / "default__vector_store.json", lambda content: content["embedding_dict"].pop("macbeth"))
    with pytest.raises(CorpusError, match="1 nodes have no vector: 'macbeth'; persist the index anew"):
        DPRVectorStore.from_llama_index(tmp_path, path=tmp_path / "new.dpr")
    assert not (tmp_path / "new.dpr").exists()
    with DPRVectorStore.from_llama_index(tmp_path, on_missing="skip") as store:
        assert [node.node_id for node in store.get_nodes()] == ["hamlet", "faust", "rice"]
    assert "1 nodes have no vector and were left out: 'macbeth'" in caplog.text


def test_vector_without_its_node_is_named(tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding) -> None:
    persisted(tmp_path, plays, embedding)
    edited(tmp_path / "docstore.json", lambda content: content["docstore/data"].pop("faust"))
    with pytest.raises(CorpusError, match="1 vectors have no node: 'faust'"):
        DPRVectorStore.from_llama_index(tmp_path)


def test_blank_nodes_are_left_out_too(
    tmp_path: Path,
    plays: list[TextNode],
    embedding: DPREmbedding,
    node: Any,
    caplog: pytest.LogCaptureFixture,
    bare: Any,
) -> None:
    persisted(tmp_path, [*plays, node("blank", " ", page=3)], embedding)
    with DPRVectorStore.from_llama_index(tmp_path) as store:
        assert without_embeddings(store.get_nodes()) == without_embeddings(plays)
    assert "1 of 5 nodes have no text and were skipped, the first is 'blank'" in caplog.text
    with pytest.raises(ValueError, match="node 'blank' has no text"):
        DPRVectorStore.from_llama_index(tmp_path, on_blank="error")


def test_folder_that_is_none_of_llama_index(tmp_path: Path, plays: list[TextNode], embedding: DPREmbedding) -> None:
    with pytest.raises(CorpusError, match=r"docstore\.json: there is no such file"):
        DPRVectorStore.from_llama_index(tmp_path)
    persisted(tmp_path, plays, embedding)
    (tmp_path / "default__vector_store.json").write_bytes(b"neither")
    with pytest.raises(CorpusError, match="FAISS cannot give its vectors back"):
        DPRVectorStore.from_llama_index(tmp_path)
    (tmp_path / "docstore.json").write_text('{"docstore/data": {"a": 7}}')
    with pytest.raises(CorpusError, match=r"docstore\.json: not what LlamaIndex writes"):
        DPRVectorStore.from_llama_index(tmp_path)


def test_equal_lengths_need_no_warning(
    tmp_path: Path, node: Any, embedding: DPREmbedding, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [node("a", "text a"), node("b", "text b")]
    for one, vector in zip(nodes, ([1.0, 0.0], [0.6, 0.8]), strict=True):
        one.embedding = vector
    context = StorageContext.from_defaults()
    VectorStoreIndex(nodes, storage_context=context, embed_model=embedding)
    context.persist(str(tmp_path))
    with caplog.at_level(logging.WARNING), DPRVectorStore.from_llama_index(tmp_path) as store:
        result = store.query(VectorStoreQuery(query_embedding=[0.0, 1.0], similarity_top_k=2))
        assert (result.ids, result.similarities) == (["b", "a"], pytest.approx([0.8, 0.0]))
    assert caplog.text == ""


def test_a_misspelt_on_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on_missing is 'eror'"):
        DPRVectorStore.from_llama_index(tmp_path, on_missing="eror")

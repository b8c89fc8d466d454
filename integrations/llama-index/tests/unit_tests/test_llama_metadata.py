"""Metadata that are no JSON: refused by an error of ours, or converted where that was asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, NodeRelationship
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Passage
from dpr_rag.errors import PassageError

METADATA: dict[str, Any] = {
    "title": "Hamlet",
    "on": date(2024, 5, 1),
    "at": datetime(2024, 5, 1, tzinfo=UTC),
    "vector": np.array([1, 2]),
    "rate": np.float32("nan"),
    "path": Path("a.txt"),
}
MADE = {
    "title": "Hamlet",
    "on": "2024-05-01",
    "at": "2024-05-01T00:00:00+00:00",
    "vector": [1, 2],
    "rate": None,
    "path": "a.txt",
}


def document() -> Document:
    return Document(id_="d", text="A prince of Denmark avenges his father. " * 20, metadata=dict(METADATA))


def pieces() -> list[BaseNode]:
    """As a splitter makes them: each repeats the document's metadata, and names it with them as its source."""
    return SentenceSplitter(chunk_size=120, chunk_overlap=0).get_nodes_from_documents([document()])


@pytest.fixture
def converting(towers: Any, tmp_path: Path) -> DPRVectorStore:
    return DPRVectorStore(tmp_path / "c.dpr", encoder=towers, on_metadata="convert")


@pytest.mark.parametrize("nodes", [lambda: [document()], pieces], ids=["document", "pieces"])
def test_metadata_that_are_no_json_are_refused_with_the_helpers_name(store: DPRVectorStore, nodes: Any) -> None:
    for add in (store.add, lambda given: asyncio.run(store.async_add(given))):
        with pytest.raises(PassageError, match=r"to_json_metadata\(metadata\), .* on_metadata='convert'"):
            add(nodes())
    with pytest.raises(PassageError, match=r"to_json_metadata\(metadata\)"):
        store.docstore.add_documents([document()])
    assert len(store.client) == 0


def test_metadata_of_numpys_numbers_need_no_conversion_in_pieces_either(store: DPRVectorStore) -> None:
    whole = Document(text="A prince of Denmark avenges his father. " * 20, metadata={"year": np.int64(1601)})
    nodes = SentenceSplitter(chunk_size=120, chunk_overlap=0).get_nodes_from_documents([whole])
    store.add(nodes)
    assert [node.metadata for node in store.get_nodes()] == [{"year": 1601}] * len(nodes)


def test_what_has_no_form_names_its_node(converting: DPRVectorStore, store: DPRVectorStore) -> None:
    nodes = pieces()
    for node in nodes:
        node.metadata = {"a": object()}
    with pytest.raises(PassageError, match=rf"node '{nodes[0].node_id}': metadata\['a'\] is object"):
        converting.add(nodes)
    nodes = pieces()
    for node in nodes:
        node.metadata = {}
        node.relationships[NodeRelationship.SOURCE].metadata = {"a": object()}  # type: ignore[union-attr]
    for each in (converting, store):
        with pytest.raises(PassageError, match=rf"node '{nodes[0].node_id}': metadata\['a'\] is object"):
            each.add(nodes)


def test_metadata_are_converted_and_found(converting: DPRVectorStore) -> None:
    nodes = pieces()
    first = converting.add(nodes)
    for node in converting.get_nodes(first):
        assert node.metadata == MADE
        assert node.source_node is not None
        assert node.source_node.metadata == MADE
    assert nodes[0].metadata["on"] == date(2024, 5, 1)
    before = MetadataFilters(filters=[MetadataFilter(key="on", operator="<", value="2024-05-02")])
    assert len(DPRRetriever(converting, filters=before, similarity_top_k=99).retrieve("Denmark")) == len(first)
    assert len(asyncio.run(converting.async_add(pieces()))) == len(first)  # with new random ids
    assert len(converting.client) == len(first)


def test_pipelines_and_indexes_know_documents_again(converting: DPRVectorStore, towers: Any) -> None:
    embedding = DPREmbedding(towers)
    steps: list[Any] = [SentenceSplitter(chunk_size=120, chunk_overlap=0), embedding]
    sizes = []
    for _ in range(2):
        pipeline = IngestionPipeline(transformations=steps, vector_store=converting, docstore=converting.docstore)
        sizes.append(len(pipeline.run(documents=[document()])))
        sizes.append(len(asyncio.run(pipeline.arun(documents=[document()]))))
    assert sizes[0] > 1
    assert sizes[1:] == [0, 0, 0]
    assert converting.docstore.get_document("d").metadata == MADE  # type: ignore[union-attr]
    index = VectorStoreIndex.from_documents(
        [document()], storage_context=converting.storage_context(), transformations=steps, embed_model=embedding
    )
    assert index.refresh_ref_docs([document()]) == [False]


@pytest.mark.parametrize("policy", [{"on_metadata": "convert"}, {"fixed_filter": {"a": 1}}])
def test_a_document_that_is_stored_otherwise_than_given_is_known_again(towers: Any, policy: dict[str, Any]) -> None:
    given = Document(id_="d", text="Denmark", metadata=dict(METADATA) if "on_metadata" in policy else {})
    with DPRVectorStore(encoder=towers, **policy) as store:
        store.add([given])
        store.docstore.set_document_hash("d", given.hash)
        assert store.docstore.get_document_hash("d") == given.hash
        assert store.docstore.get_all_document_hashes() == {given.hash: "d"}
        (stored,) = store.client
        store.client.add(
            [Passage("d", "another text", metadata=stored.visible_metadata)]
        )  # as LangChain's adapter would
        assert store.docstore.get_document_hash("d") not in (None, given.hash)


def test_documents_that_llama_index_has_no_hash_of_are_added(towers: Any) -> None:
    with DPRVectorStore(encoder=towers, on_bad_text="replace") as store:
        store.add([Document(id_="lone", text="Denmark \ud800"), Document(id_="pair", text="Denmark \ud83d\ude00")])
        assert [node.get_content() for node in store.get_nodes()] == ["Denmark \ufffd", "Denmark \U0001f600"]


def test_the_policy_is_checked_and_kept(towers: Any, tmp_path: Path, converting: DPRVectorStore) -> None:
    with pytest.raises(ValueError, match=r"on_metadata is 'maybe', expected 'error' or 'convert'"):
        DPRVectorStore(tmp_path / "s", encoder=towers, on_metadata="maybe")  # type: ignore[arg-type]
    told = converting.to_dict()
    converting.close()
    with DPRVectorStore.from_dict(told, encoder=towers) as again:
        assert again.on_metadata == "convert"
        again.on_metadata = "error"
        with pytest.raises(PassageError):
            again.add(pieces())
        with pytest.raises(ValueError, match="on_metadata"):
            again.on_metadata = "maybe"  # type: ignore[assignment]

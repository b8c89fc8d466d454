"""One store, two frameworks: what one of them stored, the other finds, with the same ids, texts, scores and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import HashEncoder
from engines import lite, place  # noqa: F401  # a folder, and a Milvus
from langchain_core.documents import Document
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.retrievers.dpr_rag import DPRRetriever as LlamaIndexRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore as LlamaIndexStore

from dpr_rag import Retriever, open_store
from dpr_rag.fillable import FilledStore
from langchain_dpr_rag import DPRRetriever, DPRVectorStore

QUESTION = "a tragedy by Shakespeare"
RECORDS: list[tuple[str, str, dict[str, Any]]] = [
    ("hamlet", "a tragedy by Shakespeare", {"title": "Hamlet", "year": 1601}),
    ("faust", "a tragic play by Goethe", {"year": 1808, "tags": ["devil", "pact"], "nested": {"a": [1, None]}}),
    ("iliad", "an epic about Troy", {"title": "Iliad", "id": "a key of the user's", "ref_doc_id": "another"}),
]
Seen = list[tuple[str, str, dict[str, Any], float]]


@pytest.fixture
def core(place: str) -> Iterator[FilledStore]:  # noqa: F811
    with open_store(place, encoder=HashEncoder()) as store:
        yield store


def through_langchain(core: FilledStore) -> Seen:
    found = DPRVectorStore(store=core).similarity_search_with_score(QUESTION, k=9)
    return [(str(one.id), one.page_content, one.metadata, score) for one, score in found]


def through_llama_index(core: FilledStore) -> Seen:
    found = LlamaIndexRetriever.from_defaults(store=core, similarity_top_k=9).retrieve(QUESTION)
    return [(one.node.node_id, one.node.get_content(), one.node.metadata, one.score) for one in found]


def add_through_langchain(core: FilledStore) -> None:
    documents = [Document(id=name, page_content=text, metadata=metadata) for name, text, metadata in RECORDS]
    DPRVectorStore(store=core).add_documents(documents)


def add_through_llama_index(core: FilledStore) -> None:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="a book")}
    nodes = [TextNode(id_=name, text=text, metadata=metadata, relationships=source) for name, text, metadata in RECORDS]
    LlamaIndexStore(store=core).add(nodes)


@pytest.mark.parametrize("add", [add_through_langchain, add_through_llama_index])
def test_both_see_the_same(core: FilledStore, add: Any) -> None:
    add(core)
    scores = {hit.passage.id: hit.score for hit in Retriever(core, k=9).retrieve(QUESTION)}
    expected = sorted(
        ((name, text, metadata, scores[name]) for name, text, metadata in RECORDS), key=lambda record: -record[3]
    )
    assert through_langchain(core) == expected
    assert through_llama_index(core) == expected


def test_what_was_stored_twice_is_the_same_passage_with_the_same_vector(core: FilledStore) -> None:
    add_through_llama_index(core)
    before = core.get_vectors([name for name, _, _ in RECORDS])
    encoded = core.encoder.passages_encoded
    add_through_langchain(core)
    assert core.encoder.passages_encoded == encoded  # title and text are unchanged: nothing is encoded again
    assert len(core) == 3
    after = core.get_vectors(before)
    assert all((before[name] == after[name]).all() for name in before)


def test_each_deletes_what_the_other_added(core: FilledStore) -> None:
    add_through_langchain(core)
    LlamaIndexStore(store=core).delete_nodes(["hamlet"])
    assert [record[0] for record in through_langchain(core)] == [record[0] for record in through_llama_index(core)]
    assert "hamlet" not in core
    add_through_llama_index(core)
    DPRVectorStore(store=core).delete(filter={"year": 1808})
    assert sorted(record[0] for record in through_llama_index(core)) == ["hamlet", "iliad"]
    LlamaIndexStore(store=core).delete("a book")
    assert len(core) == 0


def test_what_one_framework_changes_keeps_its_place_in_the_other(core: FilledStore) -> None:
    add_through_llama_index(core)
    store = DPRVectorStore(store=core)
    (document,) = store.get_by_ids(["hamlet"])
    document.metadata["year"] = 1600
    store.add_documents([document])
    (node,) = LlamaIndexStore(store=core).get_nodes(["hamlet"])
    assert (node.ref_doc_id, node.metadata["year"], node.metadata["title"]) == ("a book", 1600, "Hamlet")
    LlamaIndexStore(store=core).delete("a book")
    assert len(core) == 0


def test_nothing_private_shows(core: FilledStore) -> None:
    add_through_llama_index(core)
    found = DPRRetriever(store=core, k=9).invoke(QUESTION)
    assert len(found) == 3
    for document in found:
        assert {key for key in document.metadata if "dpr_rag" in key} == set()

"""Filters on a node's source document, and on what a node does not have, as every store of LlamaIndex answers them."""

from __future__ import annotations

from typing import Any

import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.nodes import to_node

from dpr_rag import PRIVATE_KEY, Passage, PassageStore
from dpr_rag.storage.reader import StoreReader

SOURCES = ("ref_doc_id", "doc_id", "document_id")
OPERANDS: list[tuple[str, Any]] = [
    *[(operator, value) for operator in ("==", "!=", ">", ">=", "<", "<=") for value in ("d1", "d2", "Z", "")],
    *[(operator, value) for operator in ("in", "nin") for value in (["d1", "d9"], ["lone"], [])],
    *[("text_match", "d"), ("text_match", "D"), ("text_match_insensitive", "D"), ("is_empty", None)],
]


def only(key: str, operator: str, value: Any = None) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=FilterOperator(operator), value=value)])


@pytest.fixture
def shelf(node: Any) -> list[TextNode]:
    """Nodes with and without source, title and id of their own; one whose metadata say something under such a key."""
    return [
        node("n1", "one", "d1", title="Hamlet"),
        node("n2", "two", "d1", title=""),
        node("n3", "three", "d2", id="mine"),
        node("n4", "four", None, title="Faust"),
        node("n5", "five", "n5"),
        node("n6", "six", "d2", doc_id="d1", title=None),
    ]


@pytest.fixture(
    params=["tail", pytest.param("base", marks=pytest.mark.folder_alone("an engine builds its index by itself"))]
)
def shelved(
    request: Any, store: DPRVectorStore, shelf: list[TextNode], monkeypatch: pytest.MonkeyPatch
) -> DPRVectorStore:
    store.add(shelf)
    if request.param == "base":
        store.client.optimize()
        monkeypatch.setattr(StoreReader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
    return store


def said(node: TextNode, filters: MetadataFilters) -> bool:
    """By LlamaIndex's own helper, over what the node's metadata say and where it comes from."""
    sources = {} if node.ref_doc_id is None else dict.fromkeys(SOURCES, node.ref_doc_id)
    return build_metadata_filter_fn(lambda _: sources | node.metadata, filters)("x")


@pytest.mark.parametrize("key", [*SOURCES, "title", "id", "nowhere"])
def test_every_operator_on_what_may_be_missing(key: str, shelved: DPRVectorStore, shelf: list[TextNode]) -> None:
    for operator, value in OPERANDS:
        filters = only(key, operator, value)
        expected = sorted(node.node_id for node in shelf if said(node, filters))
        query = VectorStoreQuery(query_str="one", similarity_top_k=10, filters=filters)
        assert sorted(shelved.query(query).ids or []) == expected, (operator, value)
        assert [node.node_id for node in shelved.get_nodes(filters=filters)] == expected
        found = DPRRetriever(shelved, similarity_top_k=10, filters=filters).retrieve("one")
        assert sorted(one.node.node_id for one in found) == expected


@pytest.mark.parametrize("key", SOURCES)
def test_deletion_by_source_in_nested_groups(key: str, shelved: DPRVectorStore) -> None:
    inner = MetadataFilters(filters=[MetadataFilter(key="title", value="Hamlet")], condition="not")
    shelved.delete_nodes(filters=MetadataFilters(filters=[only("ref_doc_id", "==", "d1"), inner]))
    assert [node.node_id for node in shelved.get_nodes()] == ["n1", "n3", "n4", "n5", "n6"]
    shelved.delete_nodes(["n1", "n3"], filters=only(key, "==", "d1"))
    assert [node.node_id for node in shelved.get_nodes()] == ["n3", "n4", "n5", "n6"]


def test_ids_and_documents_restrict_exactly(shelved: DPRVectorStore) -> None:
    def found(**restriction: Any) -> list[str]:
        return sorted(shelved.query(VectorStoreQuery(query_str="one", similarity_top_k=10, **restriction)).ids or [])

    assert found(doc_ids=["d1"]) == ["n1", "n2"]
    assert found(doc_ids=["n4", "n5"]) == ["n4", "n5"]
    assert found(node_ids=["n3", "mine", "n5"]) == ["n3", "n5"]
    assert found(node_ids=["n3", "n6"], doc_ids=["d2"], filters=only("id", "==", "mine")) == ["n3"]


def test_passages_of_others_have_no_source(towers: Any) -> None:
    with PassageStore.temporary(encoder=towers) as core:
        core.add([Passage("a", "one", "Hamlet", {"id": "x"}), Passage("b", "two")])
        store = DPRVectorStore(store=core)
        assert [node.node_id for node in store.get_nodes(filters=only("ref_doc_id", "!=", "d1"))] == ["a", "b"]
        assert store.get_nodes(filters=only("ref_doc_id", "<", "z")) == []
        assert [node.node_id for node in store.get_nodes(filters=only("id", "<", "z"))] == ["a"]
        query = VectorStoreQuery(query_str="one", node_ids=["a", "x"], similarity_top_k=3)
        assert store.query(query).ids == ["a"]


def test_nodes_that_an_earlier_version_stored(towers: Any) -> None:
    kept = ["node:n", "source:d1", ['{"relationships":{"1":{"node_id":"d1"}},"class_name":"TextNode"}']]
    with PassageStore.temporary(encoder=towers) as core:
        core.add([Passage("n", "one", metadata={PRIVATE_KEY: kept})])
        store = DPRVectorStore(store=core)
        assert [node.ref_doc_id for node in store.get_nodes(filters=only("doc_id", "==", "d1"))] == ["d1"]
        store.delete("d1")
        assert len(core) == 0


def test_two_retrievals_give_equal_nodes(shelved: DPRVectorStore) -> None:
    first, second = (
        DPRRetriever(shelved, similarity_top_k=6, mode=mode).retrieve("one six") for mode in ("default", "hybrid")
    )
    by_id = {found.node.node_id: found.node for found in second}
    for found in first:
        assert found.node == by_id[found.node.node_id]
        assert found.node.hash == by_id[found.node.node_id].hash
        (passage,) = shelved.client.get([found.node.node_id])
        assert to_node(passage) == found.node


@pytest.mark.folder_alone("an engine gives no advice on fields")
@pytest.mark.parametrize("key", SOURCES)
@pytest.mark.parametrize("operator", ["==", "in", "any"])
def test_an_unknown_source_is_no_unknown_field(
    filled: DPRVectorStore, caplog: pytest.LogCaptureFixture, key: str, operator: str
) -> None:
    value = "nobody's" if operator == "==" else ["nobody's"]
    assert filled.query(VectorStoreQuery(query_str="a pact", filters=only(key, operator, value))).ids == []
    assert caplog.messages == []
    assert filled.query(VectorStoreQuery(query_str="a pact", filters=only("ref_docid", "==", "d1"))).ids == []
    assert "no passage has a field 'ref_docid'" in caplog.text

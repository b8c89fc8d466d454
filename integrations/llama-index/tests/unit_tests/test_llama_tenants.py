"""A vector store with a fixed filter: whatever a query brings narrows it, on every path, and nothing widens it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core import Document, VectorStoreIndex, load_index_from_storage
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import PassageStore, Store, open_store
from dpr_rag.errors import FilterError, PassageError, StoreError


def one(key: str, value: Any, operator: str = "==") -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=operator)


def all_of(*filters: Any, condition: str | None = "and") -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=condition)


MINE = {"a0", "a1", "a2"}
ATTACKS: dict[str, tuple[MetadataFilters | None, set[str]]] = {
    "none": (None, MINE),
    "empty": (all_of(), MINE),
    "empty or": (all_of(condition="or"), MINE),
    "the other": (all_of(one("tenant", "b")), set()),
    "either": (all_of(one("tenant", "b"), one("tenant", "a"), condition="or"), MINE),
    "not mine": (all_of(one("tenant", "a"), condition="not"), set()),
    "nested": (all_of(all_of(one("tenant", "a"), condition="not"), one("n", 0), condition="or"), {"a0"}),
    "unequal": (all_of(one("tenant", "a", "!=")), set()),
    "in": (all_of(one("tenant", ["a", "b"], "in")), MINE),
    "text": (all_of(one("tenant", "", "text_match")), MINE),
    "source": (all_of(one("ref_doc_id", "doc-b")), set()),
    "no condition": (all_of(one("tenant", "b"), one("n", 0), condition=None), set()),
}
MODES = ("default", "mmr", "text_search", "sparse", "hybrid")
VECTOR = [0.5] * 64


def ids(found: Any) -> set[str]:
    return {getattr(node, "node_id", None) or node.node.node_id for node in found}


@pytest.fixture
def whole(towers: Any, place: str) -> Iterator[Store]:  # noqa: F811
    with open_store(place, encoder=towers) as store:
        everybody = DPRVectorStore(store=store)
        for tenant in "ab":
            source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{tenant}")}
            everybody.add(
                [
                    TextNode(
                        id_=f"{tenant}{at}",
                        text=f"play {at} of {tenant}",
                        metadata={"tenant": tenant, "n": at},
                        relationships=source,
                    )
                    for at in range(3)
                ]
            )
        yield store


@pytest.fixture
def of_a(whole: Store) -> DPRVectorStore:
    return DPRVectorStore(store=whole, fixed_filter=all_of(one("tenant", "a")))


@pytest.fixture
def of_b(whole: Store) -> DPRVectorStore:
    return DPRVectorStore(store=whole, fixed_filter={"tenant": "b"})


@pytest.mark.parametrize("mode", MODES)
def test_every_query_stays_inside(of_a: DPRVectorStore, embedding: DPREmbedding, mode: str) -> None:
    index = VectorStoreIndex.from_vector_store(of_a, embed_model=embedding)
    top = {"similarity_top_k": 99, "sparse_top_k": 99, "hybrid_top_k": 99}
    for attack, (filters, expected) in ATTACKS.items():
        query = VectorStoreQuery(query_str="play", filters=filters, mode=mode, **top)
        assert ids(of_a.query(query).nodes) == expected, attack
        assert ids(asyncio.run(of_a.aquery(query)).nodes) == expected, attack
        retriever = DPRRetriever(of_a, filters=filters, mode=mode, similarity_top_k=99)
        assert ids(retriever.retrieve("play")) == expected, attack
        assert ids(asyncio.run(retriever.aretrieve("play"))) == expected, attack
        made = index.as_retriever(filters=filters, vector_store_query_mode=mode, **top)
        assert ids(made.retrieve("play")) == expected, attack
        blank = ids(DPRRetriever(of_a.client, filters=filters, mode=mode, similarity_top_k=99).retrieve(" "))
        assert blank == (set() if attack in ("none", "empty", "empty or") else expected), attack


def test_ids_and_documents_of_others_select_nothing(of_a: DPRVectorStore) -> None:
    def asked(**more: Any) -> set[str]:
        return ids(of_a.query(VectorStoreQuery(query_embedding=VECTOR, similarity_top_k=99, **more)).nodes)

    assert asked() == asked(filters=all_of()) == MINE
    assert asked(node_ids=["b0", "a1"]) == {"a1"}
    assert asked(doc_ids=["doc-b"]) == set()
    assert asked(doc_ids=["doc-a", "doc-b"]) == MINE
    for name in ("node_ids", "doc_ids"):
        wanted = ["b0"] if name == "node_ids" else ["doc-b"]
        assert DPRRetriever(of_a, similarity_top_k=99, **{name: wanted}).retrieve("play") == []
    assert ids(of_a.get_nodes(["b0", "a0"])) == {"a0"}
    assert ids(of_a.get_nodes()) == MINE
    for attack, (filters, expected) in ATTACKS.items():
        assert ids(of_a.get_nodes(filters=filters)) == expected, attack
        assert ids(asyncio.run(of_a.aget_nodes(["a0", "b0"], filters))) == expected & {"a0"}, attack
    assert ids(copy.deepcopy(of_a).get_nodes()) == MINE


DELETIONS: list[tuple[Callable[[DPRVectorStore], Any], set[str]]] = [
    (lambda store: store.delete("doc-b"), set()),
    (lambda store: store.delete("doc-a"), MINE),
    (lambda store: asyncio.run(store.adelete("doc-b")), set()),
    (lambda store: store.delete_nodes(["b0", "a0"]), {"a0"}),
    (lambda store: asyncio.run(store.adelete_nodes(["b0", "a1"], all_of(one("n", 1)))), {"a1"}),
    (lambda store: store.delete_nodes(filters=ATTACKS["either"][0]), MINE),
    (lambda store: store.delete_nodes(filters=ATTACKS["the other"][0]), set()),
    (lambda store: store.clear(), MINE),
    (lambda store: asyncio.run(store.aclear()), MINE),
]


@pytest.mark.parametrize("at", range(len(DELETIONS)))
def test_deleting_touches_nobody_else(whole: Store, of_a: DPRVectorStore, at: int) -> None:
    delete, gone = DELETIONS[at]
    before = {passage.id for passage in whole}
    delete(of_a)
    assert before - {passage.id for passage in whole} == gone


def test_what_is_added_belongs_to_the_tenant(whole: Store, of_a: DPRVectorStore) -> None:
    given = TextNode(id_="new", text="play new")
    assert of_a.add([given]) == asyncio.run(of_a.async_add([given])) == ["new"]
    assert (given.metadata, whole.get(["new"])[0].visible_metadata) == ({}, {"tenant": "a"})
    assert of_a.get_nodes(["new"])[0].metadata == {"tenant": "a"}
    with pytest.raises(PassageError, match="does not fit the filter of the view"):
        of_a.add([TextNode(id_="wrong", text="play", metadata={"tenant": "b"})])
    for node in (TextNode(id_="b0", text="taken over"), TextNode(id_="b0", text="taken", embedding=VECTOR)):
        with pytest.raises(PassageError, match="outside of this view"):
            of_a.add([node])
        with pytest.raises(PassageError, match="outside of this view"):
            asyncio.run(of_a.async_add([node]))
    assert [one.text for one in whole.get(["b0"])] == ["play 0 of b"]


def test_equal_nodes_with_random_ids_are_one_for_each_tenant(of_a: DPRVectorStore, of_b: DPRVectorStore) -> None:
    for _ in range(2):
        for store in (of_a, of_b):
            store.add([TextNode(text="the same text")])
    assert (len(of_a.client), len(of_b.client)) == (4, 4)


@pytest.mark.folder_alone("an engine holds nodes, and no document store of LlamaIndex")
def test_document_stores_of_tenants_are_apart(of_a: DPRVectorStore, of_b: DPRVectorStore) -> None:
    document = Document(id_="same", text="a page")
    embedding = DPREmbedding(of_a.encoder)
    steps: dict[str, Any] = {"transformations": [embedding], "embed_model": embedding}
    VectorStoreIndex.from_documents([document], storage_context=of_a.storage_context(), **steps)
    hashed = document.hash
    assert of_b.docstore.get_document_hash("same") is None
    assert of_a.docstore.get_all_document_hashes() == {hashed: "same"}
    assert of_b.docstore.get_all_document_hashes() == {}
    of_b.delete("same")
    of_b.docstore.delete_document("same", raise_error=False)
    assert of_a.docstore.get_document_hash("same") == hashed
    again = load_index_from_storage(of_a.storage_context(), **steps)
    assert again.refresh_ref_docs([document]) == [False]
    with pytest.raises(ValueError, match="No index"):
        load_index_from_storage(of_b.storage_context(), embed_model=embedding)


@pytest.mark.folder_alone("an engine holds nodes, and no document store of LlamaIndex")
def test_pipelines_of_tenants_know_their_own(of_a: DPRVectorStore, of_b: DPRVectorStore) -> None:
    for store, prefix in ((of_a, "a"), (of_b, "b"), (of_a, "a")):
        pipeline = IngestionPipeline(
            transformations=[DPREmbedding(of_a.encoder)], vector_store=store, docstore=store.docstore
        )
        pipeline.run(documents=[Document(id_=f"{prefix}/page", text="a page")])
    assert (len(of_a.client), len(of_b.client)) == (4, 4)


def test_a_dict_of_the_store_keeps_the_filter(tmp_path: Path, towers: Any) -> None:
    fixed = all_of(one("tenant", "a"), all_of(one("year", 2000, ">="), condition="and"))
    with DPRVectorStore(tmp_path / "s", encoder=towers, fixed_filter=fixed) as store:
        store.add([TextNode(id_="1", text="play", metadata={"year": 2001})])
        told = store.to_dict()
    with DPRVectorStore(tmp_path / "s", encoder=towers) as store:
        store.add([TextNode(id_="2", text="play", metadata={"tenant": "b", "year": 2001})])
    with DPRVectorStore.from_dict(told, encoder=towers) as store:
        assert ids(store.get_nodes()) == {"1"}
        with pytest.raises(StoreError, match="check concerns the whole store"):
            store.client.check()


@pytest.mark.parametrize("wrong", [all_of(), {}, {"$or": []}, "tenant", {"tenant": {"$nor": 1}}, [("tenant", "a")]])
def test_a_filter_that_restricts_nothing_is_refused(tmp_path: Path, towers: Any, wrong: Any) -> None:
    with pytest.raises(FilterError):
        DPRVectorStore(tmp_path / "s", encoder=towers, fixed_filter=wrong)
    with pytest.raises(TypeError, match="here it is fixed_filter="):
        DPRVectorStore(tmp_path / "s", encoder=towers, tenant="a")
    with DPRVectorStore(tmp_path / "s", encoder=towers) as store:  # nobody holds it
        with pytest.raises(ValueError, match=r"frozen|fixed_filter"):
            store.fixed_filter = {"tenant": "b"}


@pytest.mark.parametrize("tenant", [0, 1])
def test_the_tenants_0_and_1_are_numbers(tmp_path: Path, towers: Any, tenant: int) -> None:
    with PassageStore.open(tmp_path / "s", encoder=towers) as whole:
        DPRVectorStore(store=whole).add([TextNode(id_="true", text="play", metadata={"tenant": bool(tenant)})])
        for fixed in (all_of(one("tenant", tenant)), all_of(all_of(one("tenant", tenant)))):
            view = DPRVectorStore(store=whole, fixed_filter=fixed)
            view.add([TextNode(id_="number", text="play", metadata={})])
            assert ids(view.get_nodes()) == {"number"}
            assert ids(view.get_nodes(filters=all_of(one("tenant", tenant)))) == {"number"}
            assert view.get_nodes()[0].metadata["tenant"] is tenant
        among = DPRVectorStore(store=whole, fixed_filter=all_of(one("tenant", [tenant, 2], "in")))
        assert ids(among.get_nodes()) == {"number"}
        others = DPRVectorStore(store=whole, fixed_filter=all_of(one("tenant", tenant, "!=")))
        assert ids(others.get_nodes()) == {"true"}

"""A vector store with a fixed filter: whatever a call brings narrows it, on every path, and nothing widens it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery

from dpr_rag import Store, open_store
from dpr_rag.errors import FilterError, PassageError
from langchain_dpr_rag import DPRRetriever, DPRTranslator, DPRVectorStore

ATTACKS: dict[str, Any] = {
    "none": None,
    "empty": {},
    "the other": {"tenant": "b"},
    "either": {"$or": [{"tenant": "b"}, {"tenant": "a"}]},
    "not mine": {"$not": {"tenant": "a"}},
    "none of": {"$not": [{"tenant": "a"}]},
    "a list": {"tenant": ["a", "b"]},
    "there": {"tenant": {"$exists": True}},
    "ids": {"id": {"$in": ["b0", "b1"]}},
    "predicate": lambda document: True,
    "predicate on metadata": lambda metadata: metadata["tenant"] == "b",
}
Search = Callable[[DPRVectorStore, Any], list[Document]]
VECTOR = [0.5] * 12


def _scored(found: Any) -> list[Document]:
    return [document for document, _ in found]


def _by(mode: Any) -> Search:
    def search(store: DPRVectorStore, where: Any) -> list[Document]:
        other = copy.copy(store)
        other.mode = mode
        return other.similarity_search("play", 99, filter=where)

    return search


def _retriever(store: DPRVectorStore, where: Any) -> Any:
    return store.as_retriever(search_kwargs={"k": 99, "filter": where})


SEARCHES: dict[str, Search] = {
    "similarity_search": lambda s, f: s.similarity_search("play", 99, f),
    "with_score": lambda s, f: _scored(s.similarity_search_with_score("play", k=99, filter=f)),
    "with_relevance": lambda s, f: _scored(s.similarity_search_with_relevance_scores("play", k=99, filter=f)),
    "by_vector": lambda s, f: s.similarity_search_by_vector(VECTOR, 99, f),
    "with_score_by_vector": lambda s, f: _scored(s.similarity_search_with_score_by_vector(VECTOR, 99, f)),
    "mmr": lambda s, f: s.max_marginal_relevance_search("play", 99, 99, filter=f),
    "mmr_by_vector": lambda s, f: s.max_marginal_relevance_search_by_vector(VECTOR, 99, 99, filter=f),
    "mmr_with_score_by_vector": lambda s, f: _scored(
        s.max_marginal_relevance_search_with_score_by_vector(VECTOR, 99, 99, filter=f)
    ),
    "bm25": _by("bm25"),
    "hybrid": _by("hybrid"),
    "search": lambda s, f: s.search("play", "similarity", k=99, filter=f),
    "asearch": lambda s, f: asyncio.run(s.asearch("play", "mmr", k=99, fetch_k=99, filter=f)),
    "asimilarity_search": lambda s, f: asyncio.run(s.asimilarity_search("play", 99, f)),
    "awith_score": lambda s, f: _scored(asyncio.run(s.asimilarity_search_with_score("play", 99, f))),
    "awith_relevance": lambda s, f: _scored(
        asyncio.run(s.asimilarity_search_with_relevance_scores("play", k=99, filter=f))
    ),
    "aby_vector": lambda s, f: asyncio.run(s.asimilarity_search_by_vector(VECTOR, 99, f)),
    "awith_score_by_vector": lambda s, f: _scored(
        asyncio.run(s.asimilarity_search_with_score_by_vector(VECTOR, 99, f))
    ),
    "ammr": lambda s, f: asyncio.run(s.amax_marginal_relevance_search("play", 99, 99, filter=f)),
    "ammr_by_vector": lambda s, f: asyncio.run(s.amax_marginal_relevance_search_by_vector(VECTOR, 99, 99, filter=f)),
    "ammr_with_score_by_vector": lambda s, f: _scored(
        asyncio.run(s.amax_marginal_relevance_search_with_score_by_vector(VECTOR, 99, 99, filter=f))
    ),
    "as_retriever": lambda s, f: _retriever(s, f).invoke("play"),
    "as_retriever call": lambda s, f: s.as_retriever(search_kwargs={"k": 99}).invoke("play", filter=f),
    "as_retriever mmr": lambda s, f: s.as_retriever(
        search_type="mmr", search_kwargs={"k": 99, "fetch_k": 99, "filter": f}
    ).invoke("play"),
    "as_retriever threshold": lambda s, f: s.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 99, "filter": f, "score_threshold": 0.0}
    ).invoke("play"),
    "as_retriever batch": lambda s, f: _retriever(s, f).batch(["play", "other"])[0],
    "as_retriever abatch": lambda s, f: asyncio.run(_retriever(s, f).abatch(["play", "other"]))[1],
    "as_retriever ainvoke": lambda s, f: asyncio.run(_retriever(s, f).ainvoke("play")),
    "DPRRetriever": lambda s, f: DPRRetriever.from_store(s, k=99, filter=f).invoke("play"),
    "DPRRetriever call": lambda s, f: DPRRetriever.from_store(s, k=99).invoke("play", filter=f),
    "DPRRetriever on the core": lambda s, f: DPRRetriever(store=s.store, k=99).invoke("play", filter=f),
    "DPRRetriever batch": lambda s, f: DPRRetriever.from_store(s, k=99, filter=f).batch(["play"])[0],
    "a copy": lambda s, f: copy.deepcopy(s).similarity_search("play", 99, f),
    "another store on it": lambda s, f: DPRVectorStore(store=s.store).similarity_search("play", 99, f),
}
BLANK: dict[str, Search] = {
    "blank": lambda s, f: s.similarity_search(" ", 99, f),
    "blank, by a retriever": lambda s, f: _retriever(s, f).invoke(""),
}


@pytest.fixture
def whole(words: Any, place: str) -> Iterator[Store]:  # noqa: F811
    with open_store(place, encoder=words) as store:
        everybody = DPRVectorStore(store=store)
        for tenant in "ab":
            metadata = {"tenant": tenant}
            texts = [Document(f"play {at} of {tenant}", metadata=metadata, id=f"{tenant}{at}") for at in range(3)]
            everybody.add_documents(texts)
        yield store


@pytest.fixture
def of_a(whole: Store) -> DPRVectorStore:
    return DPRVectorStore(store=whole, fixed_filter={"tenant": "a"})


def mine(where: Any) -> set[str]:
    hidden = ("the other", "not mine", "none of", "ids", "predicate on metadata")
    return set() if any(where is ATTACKS[name] for name in hidden) else {"a0", "a1", "a2"}


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_stays_inside(of_a: DPRVectorStore, search: str) -> None:
    for attack, where in ATTACKS.items():
        found = SEARCHES[search](of_a, where)
        assert {one.id for one in found} == mine(where), attack
        assert {one.metadata["tenant"] for one in found} <= {"a"}


@pytest.mark.parametrize("search", BLANK)
def test_blank_questions_stay_inside(of_a: DPRVectorStore, search: str) -> None:
    for attack, where in ATTACKS.items():
        found = {one.id for one in BLANK[search](of_a, where)}
        assert found == (set() if attack in ("none", "empty") else mine(where)), attack


@pytest.mark.parametrize("word", ["where", "filters", "pre_filter", "fixed_filter", "where_document", "expr"])
def test_other_words_for_a_filter_are_refused(of_a: DPRVectorStore, word: str) -> None:
    with pytest.raises(TypeError, match=word):
        of_a.similarity_search("play", **{word: {"tenant": "b"}})
    with pytest.raises((TypeError, ValueError), match=word):
        of_a.as_retriever(search_kwargs={word: {"tenant": "b"}}).invoke("play")
    with pytest.raises(TypeError, match=word):
        DPRRetriever.from_store(of_a).invoke("play", **{word: {"tenant": "b"}})
    with pytest.raises(TypeError, match=word):
        of_a.delete(**{word: {"tenant": "b"}})


@pytest.mark.parametrize("where", [{"$nor": [{"tenant": "a"}]}, [{"tenant": "b"}], "tenant", {"$where": "1"}])
def test_what_is_no_filter_is_refused(of_a: DPRVectorStore, where: Any) -> None:
    with pytest.raises(FilterError):
        of_a.similarity_search("play", filter=where)
    with pytest.raises(FilterError):
        of_a.delete(filter=where)


def left(whole: Store) -> set[str]:
    return {one.id for one in whole}


@pytest.mark.parametrize(
    ("delete", "gone"),
    [
        (lambda store: store.delete(["b0", "a0"]), {"a0"}),
        (lambda store: asyncio.run(store.adelete(["b0", "a0"])), {"a0"}),
        (lambda store: store.delete(filter={"tenant": "b"}), set()),
        (lambda store: store.delete(filter={"tenant": {"$exists": True}}), {"a0", "a1", "a2"}),
        (lambda store: store.delete(filter={"$or": [{"id": "b1"}, {"id": "a1"}]}), {"a1"}),
        (lambda store: store.delete(filter=lambda document: True), {"a0", "a1", "a2"}),
        (lambda store: store.delete(), {"a0", "a1", "a2"}),
        (lambda store: asyncio.run(store.adelete()), {"a0", "a1", "a2"}),
        (lambda store: store.delete([]), set()),
    ],
)
def test_deleting_touches_nobody_else(whole: Store, of_a: DPRVectorStore, delete: Any, gone: set[str]) -> None:
    before = left(whole)
    delete(of_a)
    assert before - left(whole) == gone


def test_ids_of_others_are_unknown(of_a: DPRVectorStore) -> None:
    assert [one.id for one in of_a.get_by_ids(["b0", "a1", "b1"])] == ["a1"]
    assert [one.id for one in asyncio.run(of_a.aget_by_ids(["b0", "a1"]))] == ["a1"]


ADDING: dict[str, Callable[[DPRVectorStore, list[Document], Any], list[str]]] = {
    "add_documents": lambda s, d, i: s.add_documents(d, ids=i),
    "aadd_documents": lambda s, d, i: asyncio.run(s.aadd_documents(d, ids=i)),
    "add_texts": lambda s, d, i: s.add_texts([one.page_content for one in d], [one.metadata for one in d], ids=i),
    "aadd_texts": lambda s, d, i: asyncio.run(
        s.aadd_texts([one.page_content for one in d], [one.metadata for one in d], ids=i)
    ),
    "add_embeddings": lambda s, d, i: s.add_embeddings(
        [(one.page_content, VECTOR) for one in d], [one.metadata for one in d], ids=i
    ),
}


@pytest.mark.parametrize("adding", ADDING)
def test_what_is_added_belongs_to_the_tenant(whole: Store, of_a: DPRVectorStore, adding: str) -> None:
    add = ADDING[adding]
    given = [Document("play new", metadata={"n": 1})]
    assert add(of_a, given, ["new"]) == ["new"]
    assert whole.get(["new"])[0].metadata == {"n": 1, "tenant": "a"}
    assert given[0].metadata == {"n": 1}
    for wrong in ("b", None, ["a", "b"], 0):
        with pytest.raises(PassageError, match="does not fit the filter of the view"):
            add(of_a, [Document("play", metadata={"tenant": wrong})], ["mine"])
    with pytest.raises(PassageError, match="outside of this view"):
        add(of_a, [Document("taken over")], ["b0"])
    assert [one.text for one in whole.get(["b0"])] == ["play 0 of b"]


def test_equal_documents_of_two_tenants_are_two(whole: Store, of_a: DPRVectorStore) -> None:
    of_b = DPRVectorStore(store=whole, fixed_filter={"tenant": "b"})
    first, second = (store.add_documents([Document("the same text")]) for store in (of_a, of_b))
    assert first != second
    assert of_a.add_documents([Document("the same text")]) == first
    assert (len(of_a.store), len(of_b.store)) == (4, 4)


def test_embeddings_of_others_that_are_waited_for_stay_inside(foreign: Any) -> None:
    with DPRVectorStore(foreign, fixed_filter={"tenant": "a"}) as store:
        asyncio.run(store.aadd_documents([Document("x", id="1"), Document("y", id="2")]))
        asyncio.run(store.aadd_documents([Document("x", id="1", metadata={"n": 2})]))
        assert [one.metadata for one in store.get_by_ids(["1", "2"])] == [{"n": 2, "tenant": "a"}, {"tenant": "a"}]


def test_indexing_cleans_up_the_tenants_own(whole: Store, of_a: DPRVectorStore) -> None:
    manager = InMemoryRecordManager("a")
    manager.create_schema()
    for texts in (["one", "two"], ["two"]):
        given = [Document(text, metadata={"source": "s"}) for text in texts]
        index(given, manager, of_a, cleanup="full", source_id_key="source", key_encoder="sha256")
    assert {one.text for one in of_a.store} == {"play 0 of a", "play 1 of a", "play 2 of a", "two"}
    assert {"b0", "b1", "b2"} < left(whole)


def test_structured_queries_stay_inside(of_a: DPRVectorStore) -> None:
    """SelfQueryRetriever puts the model's filter in the place of that in search_kwargs, which is none of a tenant then."""
    for directive in (
        Comparison(Comparator.EQ, "tenant", "b"),
        Operation(Operator.NOT, [Comparison(Comparator.EQ, "tenant", "a")]),
    ):
        _, more = DPRTranslator().visit_structured_query(StructuredQuery("play", directive))
        assert of_a.search("play", "similarity", **{"filter": {"tenant": "a"}, **more}) == []


def test_setting_another_store_keeps_the_filter(whole: Store, of_a: DPRVectorStore) -> None:
    of_a.store = whole
    assert {one.id for one in of_a.similarity_search("play", 99)} == {"a0", "a1", "a2"}


def test_a_folder_and_the_ways_to_make_one(tmp_path: Path, words: Any) -> None:
    path = tmp_path / "s"
    with DPRVectorStore.from_texts(["play x"], words, ids=["x"], path=path, fixed_filter={"tenant": "a"}) as store:
        assert store.get_by_ids(["x"])[0].metadata == {"tenant": "a"}
    with DPRVectorStore(words, path=path, fixed_filter={"tenant": "b"}) as store:
        assert store.similarity_search("play") == []
        assert store.get_by_ids(["x"]) == []
    with pytest.raises(TypeError, match="here it is fixed_filter="):
        DPRVectorStore(words, path=path, tenant="a")
    for wrong in ({}, {"$or": []}, "a", {"tenant": {"$nor": 1}}):
        with pytest.raises(FilterError):
            DPRVectorStore(words, path=path, fixed_filter=wrong)
    with DPRVectorStore(words, path=path) as store:  # nobody holds it
        assert np.array([one.id for one in store.similarity_search("play")]) == ["x"]

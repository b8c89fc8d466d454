"""One ``SearchRequest`` for every kind of store: its checks, and that it finds what the keyword arguments find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import HashEncoder, make_passages
from serving import service_on

from dpr_rag import (
    Diversity,
    Hit,
    PassageStore,
    Ranking,
    RemoteRetriever,
    RemoteStore,
    Retriever,
    SearchRequest,
)
from dpr_rag.errors import DprRagError, PassageError, VectorError
from dpr_rag.fusion import RankingOptions
from dpr_rag.remote.requests import request_record
from dpr_rag.stores import execute

QUESTIONS = ["text number 3 title 3", "number 11"]
REQUEST = SearchRequest(QUESTIONS, 4, {"half": 1}, diversity=Diversity(9, 0.4), min_relevance=0.01)


@pytest.fixture
def filled(store: PassageStore) -> PassageStore:
    store.add(make_passages(40))
    return store


@pytest.fixture
def remote(filled: PassageStore, tmp_path: Path) -> Iterator[RemoteStore]:
    with service_on(tmp_path / "s", {"plays": filled}) as uds, RemoteStore("http://127.0.0.1:1", uds=uds) as opened:
        yield opened


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"questions": "who?"}, PassageError, r"wrap it as \[question\]"),
        ({"questions": [" "]}, PassageError, "question"),
        ({"k": 0}, VectorError, "k is 0"),
        ({"ranking": "hybrid"}, VectorError, "ranking is the string 'hybrid', expected a Ranking"),
        ({"diversity": 0.5}, VectorError, "diversity is float 0.5, expected a Diversity"),
        ({"min_relevance": 1.5}, VectorError, "min_relevance is"),
    ],
)
def test_what_no_store_could_do_is_refused_when_it_is_made(
    given: dict[str, Any], error: type[DprRagError], message: str
) -> None:
    with pytest.raises(error, match=message):
        SearchRequest(**given)


@pytest.mark.parametrize("ranking", [None, Ranking("bm25"), Ranking("hybrid", 0.5), RankingOptions("hybrid", b=0.1)])
def test_a_request_finds_what_the_arguments_find(filled: PassageStore, ranking: Any) -> None:
    retriever, request = Retriever(filled), replace(REQUEST, ranking=ranking)
    settled = filled.ranking_of(ranking) if isinstance(ranking, RankingOptions) else ranking
    expected = filled.rank(QUESTIONS, 4, {"half": 1}, ranking=settled, diversity=Diversity(9, 0.4), min_relevance=0.01)
    assert any(expected)
    assert retriever.execute(request) == expected == execute(filled, request)


async def waited_for(remote: RemoteStore) -> list[list[Hit]]:
    async with RemoteRetriever(RemoteStore(remote._channel.address, uds=remote._channel._uds)) as retriever:
        hits = await retriever.aexecute(REQUEST)
        await retriever.store.aclose()
    return hits


def test_a_service_finds_the_same(filled: PassageStore, remote: RemoteStore) -> None:
    expected = Retriever(filled).execute(REQUEST)
    for retriever in (RemoteRetriever(remote), Retriever(remote)):
        assert retriever.execute(REQUEST) == expected
    assert asyncio.run(waited_for(remote)) == expected == execute(remote, REQUEST)
    hybrid = replace(REQUEST, ranking=RankingOptions("hybrid", 0.5))
    assert RemoteRetriever(remote).execute(hybrid) == Retriever(filled).execute(hybrid)
    assert RemoteRetriever(remote, mode="hybrid", weight=0.5).execute(REQUEST) == Retriever(filled).execute(hybrid)


@pytest.mark.parametrize("make", [Retriever, RemoteRetriever])
def test_what_a_request_leaves_open_is_as_in_the_constructor(
    filled: PassageStore, remote: RemoteStore, make: Callable[..., Retriever | RemoteRetriever]
) -> None:
    retriever = make(filled if make is Retriever else remote, k=3, mode="bm25")
    expected = filled.rank(QUESTIONS, 3, ranking=Ranking("bm25"))
    assert retriever.execute(SearchRequest(QUESTIONS)) == expected
    assert retriever.execute(SearchRequest([])) == []


def test_vectors_without_questions_are_ranked_by_inner_product(filled: PassageStore, encoder: HashEncoder) -> None:
    vectors = encoder.encode_questions(QUESTIONS)
    request = SearchRequest(k=5, vectors=vectors)
    expected = filled.search(vectors, 5)
    assert Retriever(filled).execute(request) == expected
    assert execute(filled, replace(request, exact=True)) == filled.search(vectors, 5, exact=True)
    for words in (replace(request, ranking=Ranking("bm25")), replace(request, ranking=RankingOptions("hybrid"))):
        with pytest.raises(VectorError, match="needs questions in words"):
            Retriever(filled).execute(words)
    with pytest.raises(VectorError, match="k is None, expected"):
        execute(filled, replace(request, k=None))


def test_the_body_of_a_request_holds_what_it_says_and_nothing_else() -> None:
    assert request_record(SearchRequest(QUESTIONS, 4)) == {"questions": QUESTIONS, "k": 4}
    assert request_record(replace(REQUEST, ranking=RankingOptions("hybrid", k1=1.2), vectors=[[1.0], [0.5]])) == {
        "questions": QUESTIONS,
        "k": 4,
        "filter": {"half": {"$eq": 1}},
        "mode": "hybrid",
        "k1": 1.2,
        "diversity": {"candidates": 9, "balance": 0.4},
        "min_relevance": 0.01,
        "vectors": [[1.0], [0.5]],
    }
    with pytest.raises(VectorError, match="vectors"):
        request_record(SearchRequest(k=4))


def test_diversity_chooses_among_its_candidates_and_at_least_among_as_many_as_are_wanted() -> None:
    depths = [SearchRequest(QUESTIONS, k, diversity=one).depth for k in (None, 4, 40) for one in (None, Diversity(9))]
    assert depths == [0, 9, 4, 9, 40, 40]

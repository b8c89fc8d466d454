"""Two retrievals of one passage are one document: what merges, compares, dumps or caches documents sees it once.

The merging rules are rebuilt here, since the package that holds them (langchain-classic) is not among the tests' needs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.load import dumps, loads
from langchain_core.messages import ToolMessage
from langchain_core.tools import create_retriever_tool

from langchain_dpr_rag import RANK_KEY, RELEVANCE_KEY, SCORE_KEY, DPRRetriever, DPRVectorStore

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
QUESTION = "a tragedy by Goethe"
QUESTIONS = [QUESTION, "a comedy by Shakespeare", "an epic about Troy"]


def ids_of(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def unique_union(documents: list[Document]) -> list[Document]:
    """As MultiQueryRetriever merges the answers to several wordings of a question."""
    return [document for at, document in enumerate(documents) if document not in documents[:at]]


def fused(answers: list[list[Document]], k: int = 60) -> list[tuple[str | None, float]]:
    """Reciprocal rank fusion as the recipes write it, keyed by the dumped document."""
    scores: dict[str, float] = defaultdict(float)
    for answer in answers:
        for rank, document in enumerate(answer):
            scores[dumps(document)] += 1 / (rank + k)
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    return [(loads(text, allowed_objects=[Document]).id, score) for text, score in ranked]


def test_the_union_of_several_questions_has_every_passage_once(plays: DPRVectorStore) -> None:
    answers = DPRRetriever.from_store(plays, k=3).batch(QUESTIONS)
    everything = [document for answer in answers for document in answer]
    merged = unique_union(everything)
    assert len(everything) == 9
    assert sorted(ids_of(merged)) == ["errors", "faust", "hamlet", "iliad"]


def test_rank_fusion_by_the_dumped_document_sums(plays: DPRVectorStore) -> None:
    answers = DPRRetriever.from_store(plays, k=3).batch(QUESTIONS)
    expected: dict[str | None, float] = defaultdict(float)
    for answer in answers:
        for rank, document in enumerate(answer):
            expected[document.id] += 1 / (rank + 60)
    assert dict(fused(answers)) == pytest.approx(dict(expected))


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "bm25"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "fusion": "rrf"},
        {"search_type": "mmr"},
        {"score_threshold": 0.0},
        {"filter": {"year": {"$exists": True}}},
        {"filter": lambda document: document.metadata.pop("year", None) is None or True},
        {"k": 1},
    ],
)
def test_a_passage_is_the_same_document_however_it_was_found(plays: DPRVectorStore, options: dict[str, Any]) -> None:
    retriever = DPRRetriever.from_store(plays, **options)
    everything = plays.get_by_ids(["hamlet", "errors", "faust", "iliad"])
    known = {document.id: dumps(document) for document in everything}
    for found in (retriever.invoke(QUESTION), asyncio.run(retriever.ainvoke(QUESTION)), *retriever.batch(QUESTIONS)):
        assert found
        assert {one.id: dumps(one) for one in found} == {one.id: known[one.id] for one in found}
        assert all(one in everything for one in found)


def test_the_vector_store_finds_the_same_documents(plays: DPRVectorStore) -> None:
    known = {document.id: document for document in DPRRetriever.from_store(plays).invoke(QUESTION)}
    assert len(known) == 4
    scored = plays.similarity_search_with_score(QUESTION)
    relevant = plays.similarity_search_with_relevance_scores(QUESTION)
    mmr = plays.as_retriever(search_type="mmr").invoke(QUESTION)
    for found in (plays.similarity_search(QUESTION), [one for one, _ in scored], [one for one, _ in relevant], mmr):
        assert {one.id: one for one in found} == known


def test_what_a_user_does_to_a_document_reaches_no_later_one(plays: DPRVectorStore) -> None:
    retriever = DPRRetriever.from_store(plays)
    before = [dumps(document) for document in retriever.invoke(QUESTION)]
    for document in retriever.invoke(QUESTION):
        document.metadata["mine"] = 1
        document.metadata.get("tags", []).append("mine")
    assert [dumps(document) for document in retriever.invoke(QUESTION)] == before


@pytest.mark.parametrize("call", ["constructor", "invoke"])
def test_scores_come_on_request(plays: DPRVectorStore, call: str) -> None:
    scored = plays.similarity_search_with_score(QUESTION, k=3)
    asked = {"include_scores": True}
    retriever = DPRRetriever.from_store(plays, k=3, **(asked if call == "constructor" else {}))
    given = {} if call == "constructor" else asked
    found = retriever.invoke(QUESTION, **given)
    assert [(one.id, one.metadata[SCORE_KEY], one.metadata[RANK_KEY]) for one in found] == [
        (document.id, score, rank) for rank, (document, score) in enumerate(scored, 1)
    ]
    assert {type(one.metadata[SCORE_KEY]) for one in found} == {float}
    assert not any(RELEVANCE_KEY in one.metadata for one in found)
    assert asyncio.run(retriever.ainvoke(QUESTION, **given)) == found
    assert retriever.batch([QUESTION], **given) == [found]
    plain = retriever.invoke(QUESTION, include_scores=False)
    assert plain == [document for document, _ in scored]
    assert loads(dumps(found), allowed_objects=[Document]) == found


def test_indexing_what_was_retrieved_finds_it_indexed_already(plays: DPRVectorStore) -> None:
    records = InMemoryRecordManager("tests")
    records.create_schema()
    with DPRVectorStore(plays.store.encoder) as other:
        for question, added in ((QUESTION, 4), (QUESTIONS[1], 0)):
            found = DPRRetriever.from_store(plays).invoke(question)
            done = index(found, records, other, cleanup=None, key_encoder="sha256")
            assert (done["num_added"], done["num_skipped"]) == (added, 4 - added)


def test_a_tool_hands_on_the_documents_as_its_artifact(plays: DPRVectorStore) -> None:
    retriever = DPRRetriever.from_store(plays, k=2)
    tool = create_retriever_tool(retriever, "plays", "Finds plays.", response_format="content_and_artifact")
    call = {"name": "plays", "args": {"query": QUESTION}, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    assert isinstance(message, ToolMessage)
    assert message.artifact == plays.similarity_search(QUESTION, k=2)

"""The second stage in LangChain: a compressor behind any retriever, and the retriever's own."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError
from readers import trained_reader
from serving import service_on

from dpr_rag import Hit, Passage, PassageStore, Reader, RemoteStore, Retriever
from dpr_rag.errors import ArgumentError, PassageError
from langchain_dpr_rag import ANSWER_KEY, RETRIEVED_KEY, SCORE_KEY, DPRReranker, DPRRetriever, DPRVectorStore

QUESTION = "who is king"
NOTHING = Document(page_content="the a is it", metadata={"title": "denmark", "page": 3})
KING = Document(id="k", page_content="is a king of the hamlet", metadata={"title": "king", "tags": ["x"]})


class Crossed:
    """What sentence-transformers' CrossEncoder is to a caller: longer texts are better."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += pairs
        return [float(len(text)) for _, text in pairs]


class Fixed(BaseRetriever):
    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_reader(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader.from_pretrained(folder)


def test_a_reader_orders_documents_and_points_out_the_answer(reader: Reader) -> None:
    given = [NOTHING, KING]
    before = copy.deepcopy(given)
    found = DPRReranker(reranker=reader, rerank_weight=1).compress_documents(given, QUESTION)
    hits = reader.rerank(
        QUESTION,
        [Hit(Passage(str(at), one.page_content, one.metadata["title"]), 0.0, 1) for at, one in enumerate(given)],
    )
    assert [one.page_content for one in found] == [KING.page_content, NOTHING.page_content]
    assert [one.metadata["relevance_score"] for one in found] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    king, nothing = found
    answer = king.metadata.pop(ANSWER_KEY)
    assert answer == {"text": "king", "start": 5, "end": 9, "probability": pytest.approx(hits[0].answer.probability)}
    assert KING.page_content[answer["start"] : answer["end"]] == "king"
    assert king.metadata == {**KING.metadata, "relevance_score": king.metadata["relevance_score"]}
    assert (king.id, nothing.id) == ("k", None)
    assert ANSWER_KEY not in nothing.metadata
    assert nothing.metadata.keys() == {"title", "page", "relevance_score"}
    assert given == before  # what was given stays as it was
    json.dumps([one.metadata for one in found])


def test_behind_a_retriever_both_ways(reader: Reader) -> None:
    whole = ContextualCompressionRetriever(
        base_compressor=DPRReranker(reranker=reader, top_n=1), base_retriever=Fixed(documents=[NOTHING, KING])
    )
    assert [one.metadata[ANSWER_KEY]["text"] for one in whole.invoke(QUESTION)] == ["king"]
    assert asyncio.run(whole.ainvoke(QUESTION)) == whole.invoke(QUESTION)
    assert whole.batch([QUESTION]) == [whole.invoke(QUESTION)]


def test_what_it_is_made_of(reader: Reader, folder: Path) -> None:
    assert DPRReranker(reranker=folder).reranker.fingerprint == reader.fingerprint
    assert DPRReranker(reranker=str(folder)).reranker.fingerprint == reader.fingerprint
    crossed = Crossed()
    found = DPRReranker(reranker=crossed, rerank_weight=1.0).compress_documents([NOTHING, KING], QUESTION)
    assert crossed.asked == [(QUESTION, "denmark the a is it"), (QUESTION, "king is a king of the hamlet")]
    assert [one.metadata["relevance_score"] for one in found] == [28.0, 19.0]
    for wrong in (3, Crossed, None):
        with pytest.raises((ArgumentError, ValidationError), match="expected a Reader"):
            DPRReranker(reranker=wrong)
    for name, right in {"model": "reranker", "k": "top_n", "weight": "rerank_weight"}.items():
        with pytest.raises(ValidationError, match=f"{name}: there is no such field; here it is {right}"):
            DPRReranker(reranker=crossed, **{name: 1})
    for wrong in ({"top_n": 0}, {"top_n": True}, {"rerank_weight": 2}, {"nonsense": 1}):
        with pytest.raises(ValidationError):
            DPRReranker(reranker=crossed, **wrong)


def test_fields_can_be_set_and_copied_and_nothing_is_pickled(reader: Reader) -> None:
    made = DPRReranker(reranker=reader)
    made.top_n = 1
    with pytest.raises(ValidationError):
        made.top_n = 0
    assert (made.top_n, len(made.compress_documents([NOTHING, KING], QUESTION))) == (1, 1)
    for copied in (copy.copy(made), copy.deepcopy(made), made.model_copy(), made.model_copy(deep=True)):
        assert copied.reranker is reader
        assert copied == made
    other = made.model_copy(update={"top_n": 2})
    assert (other.top_n, made.top_n) == (2, 1)
    with pytest.raises(ValidationError):
        made.model_copy(update={"top_n": 0})
    with pytest.raises(TypeError, match=r"loaded and cannot be pickled; load it where it is used"):
        pickle.dumps(made)


def test_the_order_of_the_search_counts_beside_the_reranker() -> None:
    documents = [Document(page_content="x" * size, metadata={"n": at}) for at, size in enumerate((1, 9, 3, 2))]

    def order(weight: float, given: list[Document] = documents) -> list[int]:
        made = DPRReranker(reranker=Crossed(), top_n=4, rerank_weight=weight)
        return [one.metadata["n"] for one in made.compress_documents(given, QUESTION)]

    assert order(0) == [0, 1, 2, 3]
    assert order(1) == [1, 2, 3, 0]
    found = DPRReranker(reranker=Crossed(), top_n=4, rerank_weight=0.5).compress_documents(documents, QUESTION)
    lists = [[1.0, 9.0, 3.0, 2.0], [-math.log(rank) for rank in (1, 2, 3, 4)]]
    standard = [
        [(one - sum(each) / 4) / (sum((x - sum(each) / 4) ** 2 for x in each) / 4) ** 0.5 for one in each]
        for each in lists
    ]
    wanted = sorted(((a + b) / 2 for a, b in zip(*standard, strict=True)), reverse=True)
    assert [one.metadata["relevance_score"] for one in found] == pytest.approx(wanted)
    scored = [
        one.model_copy(update={"metadata": {**one.metadata, SCORE_KEY: float(at)}}) for at, one in enumerate(documents)
    ]
    assert order(0, scored) == [3, 2, 1, 0]  # by what the search said, where it said it
    for at, whole in enumerate((0, 1, np.float32(2), np.int64(3))):
        scored[at] = documents[at].model_copy(update={"metadata": {"n": at, SCORE_KEY: whole}})
    assert order(0, scored) == [3, 2, 1, 0]
    for lost in (math.nan, math.inf, -math.inf, True, "1", 10**400):
        scored[1] = documents[1].model_copy(update={"metadata": {"n": 1, SCORE_KEY: lost}})
        assert order(0, scored) == [0, 1, 2, 3]
        assert order(1, scored) == [1, 2, 3, 0]


def test_nothing_and_what_cannot_be_read(reader: Reader) -> None:
    made = DPRReranker(reranker=reader, top_n=5)
    assert made.compress_documents([], QUESTION) == []
    blank = Document(page_content=" \n", metadata={"page": 1})
    assert made.compress_documents([blank], QUESTION) == [blank]
    found = made.compress_documents([blank, NOTHING, KING], QUESTION)
    assert [one.page_content for one in found] == [KING.page_content, NOTHING.page_content, blank.page_content]
    scores = [one.metadata["relevance_score"] for one in found]
    assert scores[0] > scores[1] == scores[2]
    assert found[2].metadata == {**blank.metadata, "relevance_score": scores[2]}
    before = {"relevance_score": 9.0, ANSWER_KEY: {"text": "of another question"}}
    again = made.compress_documents([Document(page_content=" ", metadata=before), KING], QUESTION)
    assert again[1].metadata == {"relevance_score": again[0].metadata["relevance_score"]}
    assert made.compress_documents([NOTHING, KING], "  ") == [NOTHING, KING]
    (half,) = made.compress_documents([Document(page_content="king \ud800")], QUESTION)
    assert half.page_content == "king \ud800"
    twins = made.compress_documents([KING, KING], QUESTION)
    assert [one.metadata[ANSWER_KEY]["text"] for one in twins] == ["king", "king"]
    with pytest.raises(PassageError, match=r"the question is dict .*pick it out of the dict"):
        made.compress_documents([KING], {"question": QUESTION})
    with pytest.raises(ArgumentError, match="document 1 is str"):
        made.compress_documents(["text"], QUESTION)


def test_answers_of_an_earlier_question_do_not_stay(reader: Reader) -> None:
    made = DPRReranker(reranker=reader)
    (first,) = made.compress_documents([KING], QUESTION)
    (second,) = made.compress_documents([first], "who is denmark")
    assert ANSWER_KEY in first.metadata
    assert ANSWER_KEY not in second.metadata


def test_the_retriever_has_a_second_stage_of_its_own(plays: DPRVectorStore, reader: Reader) -> None:
    core, crossed = plays.store, Crossed()
    options = {"reranker": crossed, "rerank": 3, "rerank_weight": 1.0}
    retriever = DPRRetriever(store=core, k=2, include_scores=True, **options)
    wanted = Retriever(core, k=2, **options).retrieve("a tragedy")
    found = retriever.invoke("a tragedy")
    assert [(one.id, one.metadata[SCORE_KEY], one.metadata[RETRIEVED_KEY]) for one in found] == [
        (hit.passage.id, hit.score, hit.retrieved) for hit in wanted
    ]
    assert asyncio.run(retriever.ainvoke("a tragedy")) == retriever.batch(["a tragedy"])[0] == found
    assert not {SCORE_KEY, RETRIEVED_KEY, ANSWER_KEY} & set().union(
        *(one.metadata for one in retriever.invoke("a tragedy", include_scores=False))
    )
    (one, *_) = retriever.invoke("a tragedy", score_threshold=0.0)
    calibration = Retriever(core).calibration
    assert one.metadata["dpr_relevance"] == calibration.relevance(one.metadata[RETRIEVED_KEY])
    retriever.reranker = None
    assert [one.id for one in retriever.invoke("a tragedy")] == [
        hit.passage.id for hit in Retriever(core, k=2).retrieve("a tragedy")
    ]
    retriever.reranker = reader
    assert copy.deepcopy(retriever).reranker is reader
    for wrong in ({"reranker": "name"}, {"rerank": 0}, {"rerank_weight": 1.5}):
        with pytest.raises((ValidationError, ArgumentError)):
            DPRRetriever(store=core, **wrong)


def test_the_retriever_gives_answers_with_the_scores(reader: Reader, words: Any) -> None:
    with PassageStore.temporary(encoder=words) as core:
        core.add([Passage("k", KING.page_content, "king"), Passage("n", NOTHING.page_content, "denmark")])
        (first, second) = DPRRetriever(store=core, k=2, reranker=reader, include_scores=True).invoke(QUESTION)
        assert first.metadata[ANSWER_KEY]["text"] == "king"
        assert ANSWER_KEY not in second.metadata
        with DPRVectorStore.from_documents([first], words) as other:  # what a search wrote does not go into a store
            assert [passage.metadata for passage in other.store] == [{}]


def test_the_second_stage_reads_what_a_service_found(plays: DPRVectorStore, tmp_path: Path) -> None:
    options = {"reranker": Crossed(), "rerank": 4, "rerank_weight": 1.0}
    wanted = [hit.passage.id for hit in Retriever(plays.store, k=2, **options).retrieve("a tragedy")]
    assert wanted != [hit.passage.id for hit in Retriever(plays.store, k=2).retrieve("a tragedy")]
    with (
        service_on(tmp_path / "u", {"plays": plays.store}) as uds,
        RemoteStore("http://127.0.0.1:8000", uds=uds) as there,
    ):
        retriever = DPRRetriever(store=there, k=2, **options)
        assert [one.id for one in retriever.invoke("a tragedy")] == wanted
        assert [one.id for one in asyncio.run(retriever.ainvoke("a tragedy"))] == wanted
        assert [one.id for one in retriever.batch(["a tragedy"])[0]] == wanted

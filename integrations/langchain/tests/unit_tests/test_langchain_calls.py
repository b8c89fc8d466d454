"""Arguments of single calls: every way of calling checks them alike, and names them as the caller did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from dpr_rag.errors import ArgumentError, StoreError
from langchain_dpr_rag import DPRRetriever, DPRVectorStore


@pytest.mark.parametrize("size", [0, -1, True, "5", 1.5, None])
def test_a_batch_size_is_checked_alike_by_both_ways_of_adding(foreign: Embeddings, size: Any) -> None:
    documents = [Document(page_content="a tragedy", id="1")]
    with DPRVectorStore(foreign) as store:
        with pytest.raises(StoreError, match=r"batch_size is .*, expected an integer of at least 1") as told:
            store.add_documents(documents, batch_size=size)
        with pytest.raises(StoreError) as awaited:
            asyncio.run(store.aadd_documents(documents, batch_size=size))
        assert str(awaited.value) == str(told.value)
        assert store.store.count() == 0


@pytest.mark.parametrize("threshold", [True, "0.5", 3, -0.1, float("nan")])
def test_a_threshold_of_a_call_is_named_as_the_caller_named_it(plays: DPRVectorStore, threshold: Any) -> None:
    thresholded = plays.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.0, "k": 2}
    )
    for retriever in (DPRRetriever(store=plays.store), thresholded):
        for call in (
            lambda one: one.invoke("a tragedy", score_threshold=threshold),
            lambda one: one.batch(["a tragedy"], score_threshold=threshold),
            lambda one: asyncio.run(one.ainvoke("a tragedy", score_threshold=threshold)),
            lambda one: asyncio.run(one.abatch(["a tragedy"], score_threshold=threshold)),
        ):
            with pytest.raises(ArgumentError, match=r"score_threshold is .*, expected a number from 0 to 1"):
                call(retriever)


@pytest.mark.parametrize("flag", ["no", 1, []])
def test_a_flag_of_a_call_is_true_or_false(plays: DPRVectorStore, flag: Any) -> None:
    with pytest.raises(ArgumentError, match=r"include_scores is .*, expected True or False"):
        DPRRetriever(store=plays.store).invoke("a tragedy", include_scores=flag)


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_threshold_of_a_retriever_may_be_a_whole_number(plays: DPRVectorStore, threshold: int) -> None:
    def thresholded(least: float) -> Any:
        return plays.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": least})

    given = {"score_threshold": threshold}
    whole = plays.as_retriever(search_type="similarity_score_threshold", search_kwargs=given)
    expected = thresholded(float(threshold)).invoke("a tragedy")
    assert whole.invoke("a tragedy") == whole.batch(["a tragedy"])[0] == expected
    assert len(expected) == (4 if threshold == 0 else 0)
    changed = thresholded(0.5)
    changed.search_kwargs = given
    assert changed.invoke("a tragedy") == expected
    assert given == {"score_threshold": threshold}
    assert type(given["score_threshold"]) is int

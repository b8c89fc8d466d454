"""Questions in words: one, many, asynchronous, and refused."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import PassageStore, Retriever
from dpr_rag.errors import EncoderMismatchError, PassageError, VectorError

QUESTIONS = ["text number 3 title 3", "number 11", "title 5 text"]


def test_hits_are_those_of_the_encoded_question(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(40))
    retriever = Retriever(store, k=4)
    vectors = encoder.encode_questions(QUESTIONS)
    passages = list(store)
    scores = vectors.astype(np.float64) @ encoder.encode_passages(passages).astype(np.float64).T
    for question, line in zip(QUESTIONS, scores, strict=True):
        best = [passages[at] for at in np.argsort(-line, kind="stable")[:4]]
        assert [hit.passage for hit in retriever.retrieve(question)] == best
    assert retriever.retrieve_batch(QUESTIONS) == [retriever.retrieve(question) for question in QUESTIONS]
    assert len(retriever.retrieve(QUESTIONS[0], 7)) == 7
    assert {hit.passage.metadata["half"] for hit in retriever.retrieve(QUESTIONS[0], filter={"half": 1})} == {1}
    assert retriever.retrieve_batch([]) == []


def test_asynchronous_calls_leave_the_event_loop_free(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(10))
    retriever = Retriever(store, k=2)
    release = threading.Event()

    class Slow(HashEncoder):
        def encode_questions(self, questions: object) -> np.ndarray:
            assert release.wait(10), "the event loop was blocked"
            return super().encode_questions(questions)

    async def both() -> tuple[object, object]:
        slow = [asyncio.create_task(retriever.aretrieve(QUESTIONS[0]))]
        slow.append(asyncio.create_task(retriever.aretrieve_batch(QUESTIONS, k=1, filter={"half": 0})))
        await asyncio.sleep(0.05)
        release.set()
        return await slow[0], await slow[1]

    expected = retriever.retrieve(QUESTIONS[0]), retriever.retrieve_batch(QUESTIONS, 1, {"half": 0})
    store._engine.encoder = Slow()
    assert asyncio.run(both()) == expected


def test_bad_calls_are_refused(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(3))
    retriever = Retriever(store)
    for question in ("", "  ", None, 5):
        with pytest.raises(PassageError, match="question"):
            retriever.retrieve(question)  # type: ignore[arg-type]
    with pytest.raises(PassageError, match=r"call retrieve\(\) for one"):
        retriever.retrieve_batch("who?")
    for k in (0, -1, True, 1.5):
        with pytest.raises(VectorError, match="k is"):
            Retriever(store, k=k)  # type: ignore[arg-type]
    with pytest.raises(VectorError, match="k is 0"):
        retriever.retrieve("who?", k=0)
    with PassageStore.open(store.path) as bare, pytest.raises(EncoderMismatchError, match="without an encoder"):
        Retriever(bare).retrieve("who?")

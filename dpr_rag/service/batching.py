"""Dynamic batching: questions that arrive while the encoder is busy are encoded together in the next batch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from dpr_rag.encoder import Encoder, Vectors, check_vectors
from dpr_rag.passages import Passage
from dpr_rag.service.limits import Limits
from dpr_rag.service.metrics import Metrics

_Result = TypeVar("_Result")


class _PendingQuestions(NamedTuple):
    questions: list[str]
    answer: asyncio.Future[Vectors]


class Batcher:
    """Encodes in one thread, one batch at a time, which gives the highest throughput.

    A question has the same vector alone and in a batch, so that its vector tells nothing of other people's questions.

    Args:
        encoder: The encoder.
        limits: Size of a batch, and how long questions are collected for one.
        metrics: Count batches.
    """

    def __init__(self, encoder: Encoder, limits: Limits, metrics: Metrics) -> None:
        self.encoder = encoder
        self._limits, self._metrics = limits, metrics
        self._waiting: deque[_PendingQuestions] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dpr-rag-encoder")
        self._task: asyncio.Task[None] | None = None

    async def encode(self, questions: Sequence[str]) -> Vectors:
        """Vectors of questions, float32 [n, dim]. A cancelled call leaves the queue."""
        batch_size = self._limits.batch
        parts = [
            self._enqueue(list(questions[start : start + batch_size])) for start in range(0, len(questions), batch_size)
        ]
        try:
            vectors = [await part for part in parts]
            return np.concatenate(vectors) if vectors else np.empty((0, int(self.encoder.dim)), np.float32)
        finally:
            for part in parts:
                part.cancel()

    async def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Vectors of passages, float32 [n, dim], between the batches of questions."""
        batch_size, parts = self._limits.batch, []
        for start in range(0, len(passages), batch_size):
            part = list(passages[start : start + batch_size])
            parts.append(
                check_vectors(await self.run_between(partial(self.encoder.encode_passages, part)), rows=len(part))
            )
        return np.concatenate(parts) if parts else np.empty((0, int(self.encoder.dim)), np.float32)

    async def run_between(self, action: Callable[[], _Result]) -> _Result:
        """Run another action that encodes, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def close(self) -> None:
        """Wait for the batch that is being encoded, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _enqueue(self, questions: list[str]) -> asyncio.Future[Vectors]:
        answer: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append(_PendingQuestions(questions, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve_queue())
        return answer

    async def _serve_queue(self) -> None:
        while self._waiting:
            if sum(len(pending.questions) for pending in self._waiting) < self._limits.batch:
                await asyncio.sleep(self._limits.pause)
            if batch := self._next_batch():
                await self._answer(batch)

    def _next_batch(self) -> list[_PendingQuestions]:
        """Take the next batch from the queue, without cancelled questions."""
        batch, room = [], self._limits.batch
        while self._waiting and (self._waiting[0].answer.done() or len(self._waiting[0].questions) <= room):
            pending = self._waiting.popleft()
            if not pending.answer.done():
                batch.append(pending)
                room -= len(pending.questions)
        return batch

    async def _answer(self, batch: Sequence[_PendingQuestions]) -> None:
        questions = [question for pending in batch for question in pending.questions]
        try:
            vectors = await self.run_between(lambda: self._encoded(questions))
        except (
            Exception
        ) as error:  # an encoder's error goes to the request that caused it, not to the rest of its batch
            if len(batch) == 1:
                _fail(batch[0], error)
            else:
                for pending in batch:
                    await self._answer([pending])
            return
        ends = np.cumsum([len(pending.questions) for pending in batch])
        for pending, rows in zip(batch, np.split(vectors, ends[:-1]), strict=True):
            if not pending.answer.done():
                pending.answer.set_result(rows)

    def _encoded(self, questions: list[str]) -> Vectors:
        start = time.perf_counter()
        vectors = check_vectors(self.encoder.encode_questions(questions), rows=len(questions), names=questions)
        self._metrics.encoded(len(questions), time.perf_counter() - start)
        return vectors


def _fail(pending: _PendingQuestions, error: Exception) -> None:
    if not pending.answer.done():
        pending.answer.set_exception(error)

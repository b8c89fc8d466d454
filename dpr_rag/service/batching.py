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
from dpr_rag.service.meters import Meters

_Result = TypeVar("_Result")


class _Waiting(NamedTuple):
    questions: list[str]
    answer: asyncio.Future[Vectors]


class Batcher:
    """Encodes in one thread, one batch at a time, which is what gets most out of an encoder.

    A question has the same vector alone and in a batch, so that nobody can tell what it was encoded with.

    Args:
        encoder: What encodes.
        limits: How many questions make a batch, and how long they are collected.
        meters: Count batches.
    """

    def __init__(self, encoder: Encoder, limits: Limits, meters: Meters) -> None:
        self.encoder = encoder
        self._limits, self._meters = limits, meters
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dpr-rag-encoder")
        self._task: asyncio.Task[None] | None = None

    async def encode(self, questions: Sequence[str]) -> Vectors:
        """Vectors of questions, float32 [n, dim].

        Whoever gives up waiting leaves the queue.
        """
        most = self._limits.batch
        parts = [self._join(list(questions[at : at + most])) for at in range(0, len(questions), most)]
        try:
            found = [await part for part in parts]
            return np.concatenate(found) if found else np.empty((0, int(self.encoder.dim)), np.float32)
        finally:
            for part in parts:
                part.cancel()

    async def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Vectors of passages, float32 [n, dim], between the batches of questions."""
        most, parts = self._limits.batch, []
        for at in range(0, len(passages), most):
            some = list(passages[at : at + most])
            parts.append(check_vectors(await self.alone(partial(self.encoder.encode_passages, some)), rows=len(some)))
        return np.concatenate(parts) if parts else np.empty((0, int(self.encoder.dim)), np.float32)

    async def alone(self, action: Callable[[], _Result]) -> _Result:
        """Run something else that encodes, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def close(self) -> None:
        """Wait for the batch that is being encoded, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _join(self, questions: list[str]) -> asyncio.Future[Vectors]:
        answer: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(questions, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return answer

    async def _work(self) -> None:
        while self._waiting:
            if sum(len(one.questions) for one in self._waiting) < self._limits.batch:
                await asyncio.sleep(self._limits.pause)
            if batch := self._taken():
                await self._answer(batch)

    def _taken(self) -> list[_Waiting]:
        """The first who wait, as many as fit into a batch, without those who gave up."""
        taken, room = [], self._limits.batch
        while self._waiting and (self._waiting[0].answer.done() or len(self._waiting[0].questions) <= room):
            one = self._waiting.popleft()
            if not one.answer.done():
                taken.append(one)
                room -= len(one.questions)
        return taken

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        questions = [question for one in batch for question in one.questions]
        try:
            vectors = await self.alone(lambda: self._encoded(questions))
        except Exception as error:  # whatever an encoder raises is for who asked, and for nobody else
            if len(batch) == 1:
                _fail(batch[0], error)
            else:
                for one in batch:
                    await self._answer([one])
            return
        ends = np.cumsum([len(one.questions) for one in batch])
        for one, its in zip(batch, np.split(vectors, ends[:-1]), strict=True):
            if not one.answer.done():
                one.answer.set_result(its)

    def _encoded(self, questions: list[str]) -> Vectors:
        start = time.perf_counter()
        vectors = check_vectors(self.encoder.encode_questions(questions), rows=len(questions), names=questions)
        self._meters.encoded(len(questions), time.perf_counter() - start)
        return vectors


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)

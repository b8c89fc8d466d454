"""The worker threads of a service, and admission control for its questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from dpr_rag.errors import ServiceBusyError

_Result = TypeVar("_Result")


class Workers:
    """A pool of threads without a queue: callers wait on the event loop, where they can be cancelled.

    A thread cannot be stopped: after its caller is cancelled it stays busy until its action ends.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._free = asyncio.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"dpr-rag-{name}")

    async def run(self, action: Callable[[], _Result]) -> _Result:
        """Run an action in the next free thread, and return its result."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future = self._pool.submit(action)

        def done(_: Future[_Result]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._free.release)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what is running, and end the threads."""
        self._pool.shutdown(cancel_futures=True)


class Admission:
    """Admits a fixed number of questions at once, and refuses more instead of queueing them.

    Attributes:
        admitted: The number of questions that are admitted now.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.admitted = 0

    @contextmanager
    def admit(self, questions: int) -> Iterator[None]:
        """Count questions as admitted inside a ``with`` block; a request with more than the limit is admitted only alone.

        Raises:
            ServiceBusyError: Too many are admitted already.
        """
        if self.admitted and self.admitted + questions > self._most:
            raise ServiceBusyError(f"{self.admitted:,} questions wait for an answer already; ask again in a moment")
        self.admitted += questions
        try:
            yield
        finally:
            self.admitted -= questions

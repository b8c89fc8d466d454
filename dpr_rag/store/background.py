"""A worker thread of a store, which is cancelled when the store is closed and when the process ends or forks."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from dpr_rag.errors import DprRagError, StoreClosedError
from dpr_rag.faces import message_of
from dpr_rag.forking import is_awaited, new_lock

Checkpoint = Callable[[], None]
"""Called between two steps of a task; it raises :class:`CancelledError` where the task is to end there."""
Task = Callable[[Checkpoint], bool]
"""What a worker runs, again and again until it returns False: there was nothing to do."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds until a failed task is tried again, doubled with each failure, and their maximum."""
_CHECKPOINT_SLEEP = 0.0001  # seconds
_NICENESS = 10
_STOP_TIMEOUT = 5.0  # seconds
_log = logging.getLogger(__name__)


class CancelledError(Exception):
    """The task was cancelled at a checkpoint; a segment that it has installed already stays."""


class BackgroundWorker:
    """Runs one task at a time in a daemon thread, as long as there is something to do.

    An error is logged, and the task is tried again by the first request after a pause. The thread is a daemon, so that nobody
    has to wait for hours of work, and is ended in good order before the interpreter is. A forked child has no such thread, and
    starts one of its own where something is asked for.

    Attributes:
        last_error: Message of the error that the last task ended with, or empty.
    """

    def __init__(self) -> None:
        self.last_error = ""
        self._lock = new_lock()
        self._failures = 0
        self._not_before = 0.0
        self._reset()
        _WORKERS.add(self)

    def _reset(self) -> None:
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        # and no join(), which takes a running thread for ended where it is interrupted (Python 3.11)
        self._ended = threading.Event()
        self._ended.set()
        self._task: Task | None = None
        self._pauses = 0
        self._is_requested = False

    def _reset_after_fork(self) -> None:
        """Forget the threads of the parent process, and who paused them."""
        if self._process != os.getpid():
            self._reset()

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work in this process."""
        self._reset_after_fork()
        return not self._ended.is_set()

    def start(self, task: Task) -> None:
        """Start the thread, unless it is running or pausing after an error; a paused worker starts it when the pause ends.

        Args:
            task: Called until it returns False.
        """
        self._reset_after_fork()
        with self._lock:
            self._is_requested, self._task = True, task
            if self.is_running or self._pauses or time.monotonic() < self._not_before:
                return
            ended = self._ended = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(task, ended), name="dpr-rag-compaction", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # the interpreter is ending, or there are too many threads
                self._thread = None
                ended.set()
                self._record_failure(error)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended.

        Args:
            timeout: Seconds to wait at most, or None for as long as it takes.

        Returns:
            Whether it has ended.
        """
        self._reset_after_fork()
        return self._ended.wait(timeout)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Cancel the running task, and start none until the block ends; what was requested meanwhile starts then."""
        self.stop()
        try:
            yield
        finally:
            self._reset_after_fork()
            with self._lock:
                self._pauses = max(0, self._pauses - 1)
            if self._is_requested and self._task is not None:
                self.start(self._task)

    def stop(self) -> None:
        """Cancel the running task, wait up to 5 s for its next checkpoint, and start none any more."""
        self.cancel()
        if self._thread is not threading.current_thread():
            self.wait(_STOP_TIMEOUT)

    def cancel(self) -> None:
        """Have the running task end at its next checkpoint, and start none any more."""
        self._reset_after_fork()
        with self._lock:
            self._pauses += 1

    def _checkpoint(self) -> None:
        # others wait up to 5 ms for an interpreter that is not handed over, several times in one search
        time.sleep(_CHECKPOINT_SLEEP)
        if self._pauses or is_awaited():
            raise CancelledError

    def _run(self, task: Task, ended: threading.Event) -> None:
        try:
            with self.recorded():
                _lower_priority()
                while self._run_once(task, ended):
                    pass
        except BaseException as error:
            self._record_failure(error)
            raise
        finally:
            ended.set()

    def _run_once(self, task: Task, ended: threading.Event) -> bool:
        """Run the task, and return whether to run it again."""
        self._is_requested = False
        try:
            is_done = not task(self._checkpoint)
            self.record_success()
            if not is_done:
                return True
        except CancelledError:
            self._is_requested = True
            return not self._pauses  # where the process was to fork, the task starts again after that
        with self._lock:  # what is requested after this finds no thread
            if not self._is_requested:
                ended.set()
            return self._is_requested

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record an error of the block like one of a task instead of raising it: what was committed before is done."""
        try:
            yield
        except StoreClosedError:
            pass  # whoever opens the store and changes it goes on
        except (DprRagError, OSError, MemoryError) as error:
            self._record_failure(error)

    def record_success(self) -> None:
        """Forget earlier errors."""
        self.last_error, self._failures, self._not_before = "", 0, 0.0

    def _record_failure(self, error: BaseException) -> None:
        self.last_error = message_of(error) or repr(error)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause
        _log.warning(
            "the index or the postings of BM25 could not be brought up now; what was changed is stored, and is searched "
            "without them: %s; tried again by the first change after %g s",
            error,
            pause,
        )


_WORKERS: weakref.WeakSet[BackgroundWorker] = weakref.WeakSet()


def _lower_priority() -> None:
    """Let searches and additions go first; threads that a library starts from here inherit the priority."""
    if sys.platform == "linux":  # elsewhere the number would be a process
        with suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, me)))


def _stop_all() -> None:
    workers = _all_workers()
    for worker in workers:
        worker.cancel()
    for worker in workers:
        worker.wait(_STOP_TIMEOUT)


def _all_workers() -> list[BackgroundWorker]:
    while True:
        try:
            return list(_WORKERS)
        except RuntimeError:  # another thread opens a store at this moment
            continue


atexit.register(_stop_all)

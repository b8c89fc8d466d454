"""Work that a store does for itself in a thread of its own, and lets go of when it is closed or the process ends or forks."""

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

Between = Callable[[], None]
"""Called between two steps of the work; it raises :class:`AbandonedError` where the work is to end there."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds until what failed is tried again, doubled each time, and the most of them."""
_BREATH = 0.0001
_NICER = 10
_LONGEST_STEP = 5.0
_log = logging.getLogger(__name__)


class AbandonedError(Exception):
    """The work was let go of; a segment that it has put in place already stays."""


class Background:
    """Runs one piece of work at a time in a daemon thread, as long as there is something to do.

    What went wrong is logged, and tried again by the first request after a pause. The thread is a daemon, so that nobody has to
    wait for hours of work, and is ended in good order before the interpreter is. A forked child has no such thread, and begins
    anew where something is asked for.

    Attributes:
        trouble: What the last piece of work failed with, or empty.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._lock = new_lock()
        self._failures = 0
        self._not_before = 0.0
        self._reset()
        _KNOWN.add(self)

    def _reset(self) -> None:
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        # and no join(), which takes a running thread for ended where it is interrupted (Python 3.11)
        self._ended = threading.Event()
        self._ended.set()
        self._work: Callable[[Between], bool] | None = None
        self._holders = 0
        self._again = False

    def _cross(self) -> None:
        """Forget the threads of another process, and whom they held up."""
        if self._process != os.getpid():
            self._reset()

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work in this process."""
        self._cross()
        return not self._ended.is_set()

    def begin(self, work: Callable[[Between], bool]) -> None:
        """Start the thread, unless it is running or what failed is to rest for a while; where it is held up, start it after that.

        Args:
            work: Called as long as it says that there was something to do.
        """
        self._cross()
        with self._lock:
            self._again, self._work = True, work
            if self.is_running or self._holders or time.monotonic() < self._not_before:
                return
            ended = self._ended = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(work, ended), name="dpr-rag-folding", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # the interpreter is ending, or there are too many threads
                self._thread = None
                ended.set()
                self._failed(error)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the thread has come to its end.

        Returns:
            Whether it has, within so many seconds.
        """
        self._cross()
        return self._ended.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let go of what is being done, and begin nothing until the block ends; what was asked for meanwhile begins then."""
        self.stop()
        try:
            yield
        finally:
            self._cross()
            with self._lock:
                self._holders = max(0, self._holders - 1)
            if self._again and self._work is not None:
                self.begin(self._work)

    def stop(self) -> None:
        """Let go of what is being done, and begin nothing any more; one step of the work may have to end first."""
        self.let_go()
        if self._thread is not threading.current_thread():
            self.wait(_LONGEST_STEP)

    def let_go(self) -> None:
        """Begin nothing any more, and have the work end at its next step."""
        self._cross()
        with self._lock:
            self._holders += 1

    def _between(self) -> None:
        # others wait up to 5 ms for an interpreter that is not handed over, several times in one search
        time.sleep(_BREATH)
        if self._holders or is_awaited():
            raise AbandonedError

    def _run(self, work: Callable[[Between], bool], ended: threading.Event) -> None:
        try:
            _give_way()
            while self._goes_on(work, ended):
                pass
        except (DprRagError, OSError, MemoryError) as error:
            self._failed(error)
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            ended.set()

    def _goes_on(self, work: Callable[[Between], bool], ended: threading.Event) -> bool:
        self._again = False
        try:
            is_done = not work(self._between)
            self.succeeded()
            if not is_done:
                return True
        except AbandonedError:
            self._again = True
            return not self._holders  # where the process was to fork, the work begins anew after that
        except StoreClosedError:
            return False
        with self._lock:  # what is asked for after this finds no thread
            if not self._again:
                ended.set()
            return self._again

    def succeeded(self) -> None:
        """Forget what went wrong before."""
        self.trouble, self._failures, self._not_before = "", 0, 0.0

    def _failed(self, error: BaseException) -> None:
        self.trouble = message_of(error) or repr(error)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause
        _log.warning(
            "no new base segment could be made now, what was added is searched exactly: %s; tried again by the first change "
            "after %g s",
            error,
            pause,
        )


_KNOWN: weakref.WeakSet[Background] = weakref.WeakSet()


def _give_way() -> None:
    """Let those who search and add go first; libraries' workers take after the thread that starts them."""
    if sys.platform == "linux":  # elsewhere the number would be a process
        with suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, max(_NICER, os.getpriority(os.PRIO_PROCESS, me)))


def _stop_all() -> None:
    known = _all_known()
    for one in known:
        one.let_go()
    for one in known:
        one.wait(_LONGEST_STEP)


def _all_known() -> list[Background]:
    while True:
        try:
            return list(_KNOWN)
        except RuntimeError:  # another thread opens a store at this moment
            continue


atexit.register(_stop_all)

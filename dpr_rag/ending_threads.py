"""Threads that have ended for Python, but not for the system."""

from __future__ import annotations

import os
import sys
import threading


class Visitors:
    """Threads that have called a library, until nothing of them is left.

    Python lets go of a thread, and up to 3.12 ``join`` returns, before the system ends it, and libraries tidy up in between:
    OpenVINO does so under a lock that is the process's (seen in 2026.4). Who forks there leaves the lock to the child for ever.
    Only Linux says which threads a process has; elsewhere nothing is known of their ends.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def note(self) -> None:
        """Remember the thread that calls; one thread at a time may do so."""
        me, number = threading.get_ident(), threading.get_native_id()
        if self._numbers.get(me) != number and _is_ours(me):
            # what is gone is forgotten, as the system gives numbers again
            known = {thread: its for thread, its in self._numbers.items() if _is_there(its)}
            self._numbers = known | {me: number}

    def are_ending(self) -> bool:
        """Whether one of them has ended for Python, but not for the system."""
        ended = self._numbers.keys() - sys._current_frames()
        return any(_is_there(self._numbers[thread]) for thread in ended)


def _is_ours(me: int) -> bool:
    """Whether a thread is one of Python's; a library's own lives on where Python knows nothing of it between two calls."""
    found = [thread for thread in threading.enumerate() if thread.ident == me]
    return bool(found) and not isinstance(found[0], threading._DummyThread)


def _is_there(number: int) -> bool:
    return os.path.exists(f"/proc/self/task/{number}")

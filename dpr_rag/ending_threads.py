"""Threads that have ended for Python, but not for the system."""

from __future__ import annotations

import os
import sys
import threading


class CallingThreads:
    """The threads that have called a library, until the system has ended them.

    Python forgets a thread, and up to 3.12 ``join`` returns, before the system ends it. In between libraries free the
    thread's resources; OpenVINO does so under a lock of the whole process (seen in 2026.4), which a child that is forked at
    that moment can never take. Only Linux lists the threads of a process; on other systems their ends are not known.
    """

    def __init__(self) -> None:
        self._native_ids: dict[int, int] = {}

    def note(self) -> None:
        """Remember the calling thread; only one thread at a time may call this."""
        ident, native_id = threading.get_ident(), threading.get_native_id()
        if self._native_ids.get(ident) != native_id and _is_of_python(ident):
            # ended threads are forgotten, as the system reuses their numbers
            alive = {known: native for known, native in self._native_ids.items() if _is_alive(native)}
            self._native_ids = alive | {ident: native_id}

    def are_ending(self) -> bool:
        """Whether one of them has ended for Python, but not for the system."""
        ended = self._native_ids.keys() - sys._current_frames()
        return any(_is_alive(self._native_ids[ident]) for ident in ended)


def _is_of_python(ident: int) -> bool:
    """Whether Python started a thread; one of a library goes on while Python does not know of it, between two calls."""
    threads = [thread for thread in threading.enumerate() if thread.ident == ident]
    return bool(threads) and not isinstance(threads[0], threading._DummyThread)


def _is_alive(native_id: int) -> bool:
    return os.path.exists(f"/proc/self/task/{native_id}")

"""Makes forks of this process safe: a fork waits until libraries are idle, and a child gets fresh locks and connections.

A child has only the thread that forked. Locks that other threads held are never released there, and libraries would wait
for worker threads that exist in the parent alone. The hooks at the end of this file act for every object of the process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from dpr_rag.ending_threads import CallingThreads

REMEDY = (
    'start processes with multiprocessing.get_context("spawn") or "forkserver", run gunicorn without --preload and Celery '
    "with --pool=threads, or fork while no other thread is at work"
)
_PATIENCE = 10.0
"""Seconds that a fork waits for other threads."""
_POLL_INTERVAL = 0.001
_LIBRARIES = {"faiss", "openvino", "torch"}
_TOKENIZERS = "TOKENIZERS_PARALLELISM"
_OPENMP = ("libgomp", "libiomp", "libomp")
_Value = TypeVar("_Value")


class ForkGate:
    """Guards sections of code against forks: a fork waits until no other thread is in a section.

    It also waits until threads that were in one and have ended are gone, see
    :class:`dpr_rag.ending_threads.CallingThreads`.

    Args:
        refusal: Makes the error that a child raises if it was forked while another thread was in a section.
        close: Called before each fork.
        subject: Names what the sections use, if several gates guard the same thing: a child that one of them refuses is
            refused by all of them, also by those that it makes later.

    Attributes:
        crossed: Whether this process is such a child.
    """

    def __init__(
        self, refusal: Callable[[], Exception], *, close: Callable[[], None] | None = None, subject: str = ""
    ) -> None:
        self._refusal, self._close, self._subject = refusal, close, subject
        self.crossed = subject in _CROSSED
        self._reset()
        _GATES[id(self)] = self

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._open: Counter[int] = Counter()  # sections by thread
        self._threads = CallingThreads()
        self._is_ending = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Enter a section, which holds up forks until it is left.

        Raises:
            Exception: The refusal.
        """
        me = threading.get_ident()
        with self._condition:
            # a thread that is in a section of another gate may need this one before it can leave that
            self._condition.wait_for(lambda: not _FORKING or _DEPTHS[me])
            if self.crossed:
                raise self._refusal()
            self._threads.note()
            self._open[me] += 1
            _DEPTHS[me] += 1
        try:
            yield
        finally:
            with self._condition:
                self._open -= Counter([me])
                _leave(me)
                self._condition.notify_all()

    def if_alone(self, action: Callable[[], None]) -> None:
        """Run an action if the caller's section is the only one; no other begins meanwhile."""
        with self._condition:
            if self._open.total() == 1:
                action()

    def wait(self, deadline: float) -> None:
        """Wait until no other thread is in a section; this thread's own cannot end before the fork."""
        me = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: not self._open.keys() - {me}, timeout=deadline - time.monotonic())

    def is_ending(self) -> bool:
        """Whether a thread that was in a section has ended for Python, but not for the system."""
        with self._condition:
            self._is_ending = self._threads.are_ending()
        return self._is_ending

    def close(self) -> None:
        """Prepare for a fork."""
        if self._close is not None:
            self._close()

    def in_parent(self) -> None:
        """Let sections begin again."""
        with self._condition:
            self._is_ending = False
            self._condition.notify_all()

    def in_child(self) -> None:
        """Start afresh; if a section was open, refuse from now on, as what it used is in an unknown state and cannot be freed."""
        if self._open or self._is_ending:
            self.crossed = True
            _CROSSED.update([self._subject] if self._subject else [])
            _keep_forever(self)
        self._reset()


class cached(cached_property[_Value]):
    """``functools.cached_property`` without the lock that it has up to Python 3.11.

    That lock is shared by all objects of the class: while one computes its value, others wait, and a forked child forever.
    """

    def __init__(self, function: Callable[[Any], _Value]) -> None:
        super().__init__(function)
        self.lock = nullcontext()


class _Crossing(NamedTuple):
    """What was loaded when this process was forked.

    Attributes:
        survivor: The thread that forked; None if this process was not forked.
        openmp: Whether OpenMP was loaded.
        libraries: The loaded libraries among those that start threads.
    """

    survivor: int | None = None
    openmp: bool = False
    libraries: frozenset[str] = frozenset()


_GATES: weakref.WeakValueDictionary[int, ForkGate] = weakref.WeakValueDictionary()
_LOCKS: weakref.WeakValueDictionary[int, threading.Lock] = weakref.WeakValueDictionary()
_RLOCKS: weakref.WeakValueDictionary[int, threading.RLock] = weakref.WeakValueDictionary()
_DEPTHS: Counter[int] = Counter()
"""Number of sections that each thread is in; a thread reads only its own."""
_FORKING: set[int] = set()
"""Threads that are forking."""
_CROSSED: set[str] = set()
"""Subjects that this process, as a child, refuses."""
_KEPT: list[object] = []
_crossing = _Crossing()


def _leave(thread: int) -> None:
    _DEPTHS[thread] -= 1
    if not _DEPTHS[thread]:
        del _DEPTHS[thread]


def new_lock() -> threading.Lock:
    """A lock that is free in a forked child, whichever thread held it in the parent."""
    lock = threading.Lock()
    _LOCKS[id(lock)] = lock
    return lock


def new_rlock() -> threading.RLock:
    """Like :func:`new_lock`, but reentrant; the thread that forks still holds it in the child if it held it before."""
    lock = threading.RLock()
    _RLOCKS[id(lock)] = lock
    return lock


def _free_locks() -> None:
    """Free the locks, in the way of the standard library's own hooks."""
    for reference in _LOCKS.valuerefs():
        if (lock := reference()) is not None:
            lock._at_fork_reinit()  # type: ignore[attr-defined]
    for rlock_reference in _RLOCKS.valuerefs():
        if (rlock := rlock_reference()) is not None and not rlock._is_owned():  # type: ignore[attr-defined]
            rlock._at_fork_reinit()  # type: ignore[attr-defined]


def keep_in_children(value: object) -> None:
    """Never destroy an object in a child of this process: its destructor would join threads that exist in the parent alone."""
    import ctypes  # noqa: F401  # now, as in a child another thread's import lock may be held forever

    _KEPT.append(value)


def _keep_forever(value: object) -> None:
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def has_lost_workers() -> bool:
    """Whether OpenMP, which FAISS and PyTorch use, would wait in this thread for worker threads of the parent.

    OpenMP has workers for each thread that calls it. Those of the thread that forked were lost; a thread that the child
    starts gets new ones.
    """
    return _crossing.openmp and threading.get_ident() == _crossing.survivor


def was_loaded(library: str) -> bool:
    """Whether this process was forked from one that had imported a library: ``faiss``, ``openvino`` or ``torch``."""
    return library in _crossing.libraries


def is_awaited() -> bool:
    """Whether another thread wants to fork, and waits for this one to leave a section."""
    return bool(_FORKING) and _DEPTHS[threading.get_ident()] > 0


def before_fork() -> None:
    """Wait until no other thread is in a section, or for ``_PATIENCE`` at most."""
    _FORKING.add(threading.get_ident())
    deadline = time.monotonic() + _PATIENCE
    gates = _gates()
    try:
        for gate in gates:
            gate.wait(deadline)
        while any([gate.is_ending() for gate in gates]) and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)
    finally:  # also after an interrupt, which ends the wait but not the fork
        for gate in gates:
            gate.close()


def after_fork() -> None:
    """Let the parent's threads continue."""
    _FORKING.discard(threading.get_ident())
    for gate in _gates():
        gate.in_parent()


def in_child() -> None:
    """Make everything usable in the child, or let it raise its refusal."""
    global _crossing
    me = threading.get_ident()
    _FORKING.clear()
    for thread in _DEPTHS.keys() - {me}:
        del _DEPTHS[thread]
    for gate in _gates():
        gate.in_child()
    _free_locks()
    for value in _KEPT:
        _keep_forever(value)
    _crossing = _Crossing(me, _has_openmp(), frozenset(_LIBRARIES & sys.modules.keys()))
    _use_one_thread("faiss", "omp_set_num_threads")
    _use_one_thread("torch", "set_num_threads")
    if "tokenizers" in sys.modules and _TOKENIZERS in os.environ:
        # unless this variable is set, tokenizers itself goes without threads in a child
        os.environ[_TOKENIZERS] = "false"


def _gates() -> list[ForkGate]:
    # valuerefs() copies the references in one step, as other threads may make gates meanwhile
    return [gate for reference in _GATES.valuerefs() if (gate := reference())]


def _has_openmp() -> bool:
    """Whether OpenMP is loaded; libraries may share one copy of it with its workers."""
    if {"faiss", "torch"} & sys.modules.keys():
        return True
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            mapped_files = file.read()
    except OSError:
        return True
    return any(name in mapped_files for name in _OPENMP)


def _use_one_thread(library: str, setter: str) -> None:
    """Let a loaded library work in the calling thread alone, whoever calls it."""
    set_threads = getattr(sys.modules.get(library), setter, None)
    if set_threads is not None:
        set_threads(1)


os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=in_child)

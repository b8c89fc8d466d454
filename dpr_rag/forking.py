"""Forks of this process: what comes to rest before one, and which threads, locks and connections a child goes on without.

A child has the thread that forked and no other. What other threads held stays held, and libraries wait for workers that
stayed in the parent. One hook for the process answers for all of it, whichever objects cross.
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

from dpr_rag.ending_threads import Visitors

REMEDY = (
    'start processes with multiprocessing.get_context("spawn") or "forkserver", run gunicorn without --preload and Celery '
    "with --pool=threads, or fork while no other thread is at work"
)
_PATIENCE = 10.0
_LOOK = 0.001
_LIBRARIES = {"faiss", "openvino", "torch"}
_TOKENIZERS = "TOKENIZERS_PARALLELISM"
_OPENMP = ("libgomp", "libiomp", "libomp")
_Value = TypeVar("_Value")


class ForkGate:
    """Lets sections of all threads pass, except while this process forks: a fork waits until no other thread is inside.

    And until threads that were inside and have ended are gone, see :class:`dpr_rag.ending_threads.Visitors`.

    Args:
        refusal: Makes what is raised in a child of a process that was inside when it forked.
        close: What to do before a fork.
        subject: What the sections work on, where several gates may guard the same thing: a child that is refused by one of
            them is refused by all, those that it makes itself included.

    Attributes:
        crossed: Whether this is such a child.
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
        self._open: Counter[int] = Counter()
        self._visitors = Visitors()
        self._is_ending = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold up forks for the length of a section.

        Raises:
            Exception: The refusal.
        """
        me = threading.get_ident()
        with self._condition:
            # a thread that is inside anywhere may have to pass here before it comes out there
            self._condition.wait_for(lambda: not _FORKING or _DEPTHS[me])
            if self.crossed:
                raise self._refusal()
            self._visitors.note()
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
        """Run an action where the caller's section is the only one; none begins meanwhile."""
        with self._condition:
            if self._open.total() == 1:
                action()

    def wait(self, deadline: float) -> None:
        """Wait until no other thread is inside; what this thread does here cannot end before the fork."""
        me = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: not self._open.keys() - {me}, timeout=deadline - time.monotonic())

    def is_ending(self) -> bool:
        """Whether a thread that was inside has ended for Python, but not for the system."""
        with self._condition:
            self._is_ending = self._visitors.are_ending()
        return self._is_ending

    def close(self) -> None:
        """Do what is to be done before a fork."""
        if self._close is not None:
            self._close()

    def in_parent(self) -> None:
        """Go on."""
        with self._condition:
            self._is_ending = False
            self._condition.notify_all()

    def in_child(self) -> None:
        """Begin anew, or refuse from now on where somebody was inside: what is there is in an unknown state, and stays."""
        if self._open or self._is_ending:
            self.crossed = True
            _CROSSED.update([self._subject] if self._subject else [])
            _keep_for_ever(self)
        self._reset()


class cached(cached_property[_Value]):
    """``functools.cached_property`` without the lock that it has up to Python 3.11.

    That lock belongs to the class: one object's slow value keeps all others waiting, and a forked child for ever.
    """

    def __init__(self, function: Callable[[Any], _Value]) -> None:
        super().__init__(function)
        self.lock = nullcontext()


class _Crossing(NamedTuple):
    """What this process lost in the fork that made it.

    Attributes:
        survivor: The thread that crossed; None where there was no fork.
        openmp: Whether OpenMP was loaded.
        libraries: Which of those that start threads were.
    """

    survivor: int | None = None
    openmp: bool = False
    libraries: frozenset[str] = frozenset()


_GATES: weakref.WeakValueDictionary[int, ForkGate] = weakref.WeakValueDictionary()
_LOCKS: weakref.WeakValueDictionary[int, threading.Lock] = weakref.WeakValueDictionary()
_RLOCKS: weakref.WeakValueDictionary[int, threading.RLock] = weakref.WeakValueDictionary()
_DEPTHS: Counter[int] = Counter()
"""How many sections each thread is in; a thread looks at its own number only."""
_FORKING: set[int] = set()
"""Threads that fork at this moment."""
_CROSSED: set[str] = set()
_KEPT: list[object] = []
_crossing = _Crossing()


def _leave(thread: int) -> None:
    _DEPTHS[thread] -= 1
    if not _DEPTHS[thread]:
        del _DEPTHS[thread]


def new_lock() -> threading.Lock:
    """A lock that is free in a forked child, whoever held it in the parent."""
    lock = threading.Lock()
    _LOCKS[id(lock)] = lock
    return lock


def new_rlock() -> threading.RLock:
    """The same, and the thread that holds it may take it again; if that is the one that forks, it holds it in the child, too."""
    lock = threading.RLock()
    _RLOCKS[id(lock)] = lock
    return lock


def _free_locks() -> None:
    """As the standard library frees its own locks in a child."""
    for one in _LOCKS.valuerefs():
        if (lock := one()) is not None:
            lock._at_fork_reinit()  # type: ignore[attr-defined]
    for other in _RLOCKS.valuerefs():
        if (rlock := other()) is not None and not rlock._is_owned():  # type: ignore[attr-defined]
            rlock._at_fork_reinit()  # type: ignore[attr-defined]


def keep_in_children(held: object) -> None:
    """Never destroy an object in a child of this process: its destructor would join threads that stayed in the parent."""
    import ctypes  # noqa: F401  # for the child, where another thread may have been importing when it was forked

    _KEPT.append(held)


def _keep_for_ever(held: object) -> None:
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def has_lost_workers() -> bool:
    """Whether OpenMP, with which FAISS and PyTorch calculate, would wait in this thread for workers that stayed in the parent.

    Workers belong to the thread that they work for, and only the thread that forked has crossed: a thread that the child
    starts gets workers of its own.
    """
    return _crossing.openmp and threading.get_ident() == _crossing.survivor


def was_loaded(library: str) -> bool:
    """Whether this process was forked from one that had imported ``faiss``, ``openvino`` or ``torch``, and maybe used it."""
    return library in _crossing.libraries


def is_awaited() -> bool:
    """Whether another thread is to fork, and waits for this one to come out of a section."""
    return bool(_FORKING) and _DEPTHS[threading.get_ident()] > 0


def before_fork() -> None:
    """Bring every section of this process to rest, as far as patience goes."""
    _FORKING.add(threading.get_ident())
    deadline = time.monotonic() + _PATIENCE
    gates = _gates()
    try:
        for gate in gates:
            gate.wait(deadline)
        while any([gate.is_ending() for gate in gates]) and time.monotonic() < deadline:
            time.sleep(_LOOK)
    finally:  # an interrupt ends the wait, not the fork
        for gate in gates:
            gate.close()


def after_fork() -> None:
    """Let the parent's threads go on."""
    _FORKING.discard(threading.get_ident())
    for gate in _gates():
        gate.in_parent()


def in_child() -> None:
    """Make everything usable in the child, or have it refuse."""
    global _crossing
    me = threading.get_ident()
    _FORKING.clear()
    for thread in _DEPTHS.keys() - {me}:
        del _DEPTHS[thread]
    for gate in _gates():
        gate.in_child()
    _free_locks()
    for held in _KEPT:
        _keep_for_ever(held)
    _crossing = _Crossing(me, _has_openmp(), frozenset(_LIBRARIES & sys.modules.keys()))
    _calm("faiss", "omp_set_num_threads")
    _calm("torch", "set_num_threads")
    if "tokenizers" in sys.modules and _TOKENIZERS in os.environ:
        # where nobody has told it to use threads, it knows by itself that they stayed in the parent
        os.environ[_TOKENIZERS] = "false"


def _gates() -> list[ForkGate]:
    # the references are copied in one step, as other threads make gates meanwhile
    return [gate for one in _GATES.valuerefs() if (gate := one())]


def _has_openmp() -> bool:
    """Whether OpenMP is loaded; libraries may share one copy, and with it the workers."""
    if {"faiss", "torch"} & sys.modules.keys():
        return True
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            loaded = file.read()
    except OSError:
        return True
    return any(name in loaded for name in _OPENMP)


def _calm(library: str, setter: str) -> None:
    """Have a library that is loaded work in this thread alone, for those too who call it themselves."""
    set_threads = getattr(sys.modules.get(library), setter, None)
    if set_threads is not None:
        set_threads(1)


os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=in_child)

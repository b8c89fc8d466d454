"""Forks: no SQLite connection may cross one, so a fork waits for transactions and finds every connection closed."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE = 10.0


class ForkGate:
    """Lets transactions of all threads pass, except while this process forks.

    A connection that crosses a fork shares SQLite's record of locks with the parent, though the locks themselves do
    not cross (https://sqlite.org/howtocorrupt.html, section 2.6); the child would then write beside the parent.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        """Remember how to close the idle connections."""
        self._close = close
        self.crossed = False
        self._reset()
        _GATES.add(self)

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._open: Counter[int] = Counter()
        self._forking = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold up a fork for the length of a transaction, or wait for the end of one."""
        me = threading.get_ident()
        with self._condition:
            # a thread that has one transaction open may need a second one to end the first
            self._condition.wait_for(lambda: not self._forking or me in self._open)
            self._open[me] += 1
        try:
            yield
        finally:
            with self._condition:
                self._open -= Counter([me])
                self._condition.notify_all()

    def if_alone(self, action: Callable[[], None]) -> None:
        """Run an action where the caller's transaction is the only one; none begins meanwhile."""
        with self._condition:
            if self._open.total() == 1:
                action()

    def before_fork(self) -> None:
        """Wait until no transaction is open, let none begin, and close the connections."""
        with self._condition:
            self._forking = True
            self._condition.wait_for(lambda: not self._open, timeout=_PATIENCE)
        self._close()

    def in_parent(self) -> None:
        """Go on."""
        with self._condition:
            self._forking = False
            self._condition.notify_all()

    def in_child(self) -> None:
        """Begin anew; ``crossed`` says whether a transaction outlasted the patience of the fork."""
        self.crossed = self.crossed or bool(self._open)
        self._reset()


_GATES: weakref.WeakSet[ForkGate] = weakref.WeakSet()


def before_fork() -> None:
    """Bring every open store of this process to rest."""
    for gate in list(_GATES):
        gate.before_fork()


def after_fork() -> None:
    """Let the parent's threads go on."""
    for gate in list(_GATES):
        gate.in_parent()


def in_child() -> None:
    """Make every store usable in the child."""
    for gate in list(_GATES):
        gate.in_child()


os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=in_child)

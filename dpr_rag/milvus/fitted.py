"""Cache of values computed from a sample of a collection's passages, such as calibrations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, cast

from dpr_rag.forking import new_rlock

_Value = TypeVar("_Value")
_COUNT_LIFETIME = 30.0
"""Seconds for which a count is reused; writes of other clients make a cached value void that much later."""


class Fitted:
    """A cache of fitted values, each valid until the collection has doubled or halved; views share it.

    Args:
        count: Returns the number of passages.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count, self._lock = (
            count,
            new_rlock(),
        )  # what is fitted may ask what is drawn, by the thread that holds it
        self._known: dict[object, tuple[int, object]] = {}
        self._counted: tuple[float, int] | None = None

    def of(self, key: object, find: Callable[[], _Value]) -> _Value:
        """The valid value of a key; without one, ``find`` computes it, in one thread while others wait."""
        count = self._passages()
        entry = self._known.get(key)
        if not _holds(entry, count):
            with self._lock:
                entry = self._known.get(key)
                if not _holds(entry, count):
                    entry = self._known[key] = (count, find())
        assert entry is not None  # noqa: S101 - what holds is something
        return cast(_Value, entry[1])

    def changed(self) -> None:
        """Count anew at the next call, as passages were added or deleted."""
        self._counted = None

    def _passages(self) -> int:
        counted, now = self._counted, time.monotonic()
        if counted is None or now - counted[0] > _COUNT_LIFETIME:
            counted = self._counted = (now, self._count())
        return counted[1]


def _holds(entry: tuple[int, object] | None, count: int) -> bool:
    return entry is not None and entry[0] / 2 <= count <= 2 * entry[0]

"""Cache of values computed from a sample of a collection's passages, such as calibrations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, cast

from dpr_rag.forking import new_rlock

_Value = TypeVar("_Value")
_BELIEVED = 30.0
"""Seconds for which a count is believed: what other clients have written since is seen that much later, here alone."""


class Fitted:
    """Remembers what was fitted to the passages, until the collection has doubled or halved; views share it.

    Args:
        count: Asks how many passages there are.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count, self._lock = (
            count,
            new_rlock(),
        )  # what is fitted may ask what is drawn, by the thread that holds it
        self._known: dict[object, tuple[int, object]] = {}
        self._counted: tuple[float, int] | None = None

    def of(self, key: object, find: Callable[[], _Value]) -> _Value:
        """What is known under a key and still holds, or else what ``find`` finds, in one thread for all."""
        there = self._passages()
        known = self._known.get(key)
        if not _holds(known, there):
            with self._lock:
                known = self._known.get(key)
                if not _holds(known, there):
                    known = self._known[key] = (there, find())
        assert known is not None  # noqa: S101 - what holds is something
        return cast(_Value, known[1])

    def changed(self) -> None:
        """Count anew when something is asked the next time, as passages came or went."""
        self._counted = None

    def _passages(self) -> int:
        known, now = self._counted, time.monotonic()
        if known is None or now - known[0] > _BELIEVED:
            known = self._counted = (now, self._count())
        return known[1]


def _holds(known: tuple[int, object] | None, there: int) -> bool:
    return known is not None and known[0] / 2 <= there <= 2 * known[0]

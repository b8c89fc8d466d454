"""Sorted distinct values of a field, and the ranges of them that comparisons select."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dpr_rag.filters.operands import Scalar, kind_of

Key = tuple[str] | tuple[str, Any]
Span = tuple[int, int]
_BEHIND = "\0"
_LAST = "\U0010ffff"


class Sorted(Protocol):
    """Distinct values in ascending order of their keys."""

    def __len__(self) -> int: ...

    def key(self, at: int) -> Key:
        """The sort key of the value at a position."""

    def before(self, key: Key) -> int:
        """How many values have a lower key."""

    def through(self, key: Key) -> int:
        """How many values have this key or a lower one."""


def sort_key(value: Any) -> Key:
    """Sort key of a JSON value: by type, then numbers exactly, strings by code point; lists and objects in any order."""
    kind = kind_of(value)
    if kind in ("number", "string"):
        return kind, value
    return kind, json.dumps(value) if kind == "container" else ""


def equal_to(values: Sorted, scalar: Scalar | tuple[Scalar, ...]) -> list[Span] | None:
    """The range of values that equal a scalar; ``1`` and ``1.0`` are adjacent."""
    return None if isinstance(scalar, tuple) else [_stretch(values, scalar)]


def _stretch(values: Sorted, scalar: Scalar) -> Span:
    key = sort_key(scalar)
    low = high = values.before(key)
    while high < len(values) and values.key(high) == key:
        high += 1
    return low, high


def among(values: Sorted, scalars: Sequence[Scalar]) -> list[Span]:
    """The ranges of values that equal one of the scalars."""
    return [_stretch(values, scalar) for scalar in scalars]


def below(*, included: bool) -> Callable[[Sorted, Any], list[Span]]:
    """The range of values of a bound's type that are less than it, or equal to it."""

    def spans(values: Sorted, bound: Any) -> list[Span]:
        key = sort_key(bound)
        return [(values.before(key[:1]), values.through(key) if included else values.before(key))]

    return spans


def above(*, included: bool) -> Callable[[Sorted, Any], list[Span]]:
    """The range of values of a bound's type that are greater than it, or equal to it."""

    def spans(values: Sorted, bound: Any) -> list[Span]:
        key = sort_key(bound)
        return [(values.before(key) if included else values.through(key), values.before((key[0] + _BEHIND,)))]

    return spans


def between(values: Sorted, bounds: Sequence[Any]) -> list[Span]:
    """The range of values from one bound to the other."""
    return [(values.before(sort_key(bounds[0])), values.through(sort_key(bounds[1])))]


def beginning(values: Sorted, start: str) -> list[Span]:
    """The range of strings with a prefix."""
    kept = start.rstrip(_LAST)
    end: Key = ("string", kept[:-1] + chr(ord(kept[-1]) + 1)) if kept else ("string" + _BEHIND,)
    return [(values.before(("string", start)), values.before(end))]


def everywhere(values: Sorted, _: object) -> list[Span]:
    """All values."""
    return [(0, len(values))]

"""Evaluates a filter over many passages at once, one comparison at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

from dpr_rag.filters.expression import And, Comparison, Filter, Not, Or


def evaluate(where: Filter, compare: Callable[[Comparison], Any], everything: Any) -> Any:
    """Evaluate a filter on many passages, from the mask of each of its comparisons.

    Args:
        where: The filter.
        compare: Gives the truth of a comparison: a Boolean array, or anything else that knows ``&``, ``|`` and ``~``.
        everything: The truth of a filter that asks about nothing.
    """
    match where:
        case And(parts):
            return reduce(operator.and_, (evaluate(part, compare, everything) for part in parts), everything)
        case Or(parts):
            return reduce(operator.or_, (evaluate(part, compare, everything) for part in parts), ~everything)
        case Not(part):
            return ~evaluate(part, compare, everything)
        case Comparison():
            return compare(where)
    raise TypeError(f"{type(where).__name__} is no part of a filter")


def compared_fields(where: Filter) -> set[str]:
    """The fields that a filter compares."""
    match where:
        case And(parts) | Or(parts):
            return {name for part in parts for name in compared_fields(part)}
        case Not(part):
            return compared_fields(part)
        case Comparison(field):
            return {field}
    raise TypeError(f"{type(where).__name__} is no part of a filter")

"""Simplifies filters: several equality comparisons of one field become one with a list."""

from __future__ import annotations

from collections.abc import Iterator

from dpr_rag.errors import FilterError
from dpr_rag.filters.expression import And, Comparison, Filter, Not, Or

MOST_COMPARISONS = 5000
"""Each is asked of every passage."""
_LISTED = {Or: {"eq": "in", "in": "in"}, And: {"ne": "nin", "nin": "nin"}}


def merged(where: Filter) -> Filter:
    """An equivalent, smaller filter: ``$eq`` of one field inside ``$or`` become ``$in``, ``$ne`` inside ``$and`` become ``$nin``.

    So ``{"$or": [{"n": 1}, {"n": 2}]}`` is asked as ``{"n": {"$in": [1, 2]}}``: once, however many values there are.

    Raises:
        FilterError: It makes more than 5,000 comparisons nevertheless.
    """
    simpler = _merged(where)
    count = sum(1 for _ in simpler.comparisons())
    if count > MOST_COMPARISONS:
        raise FilterError(
            f"the filter makes {count:,} comparisons, each of them with every passage, expected {MOST_COMPARISONS:,} at most; "
            "compare a field with several values by one $in or $nin, or search in several calls"
        )
    return simpler


def _merged(where: Filter) -> Filter:
    if isinstance(where, Not):
        return Not(_merged(where.part))
    if not isinstance(where, And | Or):
        return where
    kind = type(where)
    parts = list(_flat(where))
    values: dict[str, list[object]] = {}
    others: list[Filter] = []
    for part in parts:
        if isinstance(part, Comparison) and _is_listed(part, kind):
            values.setdefault(part.field, []).extend(part.value if isinstance(part.value, tuple) else [part.value])
        else:
            others.append(part)
    if len(others) + len(values) == len(parts):
        return kind(tuple(parts))
    (operator,) = set(_LISTED[kind].values())
    return kind((*(Comparison(field, operator, listed) for field, listed in values.items()), *others))


def _flat(where: And | Or) -> Iterator[Filter]:
    """The parts, with nested junctions of the same kind flattened."""
    for part in map(_merged, where.parts):
        if type(part) is type(where):
            yield from part.parts
        else:
            yield part


def _is_listed(part: Comparison, kind: type[And | Or]) -> bool:
    operator = _LISTED[kind].get(part.operator)
    return operator is not None and (part.operator == operator or not isinstance(part.value, tuple))

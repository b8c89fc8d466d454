"""Compiles filters to Milvus expressions, exact ones where terms suffice, and else wider ones whose matches are checked here.

Terms (see ``dpr_rag.milvus.terms``) express ``eq``, ``ne``, ``in``, ``nin``, ``exists``, ``is_empty``, ``contains``, ``any``
and ``all``, and their combinations. No version of Milvus evaluates the other operators by the rules of dpr-rag, nor predicates:
their expression matches every passage that may fit, such as all numbers within the bounds, and each match is evaluated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dpr_rag.filters import And, Comparison, Filter, Not, Or, answered
from dpr_rag.filters.operands import kind_of
from dpr_rag.milvus.partitions import within
from dpr_rag.milvus.terms import EMPTY, EXISTS, ITEM, LIST, VALUE, canonical, fact, number_key
from dpr_rag.passages import Passage

ALL, NONE = "row >= 0", "row < 0"
_SIGNS = {"lt": "<=", "lte": "<=", "gt": ">=", "gte": ">="}


@dataclass(frozen=True, slots=True)
class Selection:
    """A compiled filter.

    Attributes:
        expression: The Milvus expression; it matches all passages that the filter matches, and perhaps others.
        test: Evaluates the filter on a passage that the expression matches; None if the expression is exact.
    """

    expression: str = ALL
    test: Callable[[Passage], bool] | None = None

    def keeps(self, passage: Passage) -> bool:
        """Whether the filter matches a passage that the expression matches."""
        return self.test is None or self.test(passage)


def selection(where: Filter | Callable[[Passage], bool] | None, parted_by: str | None = None) -> Selection:
    """Compile a filter or a predicate; ``parted_by`` is the partition key of the collection, or None."""
    if where is None:
        return Selection()
    if isinstance(where, Filter):
        expression, exact = _compiled(where, negated=False)
        expression = expression if parted_by is None else within(expression, where, parted_by)
        return Selection(expression, None if exact else where.matches)
    return Selection(ALL, lambda passage: answered(where, passage))


def _compiled(where: Filter, *, negated: bool) -> tuple[str, bool]:
    """An expression that matches at least what the filter matches, or with ``negated`` does not, and whether it is exact."""
    match where:
        case Not(part):
            return _compiled(part, negated=not negated)
        case And(parts) | Or(parts):
            every = isinstance(where, And) is not negated
            made = [_compiled(part, negated=negated) for part in parts]
            joined = _joined(" and " if every else " or ", [text for text, _ in made], ALL if every else NONE)
            return joined, all(exact for _, exact in made)
        case Comparison():
            return _leaf(where, negated=negated)
    raise TypeError(f"{type(where).__name__} is no part of a filter")


def _leaf(one: Comparison, *, negated: bool) -> tuple[str, bool]:
    said = _TERMS.get(one.operator)
    exists = _has(fact(EXISTS, one.field))
    if said is None:  # of what Milvus cannot tell, the negation may hold everywhere
        return (ALL, False) if negated else (f"({exists} and {_bounds(one)})", False)
    text = said(one.field, one.value)
    if one.operator not in ("ne", "nin", "exists") and one.holds_without:
        text = f"((not {exists}) or {text})"  # an empty title is missing, and empty
    wrong = negated is not (one.operator in ("ne", "nin") or (one.operator == "exists" and not one.value))
    return (f"(not {text})" if wrong else text), True


def _has(term: str) -> str:
    return f'array_contains(terms, "{term}")'


def _any_of(terms: Iterable[str]) -> str:
    listed = sorted(set(terms))
    if len(listed) == 1:
        return _has(listed[0])
    quoted = ", ".join(f'"{term}"' for term in listed)
    return f"array_contains_any(terms, [{quoted}])" if listed else f"({NONE})"


def _joined(word: str, parts: Sequence[str], nothing: str) -> str:
    return f"({word.join(parts) or nothing})"


def _value(path: str, value: Any) -> str:
    return _has(fact(VALUE, path, canonical(value) or ""))


def _among(path: str, values: Sequence[Any]) -> str:
    return _any_of(fact(VALUE, path, canonical(value) or "") for value in values)


def _items(path: str, values: Sequence[Any]) -> str:
    return _any_of(fact(ITEM, path, canonical(value) or "") for value in values)


def _every(path: str, values: Sequence[Any]) -> str:
    terms = {fact(LIST, path), *(fact(ITEM, path, canonical(value) or "") for value in values)}
    return _joined(" and ", [_has(term) for term in sorted(terms)], ALL)


def _empty(path: str, wanted: bool) -> str:
    empty = _has(fact(EMPTY, path))
    return empty if wanted else f"({_has(fact(EXISTS, path))} and (not {empty}))"


_TERMS: dict[str, Callable[[str, Any], str]] = {
    "eq": _value,
    "ne": _value,
    "in": _among,
    "nin": _among,
    "contains": lambda path, value: _items(path, [value]),
    "any": _items,
    "all": _every,
    "is_empty": _empty,
    "exists": lambda path, _: _has(fact(EXISTS, path)),
}


def _bounds(one: Comparison) -> str:
    """Within which numbers the value lies, borders included: rounding to a float keeps the order of two numbers."""
    field = f'numbers["{number_key(one.field)}"]'
    if one.operator == "between" and kind_of(one.value[0]) == "number":
        return f"{field} >= {float(one.value[0])!r} and {field} <= {float(one.value[1])!r}"
    if one.operator in _SIGNS and kind_of(one.value) == "number":
        return f"{field} {_SIGNS[one.operator]} {float(one.value)!r}"
    return ALL

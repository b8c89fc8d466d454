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
from dpr_rag.milvus.terms import EMPTY, EXISTS, ITEM, LIST, VALUE, canonical, number_key, term_for
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
            is_and = isinstance(where, And) is not negated
            compiled = [_compiled(part, negated=negated) for part in parts]
            joined = _joined(" and " if is_and else " or ", [text for text, _ in compiled], ALL if is_and else NONE)
            return joined, all(exact for _, exact in compiled)
        case Comparison():
            return _compiled_comparison(where, negated=negated)
    raise TypeError(f"{type(where).__name__} is no part of a filter")


def _compiled_comparison(comparison: Comparison, *, negated: bool) -> tuple[str, bool]:
    compiler = _COMPILERS.get(comparison.operator)
    exists = _has(term_for(EXISTS, comparison.field))
    if compiler is None:  # where Milvus cannot evaluate the operator, its negation may match everywhere
        return (ALL, False) if negated else (f"({exists} and {_bounds(comparison)})", False)
    text = compiler(comparison.field, comparison.value)
    if comparison.operator not in ("ne", "nin", "exists") and comparison.holds_without:
        text = f"((not {exists}) or {text})"  # an empty title is missing, and empty
    inverted = negated is not (
        comparison.operator in ("ne", "nin") or (comparison.operator == "exists" and not comparison.value)
    )
    return (f"(not {text})" if inverted else text), True


def _has(term: str) -> str:
    return f'array_contains(terms, "{term}")'


def _any_of(terms: Iterable[str]) -> str:
    sorted_terms = sorted(set(terms))
    if len(sorted_terms) == 1:
        return _has(sorted_terms[0])
    quoted = ", ".join(f'"{term}"' for term in sorted_terms)
    return f"array_contains_any(terms, [{quoted}])" if sorted_terms else f"({NONE})"


def _joined(word: str, parts: Sequence[str], nothing: str) -> str:
    return f"({word.join(parts) or nothing})"


def _value(path: str, value: Any) -> str:
    return _has(term_for(VALUE, path, canonical(value) or ""))


def _among(path: str, values: Sequence[Any]) -> str:
    return _any_of(term_for(VALUE, path, canonical(value) or "") for value in values)


def _items(path: str, values: Sequence[Any]) -> str:
    return _any_of(term_for(ITEM, path, canonical(value) or "") for value in values)


def _all_of(path: str, values: Sequence[Any]) -> str:
    terms = {term_for(LIST, path), *(term_for(ITEM, path, canonical(value) or "") for value in values)}
    return _joined(" and ", [_has(term) for term in sorted(terms)], ALL)


def _empty(path: str, expected: bool) -> str:
    empty = _has(term_for(EMPTY, path))
    return empty if expected else f"({_has(term_for(EXISTS, path))} and (not {empty}))"


_COMPILERS: dict[str, Callable[[str, Any], str]] = {
    "eq": _value,
    "ne": _value,
    "in": _among,
    "nin": _among,
    "contains": lambda path, value: _items(path, [value]),
    "any": _items,
    "all": _all_of,
    "is_empty": _empty,
    "exists": lambda path, _: _has(term_for(EXISTS, path)),
}


def _bounds(comparison: Comparison) -> str:
    """The closed range of numbers that may match: rounding to a float keeps the order of two numbers, so none is missed."""
    field = f'numbers["{number_key(comparison.field)}"]'
    if comparison.operator == "between" and kind_of(comparison.value[0]) == "number":
        return f"{field} >= {float(comparison.value[0])!r} and {field} <= {float(comparison.value[1])!r}"
    if comparison.operator in _SIGNS and kind_of(comparison.value) == "number":
        return f"{field} {_SIGNS[comparison.operator]} {float(comparison.value)!r}"
    return ALL

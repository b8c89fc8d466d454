"""The operators of a filter as data: which operand each takes, when it holds, and its SQL condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dpr_rag.filters import operands, sorting, sql
from dpr_rag.filters.operands import Scalar, kind_of


@dataclass(frozen=True, slots=True)
class Operator:
    """What one operator means.

    Attributes:
        check: ``check(where, operand)`` returns the operand in its canonical form or raises FilterError.
        holds: ``holds(stored, operand)``, asked only where the field is present.
        sql: ``sql(place, operand)``, the same test as an SQL condition over a stored value.
        negated: ``negated(operand)``: whether the filter matches where the field is missing or ``holds`` is False.
        spans: ``spans(values, operand)``: where ``holds`` is True among distinct values in order; None where that says
            nothing, and each has to be asked.
    """

    check: Callable[[str, Any], Any]
    holds: Callable[[Any, Any], bool]
    sql: Callable[[sql.Place, Any], sql.Condition]
    negated: Callable[[Any], bool] = lambda _: False
    spans: Callable[[sorting.Sorted, Any], list[sorting.Span]] | None = None


def _same(stored: Any, scalar: Scalar) -> bool:
    return kind_of(stored) == kind_of(scalar) and bool(stored == scalar)


def _among(stored: Any, scalars: Sequence[Scalar]) -> bool:
    return any(_same(stored, scalar) for scalar in scalars)


def _comparing(
    sign: str, test: Callable[[Any, Any], bool], spans: Callable[[sorting.Sorted, Any], list[sorting.Span]]
) -> Operator:
    def holds(stored: Any, bound: Any) -> bool:
        return kind_of(stored) == kind_of(bound) and test(stored, bound)

    return Operator(operands.check_ordered, holds, sql.sql_compare(sign), spans=spans)


def _between(stored: Any, bounds: Sequence[Any]) -> bool:
    return kind_of(stored) == kind_of(bounds[0]) and bool(bounds[0] <= stored <= bounds[1])


def _string(test: Callable[[str, str], bool]) -> Callable[[Any, str], bool]:
    return lambda stored, text: isinstance(stored, str) and test(stored, text)


def _contains(stored: Any, scalar: Scalar) -> bool:
    return isinstance(stored, list) and any(_same(item, scalar) for item in stored)


def _distinct(scalars: Sequence[Any]) -> set[tuple[str, Any]]:
    return {(kind_of(value), value) for value in scalars if kind_of(value) != "container"}


def _any(stored: Any, scalars: Sequence[Scalar]) -> bool:
    return isinstance(stored, list) and not _distinct(stored).isdisjoint(_distinct(scalars))


def _all(stored: Any, scalars: Sequence[Scalar]) -> bool:
    return isinstance(stored, list) and _distinct(scalars) <= _distinct(stored)


def _is_empty(stored: Any, wanted: bool) -> bool:
    return (stored in (None, "", [], {})) is wanted


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "eq": Operator(operands.check_scalar, _same, sql.sql_compare("="), spans=sorting.equal_to),
        "ne": Operator(operands.check_scalar, _same, sql.sql_compare("="), lambda _: True, sorting.equal_to),
        "lt": _comparing("<", lambda a, b: a < b, sorting.below(included=False)),
        "lte": _comparing("<=", lambda a, b: a <= b, sorting.below(included=True)),
        "gt": _comparing(">", lambda a, b: a > b, sorting.above(included=False)),
        "gte": _comparing(">=", lambda a, b: a >= b, sorting.above(included=True)),
        "in": Operator(operands.check_list, _among, sql.sql_in, spans=sorting.among),
        "nin": Operator(operands.check_list, _among, sql.sql_in, lambda _: True, sorting.among),
        "between": Operator(operands.check_between, _between, sql.sql_between, spans=sorting.between),
        "like": Operator(
            operands.check_like,
            _string(lambda stored, pattern: sql.like(pattern, stored)),
            sql.sql_text("dpr_rag_like(?, {value})"),
        ),
        "startswith": Operator(
            operands.check_text,
            _string(str.startswith),
            sql.sql_text("instr({value}, ?) = 1"),
            spans=sorting.beginning,
        ),
        "endswith": Operator(operands.check_text, _string(str.endswith), sql.sql_text("dpr_rag_ends({value}, ?)")),
        "text_match": Operator(
            operands.check_text, _string(lambda stored, text: text in stored), sql.sql_text("instr({value}, ?) > 0")
        ),
        "text_match_insensitive": Operator(
            operands.check_text,
            _string(lambda stored, text: text.casefold() in stored.casefold()),
            sql.sql_text("instr(dpr_rag_casefold({value}), ?) > 0", str.casefold),
        ),
        "contains": Operator(operands.check_scalar, _contains, sql.sql_items(sql.sql_compare("="))),
        "any": Operator(operands.check_list, _any, sql.sql_items(sql.sql_in)),
        "all": Operator(operands.check_list, _all, sql.sql_all),
        "is_empty": Operator(operands.check_flag, _is_empty, sql.sql_is_empty),
        "exists": Operator(
            operands.check_flag,
            lambda _stored, _: True,
            lambda _place, _: ("1", []),
            lambda wanted: not wanted,
            sorting.everywhere,
        ),
    }
)

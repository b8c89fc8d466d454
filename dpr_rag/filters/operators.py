"""The operators of a filter as data: which operand each takes, when it holds, and its SQL condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dpr_rag.filters import operands, sorting, sql
from dpr_rag.filters.normal import folded
from dpr_rag.filters.operands import Scalar, kind_of
from dpr_rag.filters.patterns import ilike, like

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: the check of its operand, its test in Python and its SQL condition.

    Attributes:
        check: ``check(where, operand)`` returns the operand in its canonical form or raises FilterError.
        test: ``test(operand)`` makes the function that tells of a stored value whether the operator holds, asked only
            where the field is present. What long lists of operands need is made here, once.
        sql: ``sql(place, operand)``, the same test as an SQL condition over a stored value.
        negated: ``negated(operand)``: whether the filter matches where the field is missing or the test is False.
        spans: ``spans(values, operand)``: where the test is True among distinct values in order; None where that says
            nothing, and each has to be asked.
    """

    check: Callable[[str, Any], Any]
    test: Callable[[Any], Test]
    sql: Callable[[sql.Place, Any], sql.Condition]
    negated: Callable[[Any], bool] = lambda _: False
    spans: Callable[[sorting.Sorted, Any], list[sorting.Span] | None] | None = None


def _same(scalar: Scalar | tuple[Scalar, ...]) -> Test:
    if isinstance(scalar, tuple):
        return lambda stored: operands.same_list(stored, scalar)
    kind = kind_of(scalar)
    return lambda stored: kind_of(stored) == kind and bool(stored == scalar)


def _distinct(values: Iterable[Any]) -> frozenset[tuple[str, Any]]:
    """Scalars with their kinds, as Python takes ``1``, ``1.0`` and ``True`` for equal; lists and objects equal none."""
    return frozenset((kind, value) for value in values if (kind := kind_of(value)) != "container")


def _among(scalars: Sequence[Scalar]) -> Test:
    wanted = _distinct(scalars)
    return lambda stored: (kind := kind_of(stored)) != "container" and (kind, stored) in wanted


def _comparing(
    sign: str, test: Callable[[Any, Any], bool], spans: Callable[[sorting.Sorted, Any], list[sorting.Span]]
) -> Operator:
    def comparison(bound: Any) -> Test:
        kind = kind_of(bound)
        return lambda stored: kind_of(stored) == kind and test(stored, bound)

    return Operator(operands.check_ordered, comparison, sql.sql_compare(sign), spans=spans)


def _between(bounds: Sequence[Any]) -> Test:
    kind, (low, high) = kind_of(bounds[0]), bounds
    return lambda stored: kind_of(stored) == kind and bool(low <= stored <= high)


def _string(test: Callable[[str, str], bool]) -> Callable[[str], Test]:
    return lambda text: lambda stored: isinstance(stored, str) and test(stored, text)


def _folded(text: str) -> Test:
    wanted = folded(text)
    return lambda stored: isinstance(stored, str) and wanted in folded(stored)


def _items(test: Callable[[list[Any]], bool]) -> Test:
    return lambda stored: isinstance(stored, list) and test(stored)


def _contains(scalar: Scalar) -> Test:
    same = _same(scalar)
    return _items(lambda stored: any(map(same, stored)))


def _any(scalars: Sequence[Scalar]) -> Test:
    among = _among(scalars)
    return _items(lambda stored: any(map(among, stored)))


def _all(scalars: Sequence[Scalar]) -> Test:
    wanted = _distinct(scalars)
    return _items(lambda stored: len(stored) >= len(wanted) and wanted <= _distinct(stored))


def _is_empty(wanted: bool) -> Test:
    return lambda stored: (stored in (None, "", [], {})) is wanted


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "eq": Operator(operands.check_value, _same, sql.sql_compare("="), spans=sorting.equal_to),
        "ne": Operator(operands.check_value, _same, sql.sql_compare("="), lambda _: True, sorting.equal_to),
        "lt": _comparing("<", lambda a, b: a < b, sorting.below(included=False)),
        "lte": _comparing("<=", lambda a, b: a <= b, sorting.below(included=True)),
        "gt": _comparing(">", lambda a, b: a > b, sorting.above(included=False)),
        "gte": _comparing(">=", lambda a, b: a >= b, sorting.above(included=True)),
        "in": Operator(operands.check_list, _among, sql.sql_in, spans=sorting.among),
        "nin": Operator(operands.check_list, _among, sql.sql_in, lambda _: True, sorting.among),
        "between": Operator(operands.check_between, _between, sql.sql_between, spans=sorting.between),
        "like": Operator(
            operands.check_like,
            _string(lambda stored, pattern: like(pattern, stored)),
            sql.sql_text("dpr_rag_like(?, {value})"),
        ),
        "ilike": Operator(
            operands.check_like,
            _string(lambda stored, pattern: ilike(pattern, stored)),
            sql.sql_text("dpr_rag_ilike(?, {value})"),
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
            _folded,
            sql.sql_text("instr(dpr_rag_casefold({value}), ?) > 0", folded),
        ),
        "contains": Operator(operands.check_scalar, _contains, sql.sql_items(sql.sql_compare("="))),
        "any": Operator(operands.check_list, _any, sql.sql_items(sql.sql_in)),
        "all": Operator(operands.check_list, _all, sql.sql_all),
        "is_empty": Operator(operands.check_flag, _is_empty, sql.sql_is_empty),
        "exists": Operator(
            operands.check_flag,
            lambda _: lambda _stored: True,
            lambda _place, _: ("1", []),
            lambda wanted: not wanted,
            sorting.everywhere,
        ),
    }
)

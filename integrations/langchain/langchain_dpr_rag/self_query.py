"""Translates the structured queries of LangChain's ``SelfQueryRetriever`` to filters of a ``DPRVectorStore``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from langchain_core.structured_query import Comparator, Operation, Operator, StructuredQuery, Visitor
from langchain_core.structured_query import Comparison as Asked

from dpr_rag import Filter
from dpr_rag.errors import FilterError
from dpr_rag.filters import And, Comparison, Not, Or

_NAMES = {
    Comparator.EQ: "eq",
    Comparator.NE: "ne",
    Comparator.GT: "gt",
    Comparator.GTE: "gte",
    Comparator.LT: "lt",
    Comparator.LTE: "lte",
}
_PERCENT = re.compile(r"(?<!\\)(\\\\)*%")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class DPRTranslator(Visitor):
    """All comparators and operators of LangChain's query language, nested as one likes.

    A field is a key of the metadata, or a dotted path into nested objects; values compare with their own JSON type. A missing
    field matches ``ne``, ``nin`` and ``not`` alone. ``not`` of several arguments means that none of them holds.

    - ``contain``: a list that has the value as an item, or a text that has it as a part; of several values, one of them.
    - ``like``: a pattern for the whole text, ``%`` for any text and ``_`` for one character; without ``%`` it is looked for
      anywhere in the text. Case counts.
    - ``in`` and ``nin``: one value alone is a list of one.
    - Dates and times are compared with ISO 8601 strings, as ``dpr_rag.to_json_metadata`` makes them. A date is the whole day,
      so that ``eq`` finds every moment of it, ``lte`` reaches to its end, and ``gt`` begins after it. A time with a timezone
      is taken to UTC, one without is UTC.

    Use:
        .. code-block:: python

            from langchain_classic.retrievers.self_query.base import SelfQueryRetriever
            from langchain_dpr_rag import DPRTranslator

            SelfQueryRetriever.from_llm(
                model, vector_store, "plays", fields, structured_query_translator=DPRTranslator()
            )
    """

    allowed_comparators = tuple(Comparator)
    allowed_operators = tuple(Operator)

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        """The question, and the arguments of a search: ``filter``, where there is one.

        Raises:
            FilterError: A comparator does not take its value.
        """
        if structured_query.filter is None:
            return structured_query.query, {}
        return structured_query.query, {"filter": structured_query.filter.accept(self).to_dict()}

    def visit_operation(self, operation: Operation) -> Filter:
        """Join what the arguments say."""
        parts = tuple(argument.accept(self) for argument in operation.arguments)
        match operation.operator:
            case Operator.AND:
                return And(parts)
            case Operator.OR:
                return Or(parts)
            case Operator.NOT:
                return Not(Or(parts))

    def visit_comparison(self, comparison: Asked) -> Filter:
        """Compare one field."""
        field, value = comparison.attribute, comparison.value
        match comparison.comparator:
            case Comparator.IN:
                return _among(field, value)
            case Comparator.NIN:
                return Not(_among(field, value))
            case Comparator.CONTAIN:
                return _holding(field, value)
            case Comparator.LIKE:
                return Comparison(field, "like", _pattern(_bare(value)))
            case other:
                return _compared(field, other, value)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _among(field: str, value: Any) -> Filter:
    """One of several values; a date among them is any moment of its day."""
    values = _several(value)
    plain = [item for item in values if _span(item) is None]
    times = [_compared(field, Comparator.EQ, item) for item in values if _span(item) is not None]
    return Or((Comparison(field, "in", plain), *times)) if times else Comparison(field, "in", plain)


def _holding(field: str, value: Any) -> Filter:
    """A list with one of several values as an item, or a text with one of them as a part."""
    values = [_bare(item) for item in _several(value)]
    texts = [Comparison(field, "text_match", item) for item in values if isinstance(item, str)]
    return Or((Comparison(field, "any", values), *texts)) if texts else Comparison(field, "any", values)


def _pattern(value: Any) -> Any:
    r"""A pattern of LIKE; without ``%`` for anywhere in a text, where a backslash at its end must not escape that of ours."""
    if not isinstance(value, str) or _PERCENT.search(value):
        return value
    escape = "\\" * ((len(value) - len(value.rstrip("\\"))) % 2)
    return f"%{value}{escape}%"


def _compared(field: str, comparator: Comparator, value: Any) -> Filter:
    span = _span(value)
    if span is None:
        return Comparison(field, _NAMES[comparator], value)
    first, last = span
    within = Comparison(field, "between", [first, last])
    if comparator in (Comparator.EQ, Comparator.NE):
        return within if comparator is Comparator.EQ else Not(within)
    bound = first if comparator in (Comparator.LT, Comparator.GTE) else last
    return Comparison(field, _NAMES[comparator], bound)


def _bare(value: Any) -> Any:
    """A date or a time as the string that it stands for; what is none as it is."""
    span = _span(value)
    return value if span is None else span[0]


def _span(value: Any) -> tuple[str, str] | None:
    """The strings between which all lie that mean a date or a time, both among them; None for what is neither.

    Moments of a day begin with it and a ``T``, hours go up to 23; moments in UTC are written with ``+00:00`` or without.
    """
    kind = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(value, datetime) or kind == "datetime":
        moment = _moment(value if isinstance(value, datetime) else value.get("datetime"))
        return moment, f"{moment}+00:00"
    if isinstance(value, date) or kind == "date":
        day = value.isoformat() if isinstance(value, date) else value.get("date")
        if not isinstance(day, str) or not _DAY.fullmatch(day):
            raise FilterError(f"the date {day!r:.60} was given, expected one such as 2024-05-31")
        return day, f"{day}T24"
    return None


def _moment(value: Any) -> str:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise FilterError(f"the time {value!r:.60} was given, expected one such as 2024-05-31T12:30:00") from error
    return moment.replace(tzinfo=None).isoformat()

"""LlamaIndex's ``MetadataFilters`` as filters of dpr-rag: every operator, every condition, nested as one likes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.vector_stores.dpr_rag.nodes import SOURCE

from dpr_rag.errors import FilterError
from dpr_rag.filters import HIDDEN_ID, And, Comparison, Filter, Not, Or, parse_filter

_OF_SOURCE = ("ref_doc_id", "doc_id", "document_id")

_NAMES = {
    FilterOperator.EQ: "eq",
    FilterOperator.NE: "ne",
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "nin",
    FilterOperator.ANY: "any",
    FilterOperator.ALL: "all",
    FilterOperator.TEXT_MATCH: "text_match",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "text_match_insensitive",
    FilterOperator.CONTAINS: "contains",
}
_AMONG = {FilterOperator.EQ: "in", FilterOperator.NE: "nin", FilterOperator.CONTAINS: "any"}
"""What asks by several values for what these ask by one."""
_LISTS = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY)


def to_filter(filters: MetadataFilters | None, *, exactly: bool = False) -> Filter | None:
    """Translate filters; None means that there is nothing to filter by, as in an empty list of them.

    A field is what the node's metadata say under the key. ``ref_doc_id``, ``doc_id`` and ``document_id`` are the id of its
    source document, unless the metadata have such a key; a node without a source has none, nor has it an ``id`` that its
    metadata do not give. A missing field matches ``!=``, ``nin``, ``is_empty`` and ``not`` alone, as in LlamaIndex. Four
    things differ from its ``SimpleVectorStore``: groups may be nested; values of different types do not match where that
    one raises TypeError (``1`` against ``"1"``); ``contains``, ``any`` and ``all`` look into lists alone, never into
    strings; a null is a value that equals None, not a missing field.
    ``MetadataFilter`` takes no booleans, so 1 also stands for true and 0 for false, as in Python.

    Args:
        filters: What to translate.
        exactly: Take 0 and 1 as the numbers that they are, and never for booleans.

    Raises:
        FilterError: It is no ``MetadataFilters``, or an operator does not take its value.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise FilterError(
            f"filters is {type(filters).__name__} {filters!r:.60}, expected llama_index's MetadataFilters"
        )
    parts = [part for part_filter in filters.filters if (part := _part(part_filter, exactly)) is not None]
    if not parts:
        return None
    match filters.condition or FilterCondition.AND:
        case FilterCondition.AND:
            return parts[0] if len(parts) == 1 else And(tuple(parts))
        case FilterCondition.OR:
            return parts[0] if len(parts) == 1 else Or(tuple(parts))
        case FilterCondition.NOT:
            return Not(Or(tuple(parts)))
        case other:
            raise FilterError(f"the condition {other!r} is unknown, expected and, or or not")


def fixed_by(filters: MetadataFilters | Mapping[str, Any] | Filter | None) -> Filter | None:
    """The filter that restricts a vector store; None for no restriction.

    What is added gets the one value of a field, and the tenant 1 is not the tenant true: 0 and 1 are numbers here.

    Raises:
        FilterError: It cannot be understood, or there is nothing in it to restrict anything.
    """
    if filters is None:
        return None
    where = to_filter(filters, exactly=True) if isinstance(filters, MetadataFilters) else parse_filter(filters)
    if where is None:
        raise FilterError("fixed_filter has no filters, and would restrict nothing; leave it out, or name a field")
    return where


def _part(part: MetadataFilter | MetadataFilters, exactly: bool) -> Filter | None:
    return to_filter(part, exactly=exactly) if isinstance(part, MetadataFilters) else _comparison(part, exactly)


def _comparison(condition: MetadataFilter, exactly: bool) -> Filter:
    if condition.key in _OF_SOURCE:
        own, lacking = (Comparison(condition.key, "exists", there) for there in (True, False))
        of_source = _about(SOURCE, condition, exactly)
        return Or((And((own, _about(condition.key, condition, exactly))), And((lacking, of_source))))
    if condition.key == "id":
        own, among_own = Comparison(HIDDEN_ID, "exists", True), _about("id", condition, exactly)
        # without the key, what the core takes for the field is the passage's id, which no metadata say
        return Or((Not(own), among_own)) if among_own.matches({}) else And((own, among_own))
    return _about(condition.key, condition, exactly)


def _about(field: str, condition: MetadataFilter, exactly: bool) -> Filter:
    if condition.operator is FilterOperator.IS_EMPTY:
        return Or((Comparison(field, "exists", False), Comparison(field, "is_empty", True)))
    if condition.operator not in _NAMES:
        raise FilterError(f"field {condition.key!r:.60}: the operator {condition.operator!r} is unknown")
    value = condition.value
    if not exactly and condition.operator in _AMONG and _is_zero_or_one(value):
        return Comparison(field, _AMONG[condition.operator], _with_booleans([value]))
    if not exactly and condition.operator in _LISTS and isinstance(value, list):
        return Comparison(field, _NAMES[condition.operator], _with_booleans(value))
    if not exactly and condition.operator is FilterOperator.ALL and isinstance(value, list):
        either = [Comparison(field, "any", _with_booleans([item])) for item in value if _is_zero_or_one(item)]
        rest = Comparison(field, "all", [item for item in value if not _is_zero_or_one(item)])
        return And((rest, *either)) if either else rest
    return Comparison(field, _NAMES[condition.operator], value)


def _is_zero_or_one(value: Any) -> bool:
    return isinstance(value, int | float) and value in (0, 1)


def _with_booleans(values: list[Any]) -> list[Any]:
    return [*values, *(bool(value) for value in values if _is_zero_or_one(value))]

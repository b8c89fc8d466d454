"""Partitions by the value of one field, such as the tenant: the partition of a passage, and those a filter needs."""

from __future__ import annotations

from dpr_rag.arguments import is_blank, kind
from dpr_rag.errors import ArgumentError
from dpr_rag.faces import ByFace
from dpr_rag.filters import And, Comparison, Filter, Or
from dpr_rag.filters.fields import MISSING, fields_of, looked_up
from dpr_rag.milvus.terms import VALUE, canonical, term_for
from dpr_rag.passages import Passage

_NOWHERE = "-"
"""The partition of passages without the field, or with an object in it."""


def check_partition_key(field: object) -> str | None:
    """Check a partition key: a field as filters name it, or None.

    Raises:
        ArgumentError: It is not the name of a field.
    """
    if field is not None and (not isinstance(field, str) or is_blank(field)):
        raise ArgumentError(
            ByFace("partition_key", cli="--partition-key", page="the partition key")
            + f" is {kind(field)}, expected a field of the metadata as filters name it, such as 'tenant'"
        )
    return field


def partition_value(passage: Passage, field: str) -> str:
    """The partition value of a passage: the term of its value in the field, as filters compare it."""
    value = looked_up(fields_of(passage.id, passage.title, passage.metadata), field)
    text = None if value is MISSING else canonical(value)
    return _NOWHERE if text is None else term_for(VALUE, field, text)


def partition_values(where: Filter, field: str) -> frozenset[str] | None:
    """The partition values of all passages that a filter can match; None if any value is possible."""
    match where:
        case And(parts):
            known = [limits for limits in (partition_values(part, field) for part in parts) if limits is not None]
            return frozenset.intersection(*known) if known else None
        case Or(parts):
            alternatives = [partition_values(part, field) for part in parts]
            known = [limits for limits in alternatives if limits is not None]
            return frozenset().union(*known) if parts and len(known) == len(alternatives) else None
        case Comparison() if where.field == field and where.operator in ("eq", "in") and not where.holds_without:
            values = where.value if where.operator == "in" else [where.value]
            return frozenset(term_for(VALUE, field, canonical(value) or "") for value in values)
    return None


def within(expression: str, where: Filter, field: str) -> str:
    """Limit a filter's expression to the partitions in which it can match."""
    parts = partition_values(where, field)
    if parts is None:
        return expression
    quoted = ", ".join(f'"{value}"' for value in sorted(parts))
    return f"part in [{quoted}] and {expression}" if parts else expression

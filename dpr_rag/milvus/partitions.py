"""Partitions by the value of one field, such as the tenant: the partition of a passage, and those a filter needs."""

from __future__ import annotations

from dpr_rag.arguments import is_blank, kind
from dpr_rag.errors import ArgumentError
from dpr_rag.faces import ByFace
from dpr_rag.filters import And, Comparison, Filter, Or
from dpr_rag.filters.fields import MISSING, fields_of, looked_up
from dpr_rag.milvus.terms import VALUE, canonical, fact
from dpr_rag.passages import Passage

_NOWHERE = "-"
"""Of passages without the field, or with an object in it."""


def check_partition_key(given: object) -> str | None:
    """A field as filters name it, or None.

    Raises:
        ArgumentError: It is no name.
    """
    if given is not None and (not isinstance(given, str) or is_blank(given)):
        raise ArgumentError(
            ByFace("partition_key", cli="--partition-key", page="the partition key")
            + f" is {kind(given)}, expected a field of the metadata as filters name it, such as 'tenant'"
        )
    return given


def part_of(passage: Passage, field: str) -> str:
    """What the engine tells the partition of a passage by: the value that it has in a field, as filters compare it."""
    value = looked_up(fields_of(passage.id, passage.title, passage.metadata), field)
    said = None if value is MISSING else canonical(value)
    return _NOWHERE if said is None else fact(VALUE, field, said)


def confined(where: Filter, field: str) -> frozenset[str] | None:
    """What :func:`part_of` says of all passages that a filter can keep; None where it may be anything."""
    match where:
        case And(parts):
            found = [one for one in (confined(part, field) for part in parts) if one is not None]
            return frozenset.intersection(*found) if found else None
        case Or(parts):
            every = [confined(part, field) for part in parts]
            known = [one for one in every if one is not None]
            return frozenset().union(*known) if parts and len(known) == len(every) else None
        case Comparison() if where.field == field and where.operator in ("eq", "in") and not where.holds_without:
            values = where.value if where.operator == "in" else [where.value]
            return frozenset(fact(VALUE, field, canonical(value) or "") for value in values)
    return None


def within(expression: str, where: Filter, field: str) -> str:
    """An expression of a filter that asks no partition in which it can keep nothing."""
    parts = confined(where, field)
    if parts is None:
        return expression
    quoted = ", ".join(f'"{one}"' for one in sorted(parts))
    return f"part in [{quoted}] and {expression}" if parts else expression

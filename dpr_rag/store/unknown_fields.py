"""A warning where a filter kept nothing as no passage has its field, or none in its type: once per field and type."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from dpr_rag.errors import StoreError, nearest
from dpr_rag.filters import Comparison, Filter, Where, parse_filter
from dpr_rag.filters.fields import RESERVED, fields_of, looked_up
from dpr_rag.filters.operands import kind_of
from dpr_rag.storage.reader import Condition
from dpr_rag.store import lookup
from dpr_rag.store.engine import Engine
from dpr_rag.store.scope import Scope

_SAMPLE_SIZE, _MAX_SHOWN, _MAX_WARNED = 256, 12, 1000
_OF_TEXT = frozenset({"like", "ilike", "startswith", "endswith", "text_match", "text_match_insensitive"})
_OF_LISTS = frozenset({"contains", "any", "all"})
_OF_ANY = frozenset({"exists", "is_empty", "ne", "nin"})
_log = logging.getLogger(__name__)


def warn_unknown(engine: Engine, scope: Scope, where: Where, condition: Any) -> None:
    """Log a warning for each field of a filter that no passage has, or has in the type that it is compared with.

    Each is named once per open store, and none of which the filter says itself that it may be missing. No error is raised, as
    advice must not fail what was asked for.

    Args:
        engine: The store's.
        scope: The restricted view of it.
        where: The caller's filter, which kept nothing.
        condition: The same filter with that of the view.
    """
    if not isinstance(condition, Filter) or where is None or len(engine.warned_fields) > _MAX_WARNED:
        return
    try:
        _warn(engine, scope, parse_filter(where) if isinstance(where, Filter | Mapping) else condition)
    except StoreError as error:  # such as a damaged passage among those that are looked at
        _log.debug("no advice on a filter that keeps nothing: %s", error)


def _warn(engine: Engine, scope: Scope, given: Filter) -> None:
    compared: dict[str, list[Comparison]] = {}
    asked = list(given.comparisons())
    may_be_missing = {one.field for one in asked if one.operator == "exists" and one.value is False}
    for comparison in asked:
        key = (str(scope), f"{comparison.field}\0{' or '.join(sorted(_types_compared(comparison)))}")
        looked_at = key in engine.warned_fields or (str(scope), comparison.field) in engine.warned_fields
        is_known = comparison.field in may_be_missing or comparison.field.startswith(RESERVED)
        if not looked_at and comparison.operator != "exists" and not is_known:
            engine.warned_fields.add(key)
            compared.setdefault(comparison.field, []).append(comparison)
    unknown = []
    for name in sorted(compared)[:_MAX_SHOWN]:
        present = scope.condition(Comparison(name, "exists", True))
        if lookup.count(engine, present):
            _warn_types(engine, scope, compared[name], present)
        else:
            engine.warned_fields.add((str(scope), name))
            unknown.append(name)
    if not unknown:
        return
    sample = lookup.select(engine, scope.condition(None), _SAMPLE_SIZE)
    # no title is no field
    known = sorted(
        {"id", "title", *(name for passage in sample for name in _names(passage.visible_metadata))} - {*unknown}
    )
    for name in unknown if sample else ():
        shown = f"{', '.join(known[:_MAX_SHOWN])}{', …' if len(known) > _MAX_SHOWN else ''}"
        _log.warning("no passage has a field %.80r%s (fields: %.300s)", name, nearest(name, known), shown)


def _warn_types(engine: Engine, scope: Scope, comparisons: list[Comparison], present: Condition | None) -> None:
    """Warn where passages have a field, and some of them were looked at and none has it in the type that is compared."""
    for comparison in comparisons:
        wanted = _types_compared(comparison)
        if not wanted or lookup.count(engine, scope.condition(comparison)):
            continue
        sample = lookup.select(engine, present, _SAMPLE_SIZE)
        fields = (fields_of(one.id, one.title, one.metadata) for one in sample)
        stored = {_type_of(looked_up(own, comparison.field)) for own in fields}
        if stored and wanted.isdisjoint(stored):
            _log.warning(
                "no passage has %s in the field %.80r, where %s expects it (there is %s); values are not converted%s",
                " or ".join(sorted(wanted)),
                comparison.field,
                comparison.operator,
                " and ".join(sorted(stored)),
                ", and contains, any and all look into lists" if "a list" in stored else "",
            )


def _types_compared(comparison: Comparison) -> set[str]:
    """The types of values that a comparison can hold for; none where it asks for no type."""
    if comparison.operator in _OF_ANY:
        return set()
    if comparison.operator in _OF_TEXT:
        return {"text"}
    if comparison.operator in _OF_LISTS:
        return {"a list"}
    if comparison.operator in ("in", "between"):
        return {_type_of(value) for value in comparison.value}
    return {_type_of(comparison.value)}


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, list | tuple):
        return "a list"
    return {"string": "text", "number": "a number", "None": "null"}.get(kind_of(value), "an object")


def _names(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in metadata.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _names(value, f"{above}{name}.")

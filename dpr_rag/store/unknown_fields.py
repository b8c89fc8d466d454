"""A warning where a filter kept nothing because no passage has its field: once per field, with similar names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from dpr_rag.errors import nearest
from dpr_rag.filters import Comparison, Filter, parse_filter
from dpr_rag.filters.fields import RESERVED
from dpr_rag.store import lookup
from dpr_rag.store.engine import Engine
from dpr_rag.store.scope import Scope, Where

_SAMPLE_SIZE, _MAX_SHOWN, _MAX_WARNED = 256, 12, 1000
_log = logging.getLogger(__name__)


def warn_unknown(engine: Engine, scope: Scope, where: Where, condition: Any) -> None:
    """Log a warning for each field of a filter that no passage has, once per field and open store.

    Args:
        engine: The store's.
        scope: The restricted view of it.
        where: The caller's filter, which kept nothing.
        condition: The same filter with that of the view.
    """
    if not isinstance(condition, Filter) or where is None or len(engine.warned_fields) > _MAX_WARNED:
        return
    given = parse_filter(where) if isinstance(where, Filter | Mapping) else condition
    fields = {comparison.field for comparison in given.comparisons() if comparison.operator != "exists"}
    fields = {name for name in fields if (str(scope), name) not in engine.warned_fields}
    new = sorted(name for name in fields if not name.startswith(RESERVED))[:_MAX_SHOWN]
    engine.warned_fields.update((str(scope), name) for name in new)
    unknown = [name for name in new if not lookup.count(engine, scope.condition(Comparison(name, "exists", True)))]
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


def _names(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in metadata.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _names(value, f"{above}{name}.")

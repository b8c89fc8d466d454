"""Why a filter may have kept nothing: fields that no passage has, said once for each, with names near theirs."""

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

_LOOKED_AT, _SHOWN, _MOST = 256, 12, 1000
_log = logging.getLogger(__name__)


def tell_unknown(engine: Engine, scope: Scope, where: Where, condition: Any) -> None:
    """Warn of the fields of a filter that kept nothing and that no passage has: each once for an open store.

    Whether a passage has a field is asked once, and only then.

    Args:
        engine: Of the store.
        scope: What is seen of it.
        where: The filter as it was given.
        condition: The filter as it was asked, of which the given one is a part.
    """
    if not isinstance(condition, Filter) or where is None or len(engine.told) > _MOST:
        return
    given = parse_filter(where) if isinstance(where, Filter | Mapping) else condition
    asked = {one.field for one in given.comparisons() if one.operator != "exists"}
    new = sorted(name for name in asked if (str(scope), name) not in engine.told and not name.startswith(RESERVED))[
        :_SHOWN
    ]
    engine.told.update((str(scope), name) for name in new)
    unknown = [name for name in new if not lookup.count(engine, scope.condition(Comparison(name, "exists", True)))]
    if not unknown:
        return
    seen = lookup.select(engine, scope.condition(None), _LOOKED_AT)
    # no title is no field
    known = sorted({"id", "title", *(name for one in seen for name in _names(one.visible_metadata))} - {*unknown})
    for name in unknown if seen else ():
        shown = f"{', '.join(known[:_SHOWN])}{', …' if len(known) > _SHOWN else ''}"
        _log.warning("no passage has a field %.80r%s (fields: %.300s)", name, nearest(name, known), shown)


def _names(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in metadata.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _names(value, f"{above}{name}.")

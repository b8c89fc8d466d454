"""Why a filter may have kept nothing: fields that no passage has, and names near theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dpr_rag.cli.terminal import note
from dpr_rag.errors import nearest

if TYPE_CHECKING:
    from dpr_rag import PassageStore

_LOOKED_AT, _SHOWN = 256, 12


def note_unknown_fields(store: PassageStore, chosen: Mapping[str, Any] | None) -> None:
    """Say which fields of a filter that kept nothing no passage has, and which names there are.

    Args:
        store: What was searched.
        chosen: The filter.
    """
    from dpr_rag.filters import Comparison, parse_filter
    from dpr_rag.filters.evaluating import compared_fields

    if chosen is None or not len(store):
        return
    asked = sorted(compared_fields(parse_filter(chosen)))
    unknown = [name for name in asked if not store.count(Comparison(name, "exists", True))]
    if not unknown:
        return
    known = sorted(
        {"id", "title", *(name for one in store.sample(_LOOKED_AT)[0] for name in _names(one.visible_metadata))}
    )
    for name in unknown:
        shown = f"{', '.join(known[:_SHOWN])}{', …' if len(known) > _SHOWN else ''}"
        note(f"no passage has a field {name!r:.80}{nearest(name, known)} (fields: {shown:.300})")


def _names(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in metadata.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _names(value, f"{above}{name}.")

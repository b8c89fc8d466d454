"""The fields of a passage that filters can refer to: metadata, id, title, and those of adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dpr_rag.filters.normal import nfc, normal_object
from dpr_rag.passages import PRIVATE_KEY

RESERVED = f"{PRIVATE_KEY}:"
HIDDEN_ID = f"{RESERVED}id"
"""Field for adapters: the passage's id where a metadata key ``id`` hides it, and missing elsewhere."""
_KEPT = f"{RESERVED}kept:"
_NAME = re.compile("[a-z]+")
MISSING = object()
"""The value of a field that a passage does not have."""


def kept_field(name: str) -> str:
    """The name of an adapter's private field: the text after ``name:`` in the list under ``PRIVATE_KEY``.

    Args:
        name: Lower-case letters a to z.
    """
    return _KEPT + name


def kept_name(field: str) -> str | None:
    """The inverse of :func:`kept_field`: the adapter's name of a field, or None."""
    name = field.removeprefix(_KEPT)
    return name if name != field and _NAME.fullmatch(name) else None


def identifies(field: str) -> bool:
    """Whether a field holds identifiers, which are compared without Unicode normalisation."""
    return field == "id" or field.startswith(RESERVED)


def normal_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with its texts, and the names of its fields, in normal form C, but for what :func:`identifies`."""
    fields = normal_object(metadata)
    for field in filter(identifies, metadata):
        if not isinstance(metadata[field], Mapping):
            fields[field] = metadata[field]
    return fields


def fields_of(passage_id: str, title: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a passage: its metadata; its id, and its title if it has one, unless the metadata has such keys.

    Texts are in normal form C, but for those of fields that :func:`identifies`.
    """
    marks, metadata = metadata.get(PRIVATE_KEY), normal_fields(metadata)
    title = nfc(title)
    fields = {"id": passage_id, "title": title, **metadata}
    if not title and "title" not in metadata:
        del fields["title"]
    if any(key.startswith(RESERVED) for key in metadata):
        fields = {key: value for key, value in fields.items() if not key.startswith(RESERVED)}
    if "id" in metadata:
        fields[HIDDEN_ID] = passage_id
    for mark in marks if isinstance(marks, list) else ():
        name, colon, rest = mark.partition(":") if isinstance(mark, str) else ("", "", "")
        if colon and _NAME.fullmatch(name):
            fields.setdefault(_KEPT + name, rest)
    return fields


def leads_to(key: str, path: str) -> bool:
    """Whether a dotted path can lead into the object under a key."""
    return path.startswith(key) and path[len(key) : len(key) + 1] == "."


def looked_up(fields: Mapping[str, Any], path: str) -> Any:
    """The value of a field, by name or by a dotted path into nested objects; ``MISSING`` if there is none.

    A key with dots of its own wins over the path, and a longer key over a shorter one, at every level. Lists are not
    descended into.
    """
    if path in fields:
        return fields[path]
    if "." not in path:
        return MISSING
    holders = [key for key, inner in fields.items() if isinstance(inner, Mapping) and leads_to(key, path)]
    values = (looked_up(fields[key], path[len(key) + 1 :]) for key in sorted(holders, key=len, reverse=True))
    return next((value for value in values if value is not MISSING), MISSING)

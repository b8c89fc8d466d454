"""Unicode normalisation for filters: canonically equivalent texts compare equal, in whatever form they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import is_normalized, normalize

from dpr_rag.passages import plain


def nfc(text: str) -> str:
    """The text in normal form C, in which ``é`` is one character."""
    return text if text.isascii() else normalize("NFC", text)


def differs(text: str) -> bool:
    """Whether a text is in another form."""
    return not is_normalized("NFC", text)


def folded(text: str) -> str:
    """The text without case, in normal form C: equal for canonical caseless matches (Unicode, definition D145)."""
    return text.lower() if text.isascii() else normalize("NFC", normalize("NFD", text).casefold())


def normal(value: Any) -> Any:
    """A JSON value with all its texts in normal form C; of keys that become equal, the one in that form counts, or the first."""
    if isinstance(value, str):
        return nfc(value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, tuple):
        return tuple(normal(item) for item in value)
    return normal_object(value) if isinstance(value, Mapping) else plain(value)


def normal_object(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same for an object."""
    made: dict[str, Any] = {}
    for key, item in value.items():
        name = nfc(key) if isinstance(key, str) else key
        if name == key or name not in made:
            made[name] = normal(item)
    return made

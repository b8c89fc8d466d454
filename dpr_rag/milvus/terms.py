"""The terms and numbers that are stored with a passage so that Milvus can evaluate filters.

Milvus compares JSON by rules of its own, which differ between its versions where a field is missing or of another type. A
term is a hash of a field and what is said of it, made here by the rules of ``dpr_rag.filters``; the engine only tells whether
a passage has it, which every version answers alike, and nothing of a user's ever stands in an expression.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from dpr_rag.filters.fields import MISSING, fields_of, looked_up
from dpr_rag.filters.operands import kind_of
from dpr_rag.passages import Passage

TERM_LENGTH = 32
"""Largest number of characters of a term."""
EXISTS, VALUE, ITEM, LIST, EMPTY = "e", "v", "i", "l", "n"


def short_hash(*parts: str) -> str:
    """A hash of texts, 24 hexadecimal characters."""
    return blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def term_for(kind: str, path: str, text: str = "") -> str:
    """The term for a fact about a field: its kind, the field, and the value if the kind has one."""
    return kind + short_hash(path, text)


def number_key(path: str) -> str:
    """The name under which a field's number is stored."""
    return "k" + short_hash(path)


def canonical(value: Any) -> str | None:
    """A scalar or list of scalars as text, equal where filters compare equal; None for values that equal nothing."""
    if isinstance(value, list | tuple):
        parts = [None if isinstance(item, list | tuple) else canonical(item) for item in value]
        return None if None in parts else json.dumps(["list", *parts])
    kind = kind_of(value)
    if kind == "container":
        return None
    if kind == "number":
        exact = int(value) if isinstance(value, int) or value.is_integer() else repr(value)
        return f"number {exact}"
    return json.dumps([kind, value if kind == "string" else ""])


def terms_of(passage: Passage) -> tuple[list[str], dict[str, float]]:
    """The terms of a passage, and its numbers by :func:`number_key`."""
    fields = fields_of(passage.id, passage.title, passage.metadata)
    terms: set[str] = set()
    numbers: dict[str, float] = {}
    for path in set(_paths(fields, "")):
        value = looked_up(fields, path)
        if value is MISSING:
            continue
        terms.update(_facts(path, value))
        if kind_of(value) == "number":
            numbers[number_key(path)] = float(value)
    return sorted(terms), numbers


def _paths(fields: Mapping[str, Any], before: str) -> Iterator[str]:
    for key, value in fields.items():
        yield before + key
        if isinstance(value, Mapping):
            yield from _paths(value, f"{before}{key}.")


def _facts(path: str, value: Any) -> Iterator[str]:
    yield term_for(EXISTS, path)
    if value in (None, "", [], {}):
        yield term_for(EMPTY, path)
    text = canonical(value)
    if text is not None:
        yield term_for(VALUE, path, text)
    if isinstance(value, list):
        yield term_for(LIST, path)
        for item in value:
            text = None if isinstance(item, list) else canonical(item)
            if text is not None:
                yield term_for(ITEM, path, text)

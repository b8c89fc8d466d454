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
"""Characters that a term has at most."""
EXISTS, VALUE, ITEM, LIST, EMPTY = "e", "v", "i", "l", "n"


def hashed(*parts: str) -> str:
    """24 hexadecimal characters for some texts."""
    return blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def fact(kind: str, path: str, said: str = "") -> str:
    """The term that of a field something is so."""
    return kind + hashed(path, said)


def number_key(path: str) -> str:
    """Under which name the numbers of a field stand."""
    return "k" + hashed(path)


def canonical(value: Any) -> str | None:
    """A scalar, or a list of scalars, as text that is equal where filters take them for equal; None for what equals none."""
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


def described(passage: Passage) -> tuple[list[str], dict[str, float]]:
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
    yield fact(EXISTS, path)
    if value in (None, "", [], {}):
        yield fact(EMPTY, path)
    said = canonical(value)
    if said is not None:
        yield fact(VALUE, path, said)
    if isinstance(value, list):
        yield fact(LIST, path)
        for item in value:
            said = None if isinstance(item, list) else canonical(item)
            if said is not None:
                yield fact(ITEM, path, said)

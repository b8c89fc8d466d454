"""Refuses tokenizer files that would exhaust the memory of the tokenizers library, or crash it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from dpr_rag.errors import ModelError

MOST_GROWTH = 1000
"""How many times longer a text may become by replacements, one after another; those of published models keep its length."""


def refuse_hostile(name: str, specification: Mapping[str, Any]) -> None:
    """Refuse a normaliser that makes texts without end, or a table of characters whose size is not its own.

    Args:
        name: What to call the model in a message.
        specification: The contents of ``tokenizer.json``.

    Raises:
        ModelError: It has one.
    """
    steps = list(_steps(specification.get("normalizer")))
    growth = prod(_growth(step) for step in steps)
    if growth > MOST_GROWTH:
        raise ModelError(
            f"{name}: the replacements of the normalizer in tokenizer.json can make a text {growth:.3g} times longer, expected "
            f"{MOST_GROWTH} times at most; compare it with the model's original"
        )
    for step in steps:
        if step.get("type") == "Precompiled" and not _is_charsmap(step.get("precompiled_charsmap")):
            raise ModelError(
                f"{name}: the precompiled_charsmap in tokenizer.json is damaged: its table is longer than itself; fetch the file "
                "again"
            )


def _steps(normaliser: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [normaliser]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            yield step
            inner = step.get("normalizers")
            waiting.extend(inner if isinstance(inner, list) else [])


def _growth(step: Mapping[str, Any]) -> float:
    """How many times longer a step can make a text; a regular expression may match between any two characters."""
    content, pattern = step.get("content"), step.get("pattern")
    if step.get("type") != "Replace" or not isinstance(content, str) or not isinstance(pattern, dict):
        return 1.0
    literal = pattern.get("String")
    if isinstance(literal, str) and literal:
        return max(1.0, len(content.encode()) / len(literal.encode()))
    return 1.0 + len(content.encode())


def _is_charsmap(charsmap: Any) -> bool:
    """Whether SentencePiece's map begins with the size of its trie, in bytes, which it has room for."""
    if not isinstance(charsmap, str):
        return charsmap is None
    try:
        packed = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, ValueError):
        return False
    size = int.from_bytes(packed[:4], "little")
    return not packed or (size % 4 == 0 and 4 <= size <= len(packed) - 4)

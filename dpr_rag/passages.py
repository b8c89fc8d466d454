"""Passages and hits: the one place where ids, titles, texts and metadata are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpr_rag.errors import PassageError

MAX_METADATA_DEPTH = 32
PRIVATE_KEY = "_dpr_rag"
"""Metadata key under which an adapter keeps what its framework needs privately; ``Passage.visible_metadata`` leaves it out."""
SOURCE_KEY = "_dpr_rag_source"
"""Metadata key under which stands what a passage was read from, see ``dpr_rag.store.sources``; users do not see it either."""
RESERVED_KEYS = (PRIVATE_KEY, SOURCE_KEY)
"""Metadata keys that users do not see, and which an adapter refuses in what it is given."""
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that can be retrieved.

    Attributes:
        id: Non-empty string, unique in a store.
        text: Non-empty string; every Unicode character (NUL included) round-trips.
        title: What the passage is part of; DPR encodes it as the first segment of a pair.
        metadata: JSON object of the user's own, at most 32 levels deep, copied on construction.

    Raises:
        PassageError: A field has the wrong type, is empty, or cannot be stored as UTF-8 or JSON.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_string(self.id, "id", self.id)
        _check_string(self.text, "text", self.id)
        _check_string(self.title, "title", self.id, empty=True)
        if not isinstance(self.metadata, Mapping):
            raise PassageError(
                f"passage {self.id!r}: metadata is {_kind(self.metadata)}, expected a dict of JSON values; wrap it in one"
            )
        object.__setattr__(self, "metadata", _json_copy(self.metadata, self.id, "metadata", 0))

    @property
    def visible_metadata(self) -> dict[str, Any]:
        """A copy of the metadata, without what is kept under ``PRIVATE_KEY`` and ``SOURCE_KEY``."""
        return {key: value for key, value in self.metadata.items() if key not in RESERVED_KEYS}

    @classmethod
    def checked_before(cls, passage_id: str, text: str, title: str, metadata: Mapping[str, Any]) -> Passage:
        """Make a passage of fields that a passage had before, as a checksum proves, without checking them again."""
        passage = object.__new__(cls)
        for name, value in (("id", passage_id), ("text", text), ("title", title), ("metadata", metadata)):
            object.__setattr__(passage, name, value)
        return passage


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Attributes:
        passage: What was found.
        score: What the hits are ranked by, higher is better; in a dense search the exact inner product.
        rank: Place in the result, from 1.
        dense: Exact inner product of question and passage, or None where vectors did not count.
        bm25: BM25 score, phrases included where the ranking counts them, or None where words did not count.
    """

    passage: Passage
    score: float
    rank: int
    dense: float | None = None
    bm25: float | None = None


def check_question(question: object) -> str:
    """Return a question that can be encoded.

    Args:
        question: What the user asked.

    Raises:
        PassageError: It is no string, blank, or holds a lone surrogate.
    """
    _check_string(question, "question", None)
    text = str.__str__(question)
    if not text.strip():
        raise PassageError(f"the question {text!r} is blank; ask with at least one word")
    return text


def _kind(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _check_string(value: object, name: str, passage_id: object, *, empty: bool = False) -> None:
    owner = "" if passage_id is None else f"passage {passage_id!r:.120}: "
    if not isinstance(value, str):
        raise PassageError(f"{owner}{name} is {_kind(value)}, expected a string; convert it with str()")
    if not value and not empty:
        raise PassageError(f"{owner}{name} is empty, expected at least one character; drop it or fill it in")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PassageError(
            f"{owner}{name} holds the lone surrogate {value[error.start]!r} at character {error.start}, which is not text; "
            "decode the source with its right encoding"
        ) from error


def _json_copy(value: Any, passage_id: str, where: str, depth: int) -> Any:
    """Copy a JSON value, so that later changes to the caller's object cannot reach the passage."""
    if depth > MAX_METADATA_DEPTH:
        raise PassageError(
            f"passage {passage_id!r}: {where} is nested deeper than {MAX_METADATA_DEPTH} levels; flatten it"
        )
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_string(value, where, passage_id, empty=True)
        return str.__str__(value)
    if isinstance(value, int):
        return _checked_int(value, passage_id, where)
    if isinstance(value, float):
        return _checked_float(value, passage_id, where)
    if isinstance(value, list):
        return [_json_copy(item, passage_id, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _copied_object(value, passage_id, where, depth)
    raise PassageError(
        f"passage {passage_id!r}: {where} is {_kind(value)}, expected a JSON value (string, number, true, false, null, "
        "list, object); convert it, dates for example with .isoformat()"
    )


def _copied_object(value: Mapping[Any, Any], passage_id: str, where: str, depth: int) -> dict[str, Any]:
    copied = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise PassageError(f"passage {passage_id!r}: {where} has the key {_kind(key)}, expected a string")
        _check_string(key, f"a key of {where}", passage_id, empty=True)
        copied[str.__str__(key)] = _json_copy(item, passage_id, f"{where}[{key!r}]", depth + 1)
    return copied


def _checked_int(value: int, passage_id: str, where: str) -> int:
    if not -_INT64 <= value < _INT64:
        raise PassageError(
            f"passage {passage_id!r}: {where} is {value}, outside the 64-bit integers that filters compare; store it as a string"
        )
    return int(value)


def _checked_float(value: float, passage_id: str, where: str) -> float:
    if not math.isfinite(value):
        raise PassageError(
            f"passage {passage_id!r}: {where} is {value}, which JSON cannot hold; store None or a string"
        )
    return float(value)

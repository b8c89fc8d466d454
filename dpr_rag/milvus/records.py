"""Passages as rows of a collection, and what a collection cannot hold."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError
from dpr_rag.forking import new_lock
from dpr_rag.milvus.partitions import part_of
from dpr_rag.milvus.terms import described
from dpr_rag.passages import Passage

MAX_TEXT, MAX_JSON, MAX_TERMS = 65_535, 65_536, 4_096
FIELDS = ("key", "row", "id", "title", "text", "metadata")


def key_of(passage_id: str) -> str:
    """What the engine knows an id by: 32 hexadecimal characters, since pymilvus does not quote the keys it sends."""
    return blake2b(passage_id.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A passage as it lies in a collection.

    Attributes:
        key: See :func:`key_of`.
        row: Rises with every passage that is added.
        passage: The passage.
        vector: float32 [dim]; empty where it was not asked for.
    """

    key: str
    row: int
    passage: Passage
    vector: Vectors

    @staticmethod
    def of(found: Mapping[str, Any]) -> Kept:
        """Read what the engine gives."""
        metadata = found["metadata"]
        if isinstance(metadata, str | bytes):
            metadata = json.loads(metadata)
        passage = Passage.checked_before(found["id"], found["text"], found["title"], metadata)
        return Kept(found["key"], int(found["row"]), passage, np.array(found.get("vector", ()), np.float32))


def record_of(
    passage: Passage, vector: Vectors, row: int, *, words: bool, parted_by: str | None = None
) -> dict[str, Any]:
    """A passage as a row.

    Args:
        passage: The passage.
        vector: float32 [dim].
        row: Its number.
        words: Whether the collection ranks by words.
        parted_by: The field that tells its partition, or None.

    Raises:
        PassageError: It is larger than a collection can hold.
    """
    terms, numbers = described(passage)
    for name, text in (("id", passage.id), ("title", passage.title), ("text", passage.text)):
        _refuse(passage, name, len(text.encode()), MAX_TEXT, "bytes of UTF-8 in a VARCHAR", "split it")
    for name, value in (("metadata", passage.metadata), ("the numbers of the metadata", numbers)):
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        _refuse(passage, name, size, MAX_JSON, "bytes of JSON in a field", "leave out what is not asked for")
    _refuse(passage, "metadata", len(terms), MAX_TERMS, "facts that filters can ask for", "shorten its lists")
    row_of = {"key": key_of(passage.id), "row": row, "id": passage.id, "title": passage.title, "text": passage.text}
    made = {**row_of, "metadata": dict(passage.metadata), "terms": terms, "numbers": numbers, "vector": vector.tolist()}
    if parted_by is not None:
        made["part"] = part_of(passage, parted_by)
    if words:
        joined = f"{passage.title}\n{passage.text}" if passage.title else passage.text
        _refuse(passage, "title and text", len(joined.encode()), MAX_TEXT, "bytes of words for BM25", "split it")
        made["words"] = joined
    return made


def size_of(record: Mapping[str, Any]) -> int:
    """About how many bytes a row takes on its way."""
    texts = sum(len(record[name].encode()) for name in ("id", "title", "text"))
    return (
        4 * len(record["vector"])
        + (3 if "words" in record else 1) * texts
        + 60 * len(record["terms"])
        + 2 * len(json.dumps(record["metadata"]))
    )


def _refuse(passage: Passage, name: str, size: int, most: int, what: str, remedy: str) -> None:
    if size > most:
        raise PassageError(
            f"passage {passage.id!r:.120}: {name} has {size:,}, and Milvus holds at most {most:,} {what}; {remedy}"
        )


class Rows:
    """Numbers that rise with every passage that this process adds, and between processes as their clocks do."""

    def __init__(self) -> None:
        self._last, self._lock = 0, new_lock()

    def next(self) -> int:
        """The next one."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last

"""Passages as rows of a collection, and the size limits of a row."""

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
from dpr_rag.milvus.partitions import partition_value
from dpr_rag.milvus.terms import terms_of
from dpr_rag.passages import Passage

MAX_TEXT, MAX_JSON, MAX_TERMS = 65_535, 65_536, 4_096
FIELDS = ("key", "row", "id", "title", "text", "metadata")


def key_of(passage_id: str) -> str:
    """The primary key for a passage id: a hash of 32 hexadecimal characters, since pymilvus does not quote keys."""
    return blake2b(passage_id.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class StoredPassage:
    """A passage as it is stored in a collection.

    Attributes:
        key: Primary key, see :func:`key_of`.
        row: Row number; later passages have larger ones.
        passage: The passage.
        vector: float32 [dim]; empty if it was not requested.
    """

    key: str
    row: int
    passage: Passage
    vector: Vectors

    @staticmethod
    def of(fields: Mapping[str, Any]) -> StoredPassage:
        """Make it from the fields that the engine returns."""
        metadata = fields["metadata"]
        if isinstance(metadata, str | bytes):
            metadata = json.loads(metadata)
        passage = Passage.checked_before(fields["id"], fields["text"], fields["title"], metadata)
        return StoredPassage(fields["key"], int(fields["row"]), passage, np.array(fields.get("vector", ()), np.float32))


def record_of(
    passage: Passage, vector: Vectors, row: int, *, words: bool, parted_by: str | None = None
) -> dict[str, Any]:
    """A passage as a row.

    Args:
        passage: The passage.
        vector: float32 [dim].
        row: Its row number.
        words: Whether the collection has a BM25 index.
        parted_by: The metadata field whose value determines the partition, or None.

    Raises:
        PassageError: A field exceeds Milvus' limits.
    """
    terms, numbers = terms_of(passage)
    for name, text in (("id", passage.id), ("title", passage.title), ("text", passage.text)):
        _refuse(passage, name, len(text.encode()), MAX_TEXT, "bytes of UTF-8 in a VARCHAR", "split it")
    for name, value in (("metadata", passage.metadata), ("the numbers of the metadata", numbers)):
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        _refuse(passage, name, size, MAX_JSON, "bytes of JSON in a field", "leave out what is not asked for")
    _refuse(passage, "metadata", len(terms), MAX_TERMS, "facts that filters can ask for", "shorten its lists")
    row_of = {"key": key_of(passage.id), "row": row, "id": passage.id, "title": passage.title, "text": passage.text}
    record = {
        **row_of,
        "metadata": dict(passage.metadata),
        "terms": terms,
        "numbers": numbers,
        "vector": vector.tolist(),
    }
    if parted_by is not None:
        record["part"] = partition_value(passage, parted_by)
    if words:
        words_text = f"{passage.title}\n{passage.text}" if passage.title else passage.text
        _refuse(passage, "title and text", len(words_text.encode()), MAX_TEXT, "bytes of words for BM25", "split it")
        record["words"] = words_text
    return record


def size_of(record: Mapping[str, Any]) -> int:
    """The approximate size of a row in a request, in bytes."""
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
    """Ascending row numbers: nanoseconds since 1970, or one more than the last; ordered across processes by their clocks."""

    def __init__(self) -> None:
        self._last, self._lock = 0, new_lock()

    def next(self) -> int:
        """The next row number."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last

"""Finding passages by what an adapter wrote of them under ``PRIVATE_KEY``, through indexes that SQLite keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dpr_rag.passages import PRIVATE_KEY, Passage
from dpr_rag.storage.reader import Reader

PLACES = (1, 3)
"""Places in the list under ``PRIVATE_KEY`` whose strings are found fast."""


def _at(place: int) -> str:
    # what is damaged must reach its checksum, and not fail here
    return f"CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.{PRIVATE_KEY}[{place}]') END"


INDEXES = tuple(
    f"CREATE INDEX IF NOT EXISTS passage_mark_{place} ON passage ({_at(place)}) WHERE {_at(place)} IS NOT NULL"
    for place in PLACES
)


def marked(reader: Reader, marks: Iterable[str]) -> dict[int, Passage]:
    """Passages that have one of the marks, by ascending row number.

    Raises:
        StoreCorrupted: One is damaged.
    """
    wanted = _askable(marks)
    return reader.by_rows(sorted({row for place in PLACES for (row,) in _asked(reader, "row", place, wanted)}))


def present(reader: Reader, marks: Iterable[str]) -> set[str]:
    """Those of the marks that some passage has."""
    wanted = _askable(marks)
    return {mark for place in PLACES for (mark,) in _asked(reader, f"DISTINCT {_at(place)}", place, wanted)}


def _askable(marks: Iterable[str]) -> str:
    """The marks as JSON, without those that no text can hold, and that SQLite's JSON functions would cut."""
    return json.dumps([mark for mark in marks if "\0" not in mark and mark.encode("utf-8", "replace").decode() == mark])


def _asked(reader: Reader, what: str, place: int, wanted: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT {what} FROM passage WHERE {_at(place)} IN (SELECT value FROM json_each(?))"
    return reader.connection.execute(sql, (wanted,)).fetchall()

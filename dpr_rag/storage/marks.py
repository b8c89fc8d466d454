"""Finding passages by what an adapter wrote of them under ``PRIVATE_KEY``, through indexes that SQLite keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.passages import PRIVATE_KEY, Passage
from dpr_rag.storage.reader import Reader

KNOWN_SINCE = 5
PLACES = (1, 3)
"""Places in the list under ``PRIVATE_KEY`` whose strings are found fast."""


def _at(place: int) -> str:
    # what is damaged must reach its checksum, and not fail here
    return f"CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.{PRIVATE_KEY}[{place}]') END"


INDEXES = tuple(
    f"CREATE INDEX IF NOT EXISTS passage_mark_{place} ON passage ({_at(place)}) WHERE {_at(place)} IS NOT NULL"
    for place in PLACES
)


def _neighbours(place: int) -> str:
    """The entries of an index before a mark's own and behind them, and what the table says of their rows."""
    found = " UNION ALL ".join(
        f"SELECT * FROM (SELECT row, {behind} AS behind FROM passage INDEXED BY passage_mark_{place} "
        f"WHERE {_at(place)} {than} ?1 ORDER BY {_at(place)} {order} LIMIT 1)"
        for behind, than, order in ((0, "<", "DESC"), (1, ">", "ASC"))
    )
    return f"SELECT i.row, i.behind, {_at(place)} FROM ({found}) i LEFT JOIN passage p NOT INDEXED ON p.row = i.row"


_NEIGHBOURS = {place: _neighbours(place) for place in PLACES}


def prove_all_found(reader: Reader, marks: Iterable[str]) -> None:
    """Prove that single damaged entries hide no passage that has one of the marks; see ``dpr_rag.storage.ids.prove_absent``.

    Raises:
        StoreCorrupted: One may be hidden.
    """
    if reader.format() < KNOWN_SINCE:
        return
    for mark in json.loads(_askable(marks)):
        for place in PLACES:
            for row, behind, stored in reader.connection.execute(_NEIGHBOURS[place], (mark,)):
                if not _stands(stored, mark, behind=bool(behind)):
                    raise StoreCorrupted(
                        f"{reader.path}: the index on marks is damaged near {mark!r:.100} (row {row}), so that it cannot be "
                        f"said which passages have that; {RESTORE}"
                    )


def _stands(stored: object, mark: str, *, behind: bool) -> bool:
    """Whether a passage's mark belongs before another one, or behind it; SQLite puts numbers before all strings."""
    if isinstance(stored, str):
        return stored > mark if behind else stored < mark
    return isinstance(stored, int | float) and not behind


def marked(reader: Reader, marks: Iterable[str]) -> dict[int, Passage]:
    """Passages that have one of the marks, by ascending row number.

    Raises:
        StoreCorrupted: One is damaged.
    """
    marks = list(marks)
    prove_all_found(reader, marks)
    wanted = _askable(marks)
    return reader.by_rows(sorted({row for place in PLACES for (row,) in _asked(reader, "row", place, wanted)}))


def present(reader: Reader, marks: Iterable[str]) -> set[str]:
    """Those of the marks that some passage has."""
    marks = list(marks)
    prove_all_found(reader, marks)
    wanted = _askable(marks)
    return {mark for place in PLACES for (mark,) in _asked(reader, f"DISTINCT {_at(place)}", place, wanted)}


def _askable(marks: Iterable[str]) -> str:
    """The marks as JSON, without those that no text can hold, and that SQLite's JSON functions would cut."""
    return json.dumps([mark for mark in marks if "\0" not in mark and mark.encode("utf-8", "replace").decode() == mark])


def _asked(reader: Reader, what: str, place: int, wanted: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT {what} FROM passage WHERE {_at(place)} IN (SELECT value FROM json_each(?))"
    return reader.connection.execute(sql, (wanted,)).fetchall()

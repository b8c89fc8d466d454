"""Finding passages by marks, the strings of an adapter under ``PRIVATE_KEY``, through SQL indexes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.passages import PRIVATE_KEY, Passage, is_text
from dpr_rag.storage.entries import KNOWN_SINCE
from dpr_rag.storage.reader import StoreReader

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
    """SQL for the index entries just before and after those of a mark, with what the table holds at their rows."""
    selects = " UNION ALL ".join(
        f"SELECT * FROM (SELECT row, {behind} AS behind FROM passage INDEXED BY passage_mark_{place} "
        f"WHERE {_at(place)} {than} ?1 ORDER BY {_at(place)} {order} LIMIT 1)"
        for behind, than, order in ((0, "<", "DESC"), (1, ">", "ASC"))
    )
    return f"SELECT i.row, i.behind, {_at(place)} FROM ({selects}) i LEFT JOIN passage p NOT INDEXED ON p.row = i.row"


_NEIGHBOURS = {place: _neighbours(place) for place in PLACES}


def _prove_all_found(reader: StoreReader, marks: Sequence[str]) -> None:
    """Prove that single damaged entries hide no passage that has one of the marks; see ``dpr_rag.storage.ids.prove_absent``.

    Raises:
        StoreCorrupted: One may be hidden.
    """
    if reader.format() < KNOWN_SINCE:
        return
    for mark in marks:
        for place in PLACES:
            for row, behind, stored in reader.connection.execute(_NEIGHBOURS[place], (mark,)):
                if not _stands(stored, mark, behind=bool(behind)):
                    raise StoreCorrupted(
                        f"{reader.path}: the index on marks is damaged near {mark!r:.100} (row {row}), so that it cannot be "
                        f"said which passages have that; " + RESTORE
                    )


def _stands(stored: object, mark: str, *, behind: bool) -> bool:
    """Whether a mark sorts before another one (``behind``: after it), as SQLite orders values: numbers before strings."""
    if isinstance(stored, str):
        return stored > mark if behind else stored < mark
    return isinstance(stored, int | float) and not behind


def marked(reader: StoreReader, marks: Iterable[str]) -> dict[int, Passage]:
    """Passages that have one of the marks, by ascending row number.

    Raises:
        StoreCorrupted: One is damaged.
    """
    return reader.by_rows(sorted(_values_of(reader, lambda place: "row", marks)))


def marks_of(passage: Passage) -> list[str]:
    """The marks that a passage has."""
    listed = passage.metadata.get(PRIVATE_KEY)
    if not isinstance(listed, list):
        return []
    return [mark for place, mark in enumerate(listed) if place in PLACES and isinstance(mark, str)]


def present(reader: StoreReader, marks: Iterable[str]) -> set[str]:
    """Those of the marks that some passage has."""
    return _values_of(reader, _at, marks)


def _values_of(reader: StoreReader, what: Callable[[int], str], marks: Iterable[str]) -> set[Any]:
    """A column of the passages that have one of the marks, after the proof that no damaged index entry hides one."""
    # others than these no text can hold, or SQLite's JSON functions would cut them
    wanted = [mark for mark in marks if "\0" not in mark and is_text(mark)]
    _prove_all_found(reader, wanted)
    sql = "SELECT DISTINCT {} FROM passage WHERE {} IN (SELECT value FROM json_each(?))"
    listed = (json.dumps(wanted),)
    return {value for at in PLACES for (value,) in reader.connection.execute(sql.format(what(at), _at(at)), listed)}

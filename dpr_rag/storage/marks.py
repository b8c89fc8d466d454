"""Finding passages by what an adapter wrote of them under ``PRIVATE_KEY``, through indexes that SQLite keeps."""

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
    """The entries of an index before a mark's own and behind them, and what the table says of their rows."""
    found = " UNION ALL ".join(
        f"SELECT * FROM (SELECT row, {behind} AS behind FROM passage INDEXED BY passage_mark_{place} "
        f"WHERE {_at(place)} {than} ?1 ORDER BY {_at(place)} {order} LIMIT 1)"
        for behind, than, order in ((0, "<", "DESC"), (1, ">", "ASC"))
    )
    return f"SELECT i.row, i.behind, {_at(place)} FROM ({found}) i LEFT JOIN passage p NOT INDEXED ON p.row = i.row"


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
    """Whether a passage's mark belongs before another one, or behind it; SQLite puts numbers before all strings."""
    if isinstance(stored, str):
        return stored > mark if behind else stored < mark
    return isinstance(stored, int | float) and not behind


def marked(reader: StoreReader, marks: Iterable[str]) -> dict[int, Passage]:
    """Passages that have one of the marks, by ascending row number.

    Raises:
        StoreCorrupted: One is damaged.
    """
    return reader.by_rows(sorted(_asked(reader, lambda place: "row", marks)))


def marks_of(passage: Passage) -> list[str]:
    """The marks that a passage has."""
    listed = passage.metadata.get(PRIVATE_KEY)
    if not isinstance(listed, list):
        return []
    return [mark for place, mark in enumerate(listed) if place in PLACES and isinstance(mark, str)]


def present(reader: StoreReader, marks: Iterable[str]) -> set[str]:
    """Those of the marks that some passage has."""
    return _asked(reader, _at, marks)


def _asked(reader: StoreReader, what: Callable[[int], str], marks: Iterable[str]) -> set[Any]:
    """What there is of passages at any place with one of the marks, of which it is proven that none is hidden."""
    # others than these no text can hold, or SQLite's JSON functions would cut them
    wanted = [mark for mark in marks if "\0" not in mark and is_text(mark)]
    _prove_all_found(reader, wanted)
    sql = "SELECT DISTINCT {} FROM passage WHERE {} IN (SELECT value FROM json_each(?))"
    listed = (json.dumps(wanted),)
    return {found for at in PLACES for (found,) in reader.connection.execute(sql.format(what(at), _at(at)), listed)}

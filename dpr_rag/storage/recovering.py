"""Reads what is whole of a damaged store file: row by row around pages that cannot be read, each against its checksum."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import StoreCorrupted
from dpr_rag.passages import Passage
from dpr_rag.storage import schema
from dpr_rag.storage.connecting import connect
from dpr_rag.storage.entries import entry_crc
from dpr_rag.storage.records import read_passage, read_vectors
from dpr_rag.storage.state import State
from dpr_rag.storage.translating import translated

_STEP = 256
_PASSAGES = "SELECT row, id, title, metadata, text, crc FROM passage NOT INDEXED WHERE row"
Record = tuple[Any, ...]


@contextmanager
def opened(path: Path) -> Iterator[Remains]:
    """Open a store file to read what is whole of it, also where :class:`~dpr_rag.storage.database.Database` refuses it.

    Raises:
        StoreCorrupted: Not even its schema can be read, or it holds a stranger's.
        StoreFormatError: A newer dpr-rag wrote it.
    """
    with translated(path), closing(connect(path, mode="ro", timeout=30, functions={})) as connection:
        schema.refuse_newer(connection, path)
        schema.refuse_foreign(connection, path, complete=False)
        # a damaged text fails its checksum, and not the reading of the rows behind it
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("BEGIN")
        yield Remains(connection, path)


class Remains:
    """What can still be read of a store file; every record that comes out matches its checksum."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Use a connection with a running read transaction."""
        self._connection, self._path = connection, path
        self._guesses = path.stat().st_size  # a row takes more than a byte
        self.state = self._read_state()
        self.indexed, self._index_is_whole = self._read_index()

    def passages(self) -> Iterator[tuple[int, Passage]]:
        """Passages with their row numbers, in order of insertion."""
        for record in self._rows(_PASSAGES, self._last()):
            try:
                yield record[0], read_passage(record, self._path)
            except StoreCorrupted:
                continue

    def vectors(self, rows: Sequence[int]) -> dict[int, Vectors]:
        """Those of the vectors in use that are whole, by row number; float32 [dim] each."""
        state, found = self.state, {}
        if state is None or state.model is None:
            return {}
        sql = f"SELECT row, vector, crc FROM {state.vectors} WHERE row = ?"
        for row in rows:
            for record in self._fetched(sql, (row,)):
                try:
                    found[row] = read_vectors([record], state.model.dim, state.dtype, self._path)[0]
                except StoreCorrupted:
                    continue
        return found

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Records of adapters: collection, key and JSON text, in order of insertion."""
        last = int(next(iter(self._fetched("SELECT max(rowid) FROM entry", ())), (0,))[0] or 0)
        select = "SELECT rowid, collection, key, value, crc FROM entry NOT INDEXED WHERE rowid"
        for _, collection, key, value, crc in self._rows(select, last):
            texts = isinstance(collection, str) and isinstance(key, str) and isinstance(value, str)
            if texts and entry_crc(collection, key, value) == crc:
                yield collection, key, value

    def names(self, lost: Callable[[int], bool]) -> list[str]:
        """Ids of lost rows, as far as the index on ids still has them."""
        names: list[str] = []
        try:
            found = self._connection.execute("SELECT id, row FROM passage INDEXED BY sqlite_autoindex_passage_1")
            names.extend(name for name, row in found if isinstance(row, int) and isinstance(name, str) and lost(row))
        except sqlite3.Error:
            pass  # what comes behind is known by its number alone
        return names

    def _read_state(self) -> State | None:
        for record in self._fetched("SELECT value, crc FROM state WHERE one = 1", ()):
            try:
                return State.decode(record[0], record[1], self._path)
            except StoreCorrupted:
                break
        return None

    def _read_index(self) -> tuple[Rows, bool]:
        """Row numbers in the index on ids, ascending, and whether all of it could be read."""
        rows: list[int] = []
        try:
            cursor = self._connection.execute("SELECT row FROM passage INDEXED BY sqlite_autoindex_passage_1")
            rows.extend(record[0] for record in cursor if isinstance(record[0], int))
            whole = self.state is None or len(rows) == self.state.passages
        except sqlite3.Error:
            whole = False
        return np.unique(np.array(rows, np.int64)), whole

    def _last(self) -> int:
        return int(self.indexed.max(initial=0)) if self.state is None else self.state.next_row - 1

    def _rows(self, select: str, last: int) -> Iterator[Record]:
        """Records with ascending row numbers up to ``last``: in one run, and one by one where that meets a damaged page."""
        at = 0
        while at < last:
            run = self._run(f"{select} > ? ORDER BY 1", at)
            for record in run:
                if not isinstance(record[0], int) or record[0] <= at:  # a page stands in the place of another
                    break
                at = record[0]
                yield record
            else:
                if run.ended:
                    return
            for row in self._next(at, last):
                at = row
                yield from self._fetched(f"{select} = ?", (row,))

    def _run(self, sql: str, after: int) -> _Run:
        return _Run(self._connection, sql, after)

    def _next(self, after: int, last: int) -> list[int]:
        """The next row numbers that may be there."""
        if self._index_is_whole:
            at = int(np.searchsorted(self.indexed, after, side="right"))
            return self.indexed[at : at + _STEP].tolist() or [last]
        guessed = min(_STEP, self._guesses)
        self._guesses -= guessed
        return list(range(after + 1, min(after + guessed, last) + 1)) or [last]

    def _fetched(self, sql: str, values: tuple[int, ...]) -> list[Record]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error:
            return []


class _Run:
    """The records of a statement up to the first that cannot be read; ``ended`` says whether there was none such."""

    def __init__(self, connection: sqlite3.Connection, sql: str, after: int) -> None:
        self._connection, self._sql, self._after, self.ended = connection, sql, after, False

    def __iter__(self) -> Iterator[Record]:
        try:
            yield from self._connection.execute(self._sql, (self._after,))
        except sqlite3.Error:
            return
        self.ended = True

"""Reads the undamaged records of a damaged store file, by their checksums: through SQLite, or page by page where that fails."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import StoreCorrupted
from dpr_rag.passages import Passage
from dpr_rag.storage import schema
from dpr_rag.storage.connecting import connect
from dpr_rag.storage.entries import entry_crc
from dpr_rag.storage.records import passage_crc, read_passage, read_vectors, vector_crc
from dpr_rag.storage.scanning import Scan
from dpr_rag.storage.state import State, added
from dpr_rag.storage.translating import translated

_TABLES = {
    "passage": "row, id, title, metadata, text, crc FROM passage NOT INDEXED WHERE row",
    "entry": "rowid, collection, key, value, crc FROM entry NOT INDEXED WHERE rowid",
}
Record = tuple[Any, ...]
_SOME, _LEAST = 200, 2
_SALTED: Mapping[str, tuple[str, Callable[..., int]]] = {
    "passage": ("row, id, title, metadata, text, crc FROM passage NOT INDEXED", passage_crc),
    "vector": ("row, vector, crc FROM vector_a UNION ALL SELECT row, vector, crc FROM vector_b", vector_crc),
    "entry": ("rowid, collection, key, value, crc FROM entry NOT INDEXED", lambda _, *entry: entry_crc(*entry)),
}
"""Kinds of records by name: their columns, and what makes their checksums."""
_Found = TypeVar("_Found")


@contextmanager
def opened(path: Path) -> Iterator[Remains]:
    """Open a damaged store file for recovery, also one that :class:`~dpr_rag.storage.database.Database` refuses.

    Raises:
        StoreCorrupted: Its schema cannot be read, or holds a stranger's, and no passage is found on its pages.
        StoreFormatError: A newer dpr-rag wrote it.
    """
    with ExitStack() as until:
        try:
            with translated(path):
                remains = Remains(until.enter_context(_connected(path)), path, until)
        except StoreCorrupted:
            # no statement can run on it, and none has to: pages are read as they lie
            remains = Remains(until.enter_context(closing(sqlite3.connect(":memory:"))), path, until)
            if not remains.is_found:
                raise
        with translated(path):
            yield remains


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path, mode="ro", timeout=30, functions={})) as connection:
        schema.refuse_newer(connection, path)
        schema.refuse_foreign(connection, path, complete=False)
        # a damaged text fails its checksum, and not the reading of the rows behind it
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("BEGIN")
        yield connection


class Remains:
    """The records of a damaged store file that match their checksums."""

    def __init__(self, connection: sqlite3.Connection, path: Path, until: ExitStack) -> None:
        """Use a connection with a running read transaction, and keep the file open until the stack is closed."""
        self._connection, self._path, self._until = connection, path, until
        self.state = self._read_state()
        self.indexed, self._index_is_whole = self._read_index()
        self._salt = self._read_salt()
        self._lists: dict[str, tuple[Rows, bool]] = {}
        self._doubtful: list[str] = []
        self._sum = self._count = 0

    @cached_property
    def _scan(self) -> Scan:
        return Scan(self._path, self._until)

    @property
    def is_found(self) -> bool:
        """Whether a state or a passage was found."""
        return self.state is not None or len(self._scan.rows("passage")) > 0

    def passages(self) -> Iterator[tuple[int, Passage]]:
        """Passages with their row numbers, in order of insertion."""
        for record, passage, scanned in self._read("passage", self._passage):
            self._sum, self._count = added(self._sum, record[5]), self._count + 1
            if scanned and not self._scan.knows_free:
                self._doubtful.append(passage.id)
            yield record[0], passage

    def may_be_deleted(self) -> list[str]:
        """Ids of recovered passages that may have been deleted, or may be older versions."""
        state = self.state
        proven = state is not None and (self._count, self._sum) == (state.passages, state.passage_sum)
        return [] if proven else self._doubtful

    def vectors(self, rows: Sequence[int]) -> dict[int, Vectors]:
        """The undamaged vectors in use by row number, float32 [dim] each."""
        state, whole_by_row = self.state, {}
        if state is None or state.model is None:
            return {}
        for row in rows:
            records = self._fetched(f"SELECT row, vector, crc FROM {state.vectors} WHERE row = ?", row)
            whole = [*self._whole_vectors(records, state)] or [*self._scanned_vectors(row, state)]
            if len(whole) == 1:
                whole_by_row[row] = whole[0]
        return whole_by_row

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Records of adapters: collection, key and JSON text, in order of insertion."""
        for record, _, _ in self._read("entry", self._is_entry):
            yield record[1], record[2], record[3]

    def names(self, lost: Callable[[int], bool]) -> list[str]:
        """Ids of lost rows, as far as the index on ids still has them."""
        run = _Run(self._connection, "SELECT id, row FROM passage INDEXED BY sqlite_autoindex_passage_1")
        return [name for name, row in run if isinstance(row, int) and isinstance(name, str) and lost(row)]

    def _passage(self, record: Record) -> Passage | None:
        try:
            return read_passage(record, self._path, self._salt)
        except StoreCorrupted:
            return None

    def _is_entry(self, record: Record) -> bool | None:
        _, collection, key, value, crc = record
        texts = isinstance(collection, str) and isinstance(key, str) and isinstance(value, str)
        return True if texts and entry_crc(collection, key, value, self._salt) == crc else None

    def _whole_vectors(self, records: Iterable[Record], state: State) -> Iterator[Vectors]:
        for record in records:
            with suppress(StoreCorrupted):
                dim = state.model.dim if state.model else 0
                yield read_vectors([record], dim, state.dtype, self._path, self._salt)[0]

    def _scanned_vectors(self, row: int, state: State) -> Iterator[Vectors]:
        """Vectors on pages in use; none where some may be another encoder's, as on pages that re-encoding fills or has left."""
        if state.pending is None and self._scan.knows_free:
            yield from self._whole_vectors(self._scan.records("vector", row), state)

    def _read_state(self) -> State | None:
        read = self._fetched("SELECT value, crc FROM state WHERE one = ?", 1)
        return self._decoded(read) or self._decoded(record[1:] for record in self._scan.records("state", 1))

    def _read_salt(self) -> int:
        """The store's salt: its state's, or where that is lost, or another store's, the one with which most records are whole."""
        known = None if self.state is None else self.state.salt
        if known is not None and known in islice(self._salts(), _SOME):
            return known
        salt, votes = max(Counter(self._salts()).items(), key=lambda item: item[1], default=(0, 0))
        # one record alone would prove itself whole, whatever happened to it
        return salt if votes >= _LEAST else known or 0

    def _salts(self) -> Iterator[int]:
        """The salt with which each record, whole or not, would be whole."""
        for kind, (columns, crc_of) in _SALTED.items():
            run = _Run(self._connection, f"SELECT {columns}")
            scanned = () if run.ended else map(int, self._scan.rows(kind))
            for record in chain(run, (one for row in scanned for one in self._scan.records(kind, row))):
                with suppress(TypeError, AttributeError, UnicodeEncodeError, struct.error, OverflowError):
                    yield record[-1] ^ crc_of(*record[:-1], 0)

    def _decoded(self, records: Iterable[Record]) -> State | None:
        """The newest undamaged state."""
        states = []
        for record in records:
            with suppress(StoreCorrupted):
                states.append(State.decode(record[0], record[1], self._path))
        return max(states, key=lambda state: state.generation, default=None)

    def _read_index(self) -> tuple[Rows, bool]:
        """Row numbers in the index on ids, ascending, and whether all of it could be read."""
        run = _Run(self._connection, "SELECT row FROM passage INDEXED BY sqlite_autoindex_passage_1")
        rows = np.unique(np.array([record[0] for record in run if isinstance(record[0], int)], np.int64))
        return rows, run.ended and (self.state is None or len(rows) == self.state.passages)

    def _read(self, kind: str, read: Callable[[Record], _Found | None]) -> Iterator[tuple[Record, _Found, bool]]:
        """Undamaged records by ascending row number, and whether each was found by scanning pages.

        They are read in one run, and one by one behind where that meets a damaged page.
        """
        at, select = 0, f"SELECT {_TABLES[kind]}"
        if self._listed(kind)[1]:
            run = _Run(self._connection, f"{select} > 0 ORDER BY 1")
            for record in run:
                at = record[0]
                if (item := read(record)) is not None:
                    yield record, item, False
            if run.ended:
                return
        for row in self._numbers(kind, at):
            fetched = [(record, False) for record in self._fetched(f"{select} = ?", row)]
            for record, scanned in chain(fetched, ((record, True) for record in self._scan.records(kind, row))):
                if (item := read(record)) is not None:
                    yield record, item, scanned
                    break

    def _listed(self, kind: str) -> tuple[Rows, bool]:
        """Ascending row numbers in the table's B-tree, and whether these are all."""
        if kind not in self._lists:
            self._lists[kind] = self._list(kind)
        return self._lists[kind]

    def _list(self, kind: str) -> tuple[Rows, bool]:
        run = _Run(self._connection, f"SELECT {_TABLES[kind].split(',')[0]} {_TABLES[kind].partition('crc ')[2]} > 0")
        rows = np.array([row for (row,) in run if isinstance(row, int)], np.int64)
        known = None if self.state is None else self.state.passages if kind == "passage" else self.state.entries
        return np.unique(rows), run.ended and known in (None, len(rows)) and bool(np.all(np.diff(rows) > 0))

    def _numbers(self, kind: str, after: int) -> list[int]:
        """Ascending candidate row numbers above one, without those known to be deleted."""
        candidates = self._scan.rows(kind)
        if kind == "passage" and self._index_is_whole:
            candidates = self.indexed
        elif kind == "passage":
            removed = [record[0] for record in _Run(self._connection, "SELECT row FROM removed")]
            candidates = np.union1d(self.indexed, np.setdiff1d(candidates, np.array(removed, np.int64)))
        elif not self._scan.knows_free:
            candidates = candidates[:0]
        candidates = np.union1d(self._listed(kind)[0], candidates)
        rows: list[int] = candidates[candidates > after].tolist()
        return rows

    def _fetched(self, sql: str, row: int) -> list[Record]:
        return list(_Run(self._connection, sql, row))


class _Run:
    """The records of a statement up to the first unreadable one; ``ended`` tells whether all could be read."""

    def __init__(self, connection: sqlite3.Connection, sql: str, *values: int) -> None:
        self._connection, self._sql, self._values, self.ended = connection, sql, values, False

    def __iter__(self) -> Iterator[Record]:
        try:
            yield from self._connection.execute(self._sql, self._values)
        except sqlite3.Error:
            return
        self.ended = True

"""Reading a store file inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from dpr_rag.derived import Rows, mixed
from dpr_rag.encoder import Vectors
from dpr_rag.errors import RESTORE, FilterError, StoreCorrupted, StoreReplacedError
from dpr_rag.filters import Filter, answered
from dpr_rag.passages import Passage
from dpr_rag.storage import ids as ids_index
from dpr_rag.storage.records import PASSAGE_COLUMNS, check_record, read_passage, read_vectors
from dpr_rag.storage.state import State, added

Condition = Filter | Callable[[Passage], bool]
_BOUND, _BLOCK = 500, 4096


class StoreReader:
    """Reads passages, vectors and the state through one open transaction."""

    def __init__(self, connection: sqlite3.Connection, path: object, known: State | None = None) -> None:
        """Use a connection with a running transaction.

        Args:
            connection: The connection.
            path: The store file, for messages.
            known: A state that this process saw before the transaction began.
        """
        self.connection, self.path, self.known = connection, path, known
        self._state: State | None = None

    def restart(self) -> None:
        """Start the transaction anew, at the newest generation."""
        self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN")
        self._state = None

    def state(self) -> State:
        """The state of the transaction's generation, read once.

        Raises:
            StoreCorrupted: It is missing or damaged.
            StoreReplacedError: It is that of another store, or of a copy that has gone its own way.
        """
        if self._state is not None:
            return self._state
        record = self.connection.execute("SELECT value, crc FROM state WHERE one = 1").fetchone()
        if record is None:
            raise StoreCorrupted(f"{self.path}: the store's own record is missing; " + RESTORE)
        state = State.decode(record[0], record[1], self.path)
        if self.known is not None and state.follows(self.known) is False:
            raise StoreReplacedError(
                f"{self.path} has been overwritten with another store, or another copy of this one, since it was opened; "
                "open it again"
            )
        self.known = self._state = state
        return state

    def current_state(self) -> State:
        """The state, after the check that no stored row or removal is newer: a page of an earlier commit would be stale.

        Raises:
            StoreCorrupted: It is missing, damaged, or older than they are.
        """
        state = self.state()
        newest = (
            self.connection.execute(f"SELECT max({column}) FROM {table}").fetchone()[0] or 0
            for column, table in (("row", "passage"), ("generation", "removed"))
        )
        if any(
            isinstance(number, int) and number > most
            for number, most in zip(newest, (state.next_row - 1, state.generation), strict=True)
        ):
            raise StoreCorrupted(f"{self.path}: the store's own record is older than what is stored; " + RESTORE)
        return state

    def format(self) -> int:
        """Number of the file's format, which may be older than the current one where it was opened read-only."""
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    def by_ids(self, ids: Iterable[str]) -> dict[str, tuple[int, Passage]]:
        """Passages with their row numbers by id; unknown ids are left out."""
        wanted = set(ids)
        records = self._chunked(f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.id IN (%s)", wanted)
        passages = {passage.id: (row, passage) for row, passage in self._passages(records)}
        if not passages.keys() <= wanted:
            raise StoreCorrupted(f"{self.path}: the index on ids leads to other passages; " + RESTORE)
        return passages

    def prove_absent(self, ids: Iterable[str]) -> None:
        """Prove that ids which the index did not find are not stored; see :func:`dpr_rag.storage.ids.prove_absent`."""
        ids_index.prove_absent(self.connection, ids, self.path)

    def prove_ids(self) -> None:
        """Prove that the index on ids is whole; see :func:`dpr_rag.storage.ids.prove_whole`."""
        state = self.state()
        if state.store:
            ids_index.prove_whole(self.connection, state, self.path)
        else:  # of a format before 5, which kept no sum of the ids
            self.refuse_problems("passage")

    def by_rows(self, rows: Iterable[int]) -> dict[int, Passage]:
        """Passages by row number.

        Raises:
            StoreCorrupted: A row is damaged or missing.
        """
        wanted = [int(row) for row in rows]
        passages = dict(
            self._passages(self._chunked(f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.row IN (%s)", wanted))
        )
        if len(passages) != len(set(wanted)):
            missing = next(row for row in wanted if row not in passages)
            raise StoreCorrupted(f"{self.path}: row {missing} is indexed but missing; " + RESTORE)
        return passages

    def after(self, row: int, limit: int) -> list[tuple[int, Passage]]:
        """At most ``limit`` passages above a row number, in order of insertion."""
        return self.page_after(row, limit)[0]

    def page_after(self, row: int, limit: int) -> tuple[list[tuple[int, Passage]], int]:
        """Like :meth:`after`, with the sum of their checksums."""
        sql = f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.row > ? ORDER BY p.row LIMIT ?"
        records = self.connection.execute(sql, (row, limit)).fetchall()
        return list(self._in_order(records, row)), added(0, sum(record[-1] for record in records))

    def rows_where(self, where: Condition, *, after: int = 0) -> Rows:
        """Ascending row numbers, above one, of the passages that a filter or a predicate keeps."""
        if not isinstance(where, Filter):
            kept = (row for row, passage in self.every(after=after) if fits(where, passage))
            return np.fromiter(kept, dtype=np.int64)
        condition, parameters = where.to_sql()
        sql = f"SELECT row FROM passage WHERE row > ? AND {condition} ORDER BY row"
        return np.fromiter((record[0] for record in self.connection.execute(sql, [after, *parameters])), dtype=np.int64)

    def every(self, *, after: int = 0) -> Iterator[tuple[int, Passage]]:
        """All passages above a row number with their row numbers, in order of insertion."""
        sql = f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.row > ? ORDER BY p.row"
        return self._in_order(self.connection.execute(sql, (after,)), after)

    def prove_passages(self, *, after: int) -> None:
        """Verify every passage above a row number, that none is missing, and that the index on ids fits them.

        Raises:
            StoreCorrupted: Naming the first thing that is wrong.
        """
        sql, state = f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.row > ?", self.state()
        for record in self.connection.execute(sql, (after,)):
            check_record(record, self.path, state.salt)
        count = int(self.connection.execute("SELECT count(*) FROM passage NOT INDEXED").fetchone()[0])
        if count != state.passages or self.checksum_of("passage") != state.passage_sum:
            raise StoreCorrupted(f"{self.path} holds {count} of {state.passages} passages, or others; " + RESTORE)
        if not after:
            self.prove_ids()

    def prove_after(self, row: int, *, count: int, known: int) -> None:
        """Verify the passages above a row number, and that they are as many as counted; those up to ``known`` are verified.

        Raises:
            StoreCorrupted: Naming the first thing that is wrong.
        """
        sql, salt = f"SELECT {PASSAGE_COLUMNS} FROM passage p WHERE p.row > ?", self.state().salt
        for record in self.connection.execute(sql, (max(row, known),)):
            check_record(record, self.path, salt)
        stored = self.count_after(row)
        if stored != count:
            raise StoreCorrupted(f"{self.path} holds {stored} of {count} passages above row {row}; " + RESTORE)

    def count_after(self, row: int) -> int:
        """How many passages have a row number above ``row``."""
        return int(self.connection.execute("SELECT count(*) FROM passage WHERE row > ?", (row,)).fetchone()[0])

    def missing_vectors(self, table: str, limit: int) -> list[tuple[int, Passage]]:
        """The next passages that a vector table being filled lacks; it is filled in order of row numbers."""
        return self.after(self.last_row_of(table), limit)

    def last_row_of(self, table: str) -> int:
        """Highest row number in a vector table, 0 for none."""
        return int(self.connection.execute(f"SELECT coalesce(max(row), 0) FROM {table}").fetchone()[0])

    def rows_of(self, table: str, *, after: int) -> Rows:
        """Ascending row numbers, above one, in a vector table."""
        cursor = self.connection.execute(f"SELECT row FROM {table} WHERE row > ? ORDER BY row", (after,))
        return np.fromiter((record[0] for record in cursor), dtype=np.int64)

    def count_vectors(self, table: str) -> int:
        """How many vectors a vector table holds."""
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def checksum_of(self, table: str) -> int:
        """Sum of the checksums in a table, as the state records it."""
        return added(0, self.connection.execute(f"SELECT sum(crc) FROM {table}").fetchone()[0] or 0)

    def problems(self, table: str = "") -> list[str]:
        """Errors of SQLite's ``integrity_check``, of the whole file or of one table and its indexes."""
        pragma = f"PRAGMA integrity_check({table})" if table else "PRAGMA integrity_check"
        lines = [str(record[0]) for record in self.connection.execute(pragma)]
        return [f"SQLite: {line}" for line in lines if line != "ok"]

    def refuse_problems(self, table: str) -> None:
        """Have SQLite check a table against its indexes.

        Raises:
            StoreCorrupted: They do not fit.
        """
        if wrong := self.problems(table):
            raise StoreCorrupted(f"{self.path}: {wrong[0]}; " + RESTORE)

    def vectors(self, state: State, after: int = 0) -> Iterator[tuple[Rows, Vectors]]:
        """Stream (ascending row numbers, float32 vectors) above a row number, each verified."""
        if state.model is None:
            return
        sql = f"SELECT row, vector, crc FROM {state.vectors} WHERE row > ? ORDER BY row"
        cursor = self.connection.execute(sql, (after,))
        while block := cursor.fetchmany(_BLOCK):
            vectors = read_vectors(block, state.model.dim, state.dtype, self.path, state.salt)
            rows = np.array([record[0] for record in block], dtype=np.int64)
            if rows[0] <= after or not (rows[1:] > rows[:-1]).all():
                raise self._out_of_order(after)
            after = int(rows[-1])
            yield rows, vectors

    def vectors_of(self, state: State, rows: Iterable[int]) -> dict[int, Vectors]:
        """Vectors in use by row number, float32 [dim] each.

        Raises:
            StoreCorrupted: One is damaged or missing.
        """
        if state.model is None:
            return {}
        wanted = [int(row) for row in rows]
        cursor = self._chunked(f"SELECT row, vector, crc FROM {state.vectors} WHERE row IN (%s)", wanted)
        records = [(row, vector, crc) for row, vector, crc in cursor]
        if len(records) != len(set(wanted)):
            raise StoreCorrupted(
                f"{self.path}: {len(set(wanted)) - len(records)} passages have lost their vectors; " + RESTORE
            )
        vectors = read_vectors(records, state.model.dim, state.dtype, self.path, state.salt)
        return {record[0]: vector for record, vector in zip(records, vectors, strict=True)}

    def removed(self, since: int) -> Rows:
        """Ascending row numbers removed in generations above ``since``."""
        return self.removals(since)[0]

    def removals(self, since: int) -> tuple[Rows, int]:
        """Ascending row numbers removed in generations above ``since``, and the sum of their marks."""
        sql = "SELECT row, generation FROM removed WHERE generation > ? ORDER BY row"
        records = self.connection.execute(sql, (since,)).fetchall()
        if not all(isinstance(generation, int) for _, generation in records):
            raise StoreCorrupted(f"{self.path}: the record of removed passages is damaged; " + RESTORE)
        pairs = np.array(records, np.int64).reshape(-1, 2)
        return pairs[:, 0], marks(pairs[:, 0], pairs[:, 1])

    def _passages(self, records: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Passage]]:
        salt = self.state().salt
        for record in records:
            yield record[0], read_passage(record, self.path, salt)

    def _in_order(self, records: Iterable[tuple[Any, ...]], last: int) -> Iterator[tuple[int, Passage]]:
        """Passages above a row number whose row numbers ascend, as those of intact pages do."""
        for row, passage in self._passages(records):
            if row <= last:
                raise self._out_of_order(row)
            last = row
            yield row, passage

    def _out_of_order(self, row: int) -> StoreCorrupted:
        return StoreCorrupted(f"{self.path} is damaged: its rows are out of order near row {row}; " + RESTORE)

    def _chunked(self, sql: str, values: Iterable[str] | Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """Run a query over many values, within SQLite's limit on bound ones."""
        remaining = iter(values)
        while part := list(islice(remaining, _BOUND)):
            yield from self.connection.execute(sql % ", ".join("?" * len(part)), part).fetchall()


def marks(rows: Rows, generations: Rows) -> int:
    """Sum of a 64-bit hash of each removal, modulo 2**64; two changes cancel out with a probability of 2**-64."""
    return int(mixed(mixed(rows) + generations.astype(np.uint64)).sum(dtype=np.uint64))


def fits(where: Condition, passage: Passage) -> bool:
    """Whether a filter or a predicate keeps a passage.

    Raises:
        FilterError: The predicate answers neither True nor False, or fails like a damaged file.
    """
    if isinstance(where, Filter):
        return where.matches(passage)
    try:
        return answered(where, passage)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # must not pass for damage of this file
        raise FilterError(f"the predicate failed on passage {passage.id!r:.120}: {error}") from error

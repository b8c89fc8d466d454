"""Writing a store file inside one transaction, with the sums of checksums that prove completeness."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import RESTORE, StoreCorrupted, VectorError
from dpr_rag.passages import Passage
from dpr_rag.storage.ids import mark_of
from dpr_rag.storage.reader import StoreReader, marks
from dpr_rag.storage.records import dump_metadata, passage_crc, to_stored, vector_crc
from dpr_rag.storage.state import Model, State, added, taken


class StoreWriter(StoreReader):
    """A reader that can also write; call :meth:`commit_state` once, last."""

    def __init__(self, connection: sqlite3.Connection, path: object, known: State | None = None) -> None:
        """Use a connection with a running write transaction; ``known`` as for a reader."""
        super().__init__(connection, path, known)
        self.now = self.current_state()
        self._generation = self.now.generation + 1

    def insert(self, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Append passages with their vectors, float32 [n, dim]; their ids must be free."""
        first = self.now.next_row
        sums, ids = self.now.passage_sum, self.now.id_sum
        records = []
        for row, passage in enumerate(passages, start=first):
            metadata = dump_metadata(passage)
            crc = passage_crc(row, passage.id, passage.title, metadata, passage.text, self.now.salt)
            sums, ids = added(sums, crc), added(ids, mark_of(row, passage.id))
            records.append((row, passage.id, passage.title, metadata, passage.text, crc))
        self.connection.executemany("INSERT INTO passage VALUES (?, ?, ?, ?, ?, ?)", records)
        total = self.insert_vectors(self.now.vectors, range(first, first + len(passages)), vectors, passages)
        self.now = replace(
            self.now,
            next_row=first + len(passages),
            passages=self.now.passages + len(passages),
            passage_sum=sums,
            id_sum=ids,
            vector_sum=added(self.now.vector_sum, total),
        )

    def insert_vectors(self, table: str, rows: Iterable[int], vectors: Vectors, passages: Sequence[Passage]) -> int:
        """Append vectors to one of the two vector tables and return the sum of their checksums.

        Raises:
            VectorError: A value is beyond the range of the store's float16.
        """
        stored = to_stored(vectors, self.now.dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            name = passages[int(np.flatnonzero(~finite)[0])].id
            raise VectorError(
                f"the vector of passage {name!r} does not fit into float16; create the store with float32"
            )
        size = stored.shape[1] * stored.itemsize
        data = stored.tobytes()
        records = []
        for at, row in enumerate(rows):
            blob = data[at * size : (at + 1) * size]
            records.append((row, blob, vector_crc(row, blob, self.now.salt)))
        self.connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", records)
        return sum(record[2] for record in records)

    def update_metadata(self, row: int, passage: Passage, *, seen: bool) -> None:
        """Replace the metadata of a passage whose title and text stay as they are; ``seen`` is whether filters see it."""
        (old,) = self.connection.execute("SELECT crc FROM passage WHERE row = ?", (row,)).fetchone()
        metadata = dump_metadata(passage)
        crc = passage_crc(row, passage.id, passage.title, metadata, passage.text, self.now.salt)
        self.connection.execute("UPDATE passage SET metadata = ?, crc = ? WHERE row = ?", (metadata, crc, row))
        total = added(taken(self.now.passage_sum, old), crc)
        self.now = replace(self.now, passage_sum=total, edits=self.now.edits + seen)

    def remove(self, rows: Rows | Sequence[int]) -> None:
        """Remove passages and their vectors by row number, and note it for the segments that still hold them.

        Raises:
            StoreCorrupted: A row or its vector is missing.
        """
        numbers = [int(row) for row in rows]
        sql = (
            f"SELECT p.crc, v.crc, p.row, p.id FROM passage p JOIN {self.now.vectors} v USING (row) WHERE p.row IN (%s)"
        )
        sums = list(self._chunked(sql, numbers))
        if len(sums) != len(numbers) or not all(isinstance(record[1], int) for record in sums):
            raise StoreCorrupted(
                f"{self.path}: {len(numbers) - len(sums)} passages have lost their vectors; " + RESTORE
            )
        for table in ("passage", "vector_a", "vector_b"):
            self.connection.executemany(f"DELETE FROM {table} WHERE row = ?", [(row,) for row in numbers])
        gone = [(row, self._generation) for row in numbers]
        self.connection.executemany("INSERT INTO removed VALUES (?, ?)", gone)
        self.now = replace(
            self.now,
            passages=self.now.passages - len(numbers),
            passage_sum=taken(self.now.passage_sum, sum(record[0] for record in sums)),
            vector_sum=taken(self.now.vector_sum, sum(record[1] for record in sums)),
            id_sum=taken(self.now.id_sum, sum(mark_of(record[2], record[3]) for record in sums)),
            removed=self.now.removed + len(numbers),
            removed_sum=added(self.now.removed_sum, marks(*np.array(gone, np.int64).reshape(-1, 2).T)),
        )

    def set_base(
        self, manifest: Mapping[str, Any] | None, *, built_from: int, index: str, removed_kept_up_to: int = 0
    ) -> None:
        """Make a segment the base and forget the removals of what is not in it.

        Args:
            manifest: The segment's, or None.
            built_from: Generation that it was built from.
            index: The index asked for.
            removed_kept_up_to: Highest row number of the base that was extended: removed rows up to it are still in the segment.
        """
        rows, total = self.removals(-1)
        if (len(rows), total) != (self.now.removed, self.now.removed_sum):
            raise StoreCorrupted(f"{self.path}: the record of removed passages is damaged; " + RESTORE)
        sql = "DELETE FROM removed NOT INDEXED WHERE generation <= ? AND row > ?"
        self.connection.execute(sql, (built_from, removed_kept_up_to))
        rows, total = self.removals(-1)
        self.now = replace(self.now, base=manifest, index=index, folds=self.now.folds + 1)
        self.now = replace(self.now, removed=len(rows), removed_sum=total)

    def start_vectors(self, model: Model) -> None:
        """Empty the vector table not in use and note for which encoder it is being filled."""
        self.connection.execute(f"DELETE FROM {self.now.next_vectors}")
        self.now = replace(self.now, pending=model)

    def switch_vectors(self) -> None:
        """Put the other vector table into use; the base segment no longer applies."""
        old, new = self.now.vectors, self.now.next_vectors
        total = self.checksum_of(new)
        self.connection.execute(f"DELETE FROM {old}")
        self.connection.execute("DELETE FROM removed")
        self.now = replace(
            self.now,
            model=self.now.pending,
            pending=None,
            table=self.now.next_table,
            vector_sum=total,
            base=None,
            removed=0,
            removed_sum=0,
            folds=self.now.folds + 1,
        )

    def commit_state(self) -> State:
        """Write the state with the next generation number; the transaction's commit makes it true."""
        self.now = self.now.committed(self._generation)
        self.put_state()
        return self.now

    def put_state(self) -> None:
        """Write the state without a new generation, for changes that searches do not see."""
        self.connection.execute("REPLACE INTO state VALUES (1, ?, ?)", self.now.encode())
        self.known = self._state = self.now

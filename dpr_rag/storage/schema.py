"""The SQLite schema of a store file, its format version and the steps between versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

from dpr_rag.errors import (
    MAKE_ONE,
    RESTORE,
    NotAStoreError,
    StoreCorrupted,
    StoreFormatError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from dpr_rag.storage import entries, marks
from dpr_rag.storage.ids import mark_of
from dpr_rag.storage.state import State, added, new_name

APPLICATION_ID = 0x64707221
FORMAT = 6
FILE_NAME = "passages.sqlite"

# Row numbers come from the state and are never used twice, so a segment that still names a deleted row finds nothing.
# Vectors lie apart from the texts, in two tables of which one is current: re-encoding fills the other and swaps.
_TABLES = """
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE passage (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE vector_a (row INTEGER PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE vector_b (row INTEGER PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE removed (row INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE INDEX removed_generation ON removed (generation);
"""

_OF_ADAPTERS = (entries.TABLE, *marks.INDEXES)

_STATISTICS = ("sqlite_stat1", "sqlite_stat4")  # what ANALYZE leaves, which runs nothing
Item = tuple[object, object, object]
Migration = Callable[[sqlite3.Connection], None]


def _know_words(_: sqlite3.Connection) -> None:
    """Format 2 may name a segment of postings in the state, which format 1 did not know; what is there stays."""


def _know_tuning(_: sqlite3.Connection) -> None:
    """Format 3 may hold in the state how the store ranks, which format 2 did not know; what is there stays."""


def _know_fields(_: sqlite3.Connection) -> None:
    """Format 4 may keep metadata by field beside a segment, which format 3 did not know; what is there stays."""


def _know_itself(connection: sqlite3.Connection) -> None:
    """Format 5 gives the store a name of its own, checksums that see order, a sum over the index on ids, and room for adapters.

    What was derived before is built anew.
    """
    record = connection.execute("SELECT value, crc FROM state WHERE one = 1").fetchone() or (None, None)
    state = State.decode(*record, "the older format's file")
    connection.execute("DELETE FROM removed")
    state = replace(state, store=new_name(), base=None, lexical=None, removed=0, removed_sum=0)
    ids = connection.execute("SELECT row, id FROM passage NOT INDEXED")
    state = replace(state, id_sum=added(0, sum(mark_of(row, passage_id) for row, passage_id in ids)))
    state = replace(state, generation=state.generation + 1, folds=state.folds + 1)
    connection.execute("REPLACE INTO state VALUES (1, ?, ?)", state.encode())
    _make_for_adapters(connection)


def _know_salt(_: sqlite3.Connection) -> None:
    """Format 6 combines checksums with a number of the store, which format 5 did not know; that of what is there is 0."""


def _make_for_adapters(connection: sqlite3.Connection) -> None:
    for statement in _OF_ADAPTERS:
        connection.execute(statement)


READ_AS_THEY_ARE = frozenset({1, 2, 3, 4, 5})
"""Older formats that can be read without a migration."""
MIGRATIONS: Mapping[int, Migration] = {
    1: _know_words,
    2: _know_tuning,
    3: _know_fields,
    4: _know_itself,
    5: _know_salt,
}
"""Format number to the step that turns it into the next; each runs in the transaction that raises the number."""


def create(connection: sqlite3.Connection, initial: tuple[str, int]) -> None:
    """Make the tables of the current format and the first state inside the running transaction."""
    _make_tables(connection)
    _make_for_adapters(connection)
    connection.execute("INSERT INTO state VALUES (1, ?, ?)", initial)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.strip().split(";\n"):
        connection.execute(statement.removesuffix(";"))


def is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file holds no schema yet, as after a crash before the first commit."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return bool(tables == 0 and connection.execute("PRAGMA application_id").fetchone()[0] == 0)


@cache
def _expected(adapters: bool) -> Mapping[str, Item]:
    """The rows of ``sqlite_master`` that this version's schema makes, by name."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _make_tables(connection)
        if adapters:
            _make_for_adapters(connection)
        return _recorded(connection)


def _recorded(connection: sqlite3.Connection) -> Mapping[str, Item]:
    records = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_master")
    return {str(name): (kind, table, sql) for name, kind, table, sql in records if name not in _STATISTICS}


def refuse_foreign(connection: sqlite3.Connection, path: object, *, complete: bool = True) -> None:
    """Refuse a file with anything in its schema that dpr-rag did not make, before a statement can run it.

    A trigger or a view named like a table of ours would run a stranger's code as the store is read or written. (SQLite's own
    ``trusted_schema`` cannot be off: up to 3.40 at least it then refuses ``json_extract`` in an index, and so ours.)

    Args:
        connection: To the file.
        path: The file, for messages.
        complete: Whether nothing may be missing.

    Raises:
        StoreCorrupted: Naming what is there, is another than it should be, or is missing.
    """
    connection.execute("BEGIN")  # another process may raise the format meanwhile
    try:
        number = int(connection.execute("PRAGMA user_version").fetchone()[0])
        recorded, known, needed = _recorded(connection), _expected(True), _expected(number >= entries.KNOWN_SINCE)
    finally:
        connection.execute("ROLLBACK")
    for name, item in recorded.items():
        if name not in known:
            raise StoreCorrupted(
                f"{path} holds the {item[0]} {name!r:.100}, which dpr-rag did not make and which may run as the store is used; "
                f"if it is yours, remove it with SQLite's DROP {str(item[0]).upper():.20}; if not, do not use the file"
            )
        if item != known[name]:
            raise StoreCorrupted(f"{path}: its {item[0]} {name!r} is another than dpr-rag makes; " + RESTORE)
    if complete and (lost := sorted(needed.keys() - recorded.keys())):
        raise StoreCorrupted(f"{path} has lost its {needed[lost[0]][0]} {lost[0]!r}; " + RESTORE)


def refuse_newer(connection: sqlite3.Connection, path: object) -> int:
    """The number of the file's format.

    Raises:
        StoreFormatError: A newer dpr-rag wrote it.
    """
    number = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if number > FORMAT:
        raise StoreFormatError(f"{path} has format {number}, this dpr-rag reads up to {FORMAT}; upgrade dpr-rag")
    return number


def check(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Refuse foreign files and newer formats, and bring older formats up to date.

    Raises:
        StoreNotFoundError: The file is blank: whoever began to create the store has not finished, or was killed.
        NotAStoreError: The file is a SQLite database of something else.
        StoreCorrupted: It has a store's tables, but not its mark; or others than a store's.
        StoreFormatError: A newer dpr-rag wrote it.
        StoreReadOnlyError: It is older and would have to be migrated, but was opened read-only.
    """
    if is_blank(connection):
        raise StoreNotFoundError(f"there is no store in {path} yet; " + MAKE_ONE)
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'vector_b'").fetchone()[0]:
            raise StoreCorrupted(f"{path} has lost the mark of a dpr-rag store; " + RESTORE)
        raise NotAStoreError(f"{path} is a SQLite database, but not a dpr-rag store; choose another folder")
    number = refuse_newer(connection, path)
    refuse_foreign(connection, path)
    if read_only and number in READ_AS_THEY_ARE:
        return
    if number < FORMAT and read_only:
        raise StoreReadOnlyError(f"{path} has the older format {number}; open it once for writing to migrate it")
    if number < FORMAT:
        _migrate(connection, path)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        for number in range(version, FORMAT):
            _step(number, path)(connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _step(number: int, path: Path) -> Migration:
    if number not in MIGRATIONS:
        raise StoreFormatError(f"{path} has format {number}, which no released dpr-rag has written; " + RESTORE)
    return MIGRATIONS[number]

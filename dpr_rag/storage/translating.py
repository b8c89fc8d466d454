"""Translates errors of SQLite into those of the store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import LIMIT_ADVICE, RESTORE, StoreCorrupted, StoreError, StoreLocked, StoreReadOnlyError

_FILES_OF_A_CONNECTION = 4
# a store's own writes keep all constraints and types, so that an error of these means that stored data contradict themselves
_DAMAGE = (
    *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT),
    sqlite3.SQLITE_MISMATCH,
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into those of the store."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:
        raise StoreCorrupted(f"{path}: stored text is damaged: {error}; " + RESTORE) from error


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is locked by another process; try again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnlyError(f"{path} cannot be written: {error}; check the folder's permissions")
    if (limit := _reached_limit()) is not None:
        return StoreError(f"{path}: {os.strerror(limit)}; {LIMIT_ADVICE[limit]}")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(
            f"{path}: {error}; free some space on the disk and check it; what was stored before is untouched"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM):
        return StoreError(f"{path}: {error}; check the permissions of its folder, and the memory")
    if code in _DAMAGE:
        return StoreCorrupted(f"{path} is damaged: {error}; " + RESTORE)
    return StoreError(f"{path}: {error}; nothing of this change was stored")


def _reached_limit() -> int | None:
    """The ``errno`` of the limit that keeps a connection from opening its files, or None; SQLite does not name it."""
    descriptors: list[int] = []
    try:
        descriptors.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_FILES_OF_A_CONNECTION))
    except OSError as error:
        return error.errno if error.errno in LIMIT_ADVICE else None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return None

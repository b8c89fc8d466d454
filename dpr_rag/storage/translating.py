"""SQLite's errors in the store's own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import StoreCorrupted, StoreError, StoreLocked, StoreReadOnlyError


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the store's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:
        raise StoreCorrupted(f"{path}: stored text is damaged: {error}; restore a backup") from error


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is locked by another process; try again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnlyError(f"{path} cannot be written: {error}; check the folder's permissions")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM):
        return StoreError(f"{path}: {error}; check the disk and the permissions, nothing of this batch was stored")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return StoreCorrupted(f"{path} is damaged: {error}; restore a backup")
    return StoreError(f"{path}: {error}; nothing of this change was stored")

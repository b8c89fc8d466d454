"""Translates errors of SQLite into those of the store."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import RESTORE, StoreCorrupted, StoreError, StoreLocked, StoreReadOnlyError

_OF_A_CONNECTION = 4
# What a store writes breaks no constraint and fits its columns, unless what is there already contradicts itself.
_DAMAGE = (
    *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT),
    sqlite3.SQLITE_MISMATCH,
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as those of the store."""
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
    if _too_many_files():
        return StoreError(
            f"{path}: this process has as many files open as it may (ulimit -n); close some, or raise that limit"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(
            f"{path}: {error}; free some space on the disk and check it; what was stored before is untouched"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM):
        return StoreError(f"{path}: {error}; check the permissions of its folder, and the memory")
    if code in _DAMAGE:
        return StoreCorrupted(f"{path} is damaged: {error}; " + RESTORE)
    return StoreError(f"{path}: {error}; nothing of this change was stored")


def _too_many_files() -> bool:
    """Whether this process may not open as many files as a connection takes; SQLite says only that it cannot open one."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_OF_A_CONNECTION))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return False

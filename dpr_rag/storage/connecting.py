"""Opening one SQLite connection to a store file, also where this user may not write the folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from dpr_rag.storage.place import Look, has_log, look_of, refuse_links

_CACHE_KIB = 4_000
_NO_ROOM = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
Function = tuple[int, Callable[..., str | int | float | None]]


class Connection(sqlite3.Connection):
    """A connection; one without locks remembers the file's identity, size and time to notice writers."""

    unlocked = False
    seen: Look | None = None

    def has_changed(self, path: Path) -> bool:
        """Whether another process wrote since a connection without locks was opened."""
        return self.unlocked and (self.seen != look_of(path) or has_log(path))


def connect(path: Path, *, mode: str, timeout: float, functions: Mapping[str, Function]) -> Connection:
    """Open a connection.

    Args:
        path: The store file.
        mode: SQLite's: ``ro``, ``rw``, or ``rwc`` to make the file where there is none.
        timeout: Seconds to wait for a lock.
        functions: SQL functions by name: number of arguments and callable.
    """
    refuse_links(path.parent)
    connection = _opened(path, f"mode={mode}", timeout)
    if mode == "ro" and not _is_readable(connection, path):
        # who may not write the folder, or has no room in it, cannot make the files of the locks: changes are looked for
        connection.close()
        look = look_of(path)
        connection = _opened(path, "mode=ro&immutable=1", timeout)
        connection.unlocked, connection.seen = True, look
    if mode != "ro":
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    for name, (arguments, function) in functions.items():
        connection.create_function(name, arguments, function, deterministic=True)
    return connection


def _opened(path: Path, options: str, timeout: float) -> Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?{options}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=timeout,
        factory=Connection,
    )


def _is_readable(connection: sqlite3.Connection, path: Path) -> bool:
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _NO_ROOM:
            return has_log(path)
        raise
    return True

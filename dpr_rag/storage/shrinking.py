"""Vacuuming: returns pages that deletions and replacements left empty to the disk."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from pathlib import Path

from dpr_rag.errors import StoreLocked
from dpr_rag.storage.database import Database
from dpr_rag.storage.holding import note_holder

WORTH_BYTES = 4 << 20
_WORTH_SHARE = 0.25
_STEPS = 100_000  # of SQLite's machine, between two looks for Ctrl-C
_PAUSE = 0.01
_PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_log = logging.getLogger(__name__)


def shrink(database: Database, *, wait: float) -> None:
    """Vacuum the file if many pages are empty, disk space suffices and nobody writes; else leave it as it is.

    ``VACUUM`` is one transaction of the log: readers keep the generation that they read, and a killed process leaves the file as
    it was. It writes every page that is kept once beside the file and once into the log, and so is done for more than 4 MiB
    and a quarter of the pages only. Incremental vacuums would need another file format, for which old stores were to be
    written anew by this very statement, and leave pages out of order.

    Args:
        database: The store's file.
        wait: Seconds to wait for another writer.
    """
    try:
        with database.alone(wait) as connection:
            if _is_worth_it(connection, database.path):
                before = database.path.stat().st_size
                note_holder(database.path.parent)
                _vacuum(connection, wait)
                _log.info("%s: %d bytes became %d", database.path, before, database.path.stat().st_size)
    except StoreLocked as error:
        _log.debug("the file was not made smaller: %s", error)


def _is_worth_it(connection: sqlite3.Connection, path: Path) -> bool:
    size, pages, empty = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    if empty * size <= WORTH_BYTES or empty <= _WORTH_SHARE * pages:
        return False
    needed = 2 * (pages - empty) * size + WORTH_BYTES
    room = shutil.disk_usage(path.parent).free
    if room < needed:
        _log.info(
            "%s: %d bytes are empty; to give them back takes %d of room, and %d are free",
            path,
            empty * size,
            needed,
            room,
        )
    return room >= needed


def _vacuum(connection: sqlite3.Connection, wait: float) -> None:
    connection.execute("PRAGMA busy_timeout = 0")
    connection.set_progress_handler(_look_for_interrupts, _STEPS)
    deadline = time.monotonic() + wait
    try:
        while not _tried(connection, last=time.monotonic() >= deadline):
            time.sleep(_PAUSE)
        # where others still read the log, it is written back, and the file cut, by a later commit
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code not in _PASSING:
            raise
        _log.info("the file was not made smaller: %s", error)
    finally:
        connection.set_progress_handler(None, 0)


def _tried(connection: sqlite3.Connection, *, last: bool) -> bool:
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _look_for_interrupts() -> int:
    """Python looks for signals before it calls this."""
    return 0

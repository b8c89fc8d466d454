"""What lies at a store's path: which file it is, whether it has changed, and whether a link stands where a part should be."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dpr_rag.errors import StoreCorrupted, StoreError, StoreLocked
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.storage.state import State

WRITER_FILE = "writer.json"
INDEX_FOLDER = "index"
LOG = f"{FILE_NAME}-wal"
PARTS = (FILE_NAME, LOG, f"{FILE_NAME}-shm", f"{FILE_NAME}-journal", WRITER_FILE, INDEX_FOLDER)
"""Every name in a store's folder that the store or SQLite makes."""
Identity = tuple[int, int]
# The bytes that SQLite locks (https://sqlite.org/src/file/src/os.h, PENDING_BYTE): a connection holds some of the last 510.
_LOCK_START, _LOCK_SIZE = 0x40000000, 512


def identity_of(path: Path) -> Identity | None:
    """Device and inode of the file at a path, links followed; None where there is none."""
    found = look_of(path)
    return None if found is None else found.identity


class Look(NamedTuple):
    """What shows of a database file from outside: which file it is, its size, and when it was last written."""

    identity: Identity
    size: int
    time: int


def look_of(path: Path) -> Look | None:
    """How the file at a path looks now, links followed; None where there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Look((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)


def has_log(path: Path) -> bool:
    """Whether a write-ahead log with anything in it lies beside a database file."""
    try:
        return path.with_name(LOG).stat().st_size > 0
    except FileNotFoundError:
        return False


def make_file(path: Path, mode: int = 0o666) -> None:
    """Make an empty file with the permissions that the umask leaves, which SQLite's own would not have; its log gets the same."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IMODE(mode)))


def refuse_links(folder: Path) -> None:
    """Refuse a store of which a part is a symbolic link: what the store writes and removes would be somebody else's.

    Raises:
        StoreError: Naming the part and where it leads.
    """
    for name in PARTS:
        part = folder / name
        if part.is_symlink():
            raise StoreError(
                f"{part} is a link to {os.readlink(part)}; the parts of a store are never links, because it writes and removes "
                "them: put the part itself there, or link the store's folder as a whole"
            )


def refuse_foreign_log(path: Path) -> None:
    """Refuse a database file beside which lies the write-ahead log of another one.

    SQLite cannot tell: it would play the log back over the file. That is what lies there when a copy was put in the place of
    a store whose process was killed.

    Raises:
        StoreCorrupted: The log belongs to another store.
    """
    if not has_log(path):
        return
    alone, joined = state_alone(path), _state_in(path, "mode=ro")
    if alone is None or joined is None or alone.store == joined.store:
        return
    if not alone.store and joined.generation == alone.generation + 1:
        return  # the commit that brought an older format up to date
    raise StoreCorrupted(
        f"{path.with_name(LOG)} is the log of another store: {path.name} was put in the place of one that a killed process "
        f"had left, and would be mixed with it; use: dpr-rag restore COPY {path.parent}"
    )


def state_alone(path: Path) -> State | None:
    """The state in the database file without its log; None where it cannot be read, as while the log is written back."""
    return _state_in(path, "mode=ro&immutable=1")


def _state_in(path: Path, options: str) -> State | None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True)) as connection:
            record = connection.execute("SELECT value, crc FROM state WHERE one = 1").fetchone()
        return None if record is None else State.decode(*record, path)
    except (sqlite3.Error, StoreCorrupted):
        return None


@contextmanager
def nobody_else(path: Path) -> Iterator[None]:
    """Keep every other process away from a database file, as long as the block lasts.

    The caller's own process must have no connection to it: POSIX forgets the locks of those when the file is closed here.

    Raises:
        StoreLocked: Another process has it open.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_SIZE, _LOCK_START)
        except OSError as error:
            raise StoreLocked(f"{path.parent} is open in another process; close it there, then try again") from error
        yield

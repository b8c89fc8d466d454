"""The files at a store's path: their identity and changes, symbolic links, and foreign write-ahead logs."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from dpr_rag.errors import StoreCorrupted, StoreError
from dpr_rag.storage.schema import FILE_NAME, refuse_foreign
from dpr_rag.storage.state import State

WRITER_FILE = "writer.json"
INDEX_FOLDER = "index"
LOG = f"{FILE_NAME}-wal"
PARTS = (FILE_NAME, LOG, f"{FILE_NAME}-shm", f"{FILE_NAME}-journal", WRITER_FILE, INDEX_FOLDER)
"""Every name in a store's folder that the store or SQLite makes."""
Identity = tuple[int, int]


def identity_of(path: Path) -> Identity | None:
    """Device and inode of the file at a path, links followed; None where there is none."""
    look = look_of(path)
    return None if look is None else look.identity


class Look(NamedTuple):
    """Identity, size and modification time (ns) of a database file."""

    identity: Identity
    size: int
    time: int


def look_of(path: Path) -> Look | None:
    """Identity, size and time of the file at a path, links followed; None if there is none."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Look((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)


def has_log(path: Path) -> bool:
    """Whether a database file has a write-ahead log that is not empty."""
    try:
        return path.with_name(LOG).stat().st_size > 0
    except FileNotFoundError:
        return False


def make_file(path: Path, mode: int = 0o666) -> None:
    """Create an empty file, with permissions by the umask, which SQLite ignores in files of its own; its log takes them over."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IMODE(mode)))


def refuse_links(folder: Path) -> None:
    """Refuse a store with a symbolic link among its parts: writing and removing would reach files outside of it.

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
    """Refuse a database file with the write-ahead log of another one.

    SQLite cannot tell: it would play the log back over the file. That is what lies there when a copy was put in the place of
    a store whose process was killed. A copy that is byte for byte what the log began with is no other file; one that is
    older has commits missing between the two.

    Raises:
        StoreCorrupted: The log belongs to another store, or to another state of this one.
    """
    log = _log_of(path)
    if log is None:
        return
    joined = _state_in(path, "mode=ro")
    written, alone = _log_of(path), state_alone(path)
    if alone is None or joined is None or written is None or written.salt != log.salt:
        return  # another process is at work, and so the log is the file's
    later = _state_in(path, "mode=ro") or joined  # another process may have written its log back before the second look
    if later.follows(alone) is not False and joined.generation - written.commits <= alone.generation:
        return
    raise StoreCorrupted(
        f"{path.with_name(LOG)} is the log of another store or state: {path.name} was put in the place of one that a killed "
        f"process had left, and would be mixed with it; use: dpr-rag restore COPY {path.parent}"
    )


class _Log(NamedTuple):
    """Salt in the header of a write-ahead log, and the largest number of commits that it can hold (https://sqlite.org/fileformat.html#walformat)."""

    salt: bytes
    commits: int


def _log_of(path: Path) -> _Log | None:
    try:
        with path.with_name(LOG).open("rb") as file:
            header = file.read(32)
            size, salt = int.from_bytes(header[8:12], "big"), header[16:24]
            commits = 0
            while len(frame := file.read(24)) == 24 and frame[8:16] == salt:
                commits += frame[4:8] != bytes(4)  # the size of the file after it, given by the last frame of a commit
                file.seek(size, os.SEEK_CUR)
    except OSError:
        return None
    return _Log(salt, commits) if len(header) == 32 else None


def state_alone(path: Path) -> State | None:
    """The state in the database file alone, without its log; None if it cannot be read, as during a checkpoint of SQLite."""
    return _state_in(path, "mode=ro&immutable=1")


def _state_in(path: Path, options: str) -> State | None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True)) as connection:
            refuse_foreign(connection, path)
            record = connection.execute("SELECT value, crc FROM state WHERE one = 1").fetchone()
        return None if record is None else State.decode(*record, path)
    except (sqlite3.Error, StoreCorrupted):
        return None

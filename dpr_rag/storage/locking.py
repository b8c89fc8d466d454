"""Locks on a store's folder and file that keep it from being replaced while somebody has it open."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import StoreLocked

# The bytes that SQLite locks (https://sqlite.org/src/file/src/os.h, PENDING_BYTE): a connection holds some of the last 510.
_LOCK_START, _LOCK_SIZE = 0x40000000, 512
_PAUSE = 0.01


class FolderLock:
    """A shared or exclusive ``flock`` on a store's folder, held until its release.

    SQLite's own locks end with idle connections, which every fork closes; this one lasts as long as the store is open, also
    in a forked child. Where the filesystem or this user's permissions allow no such lock, there is none.

    Args:
        folder: The store's folder.
        alone: Whether nobody else may hold it.
        wait: Seconds to wait for whoever does.

    Raises:
        StoreLocked: Somebody else holds it.
    """

    def __init__(self, folder: Path, *, alone: bool, wait: float = 0) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._take(self._descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, time.monotonic() + wait)
        except BlockingIOError as error:
            self.release()
            busy = "is open in another process; close it there" if alone else "is being replaced by another process"
            raise StoreLocked(f"{folder} {busy}, then try again") from error
        except OSError:
            self.release()

    def _take(self, descriptor: int, kind: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def release(self) -> None:
        """Release the lock; a second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        """Let others replace a store that was forgotten instead of closed."""
        self.release()


@contextmanager
def nobody_else(path: Path) -> Iterator[None]:
    """Lock a database file exclusively, against dpr-rag and against any other program that uses SQLite, for the block.

    The caller's own process must have no connection to it: POSIX forgets the locks of those when the file is closed here.

    Raises:
        StoreLocked: Another process has it open.
    """
    lock = FolderLock(path.parent, alone=True)
    try:
        with path.open("r+b") as file:
            try:
                # SQLite's own, which a program holds that is no dpr-rag
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_SIZE, _LOCK_START)
            except OSError as error:
                raise StoreLocked(
                    f"{path.parent} is open in another process; close it there, then try again"
                ) from error
            yield
    finally:
        lock.release()

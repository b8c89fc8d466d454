"""Connections and transactions of one store file: many readers, one writer, and clear errors."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dpr_rag.errors import (
    StoreClosedError,
    StoreCorrupted,
    StoreError,
    StoreLocked,
    StoreReadOnlyError,
)
from dpr_rag.storage import schema
from dpr_rag.storage.forking import ForkGate

Function = tuple[int, Callable[..., str | int | float | None]]
WRITER_FILE = "writer.json"
_PAUSE = 0.01


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


class Database:
    """The connections of one process to one store file; usable from threads and after a fork."""

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool,
        timeout: float,
        functions: Mapping[str, Function],
        initial: tuple[str, int] | None,
    ) -> None:
        """Open the file and check its format.

        Args:
            folder: The store's folder.
            read_only: Refuse to write.
            timeout: Seconds a writer waits for another.
            functions: SQL functions by name: number of arguments and callable.
            initial: Encoded first state, to make the tables with if the file is blank.
        """
        self.path = folder / schema.FILE_NAME
        self.read_only = read_only
        self._folder, self._timeout, self._functions = folder, timeout, functions
        self._closed = False
        self._pid = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._write_lock = threading.RLock()
        self._gate = ForkGate(self._close_idle)
        with translated(self.path):
            self._prepare(initial)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Refuse a closed store, and keep connections from crossing a fork."""
        with self._gate.transaction():
            if self._pid != os.getpid():
                self._pid, self._write_lock = os.getpid(), threading.RLock()
            if self._gate.crossed:
                raise StoreClosedError(
                    f"this process was forked while another thread was using {self._folder}; start it with spawn, or fork "
                    "before the store is opened"
                )
            if self._closed:
                raise StoreClosedError(f"{self._folder} was closed; open the store again")
            with translated(self.path):
                yield

    def _prepare(self, initial: tuple[str, int] | None) -> None:
        connection = self._connect()
        try:
            if initial is not None:
                self._make_if_blank(connection, initial)
            schema.check(connection, self.path, read_only=self.read_only)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _make_if_blank(self, connection: sqlite3.Connection, initial: tuple[str, int]) -> None:
        """Make the tables, unless another process does so at the same time."""
        deadline = time.monotonic() + self._timeout
        while schema.is_blank(connection):
            try:
                connection.execute("PRAGMA page_size = 8192")
                connection.execute("PRAGMA journal_mode = WAL")
                with self._immediate(connection, self._timeout):
                    if schema.is_blank(connection):
                        schema.create(connection, initial)
                connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
            except sqlite3.OperationalError as error:
                # going over to the write-ahead log does not wait for others
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        connection = self._open_uri(f"mode={mode}")
        if self.read_only and not self._readable(connection):
            # a folder that cannot be written holds no write-ahead log either: nothing can change under us
            connection.close()
            connection = self._open_uri("mode=ro&immutable=1")
        if not self.read_only:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA cache_size = -16000")
        for name, (arguments, function) in self._functions.items():
            connection.create_function(name, arguments, function, deterministic=True)
        return connection

    def _open_uri(self, options: str) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?{options}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=self._timeout)

    def _readable(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                return self.path.with_name(f"{schema.FILE_NAME}-wal").exists()
            raise
        return True

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: everything read through it belongs to one generation."""
        with self._transaction():
            connection = self._acquire()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("ROLLBACK")
            except BaseException:
                # a cursor that the exception's traceback still holds would keep the old snapshot alive
                connection.close()
                raise
            self._release(connection)

    def _acquire(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _release(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def refuse_read_only(self) -> None:
        """Refuse a change before any work is done for it.

        Raises:
            StoreReadOnlyError: The store was opened read-only.
        """
        if self.read_only:
            raise StoreReadOnlyError(f"{self._folder} was opened read-only; open it with read_only=False to change it")

    @contextmanager
    def writing(self, *, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """A write transaction, committed when the block ends and rolled back when it raises.

        Args:
            wait: Seconds to wait for another writer; None is the timeout.

        Raises:
            StoreReadOnlyError: The store was opened read-only.
            StoreLocked: Another writer kept it longer than that; the message names it.
        """
        self.refuse_read_only()
        wait = self._timeout if wait is None else wait
        with self._transaction():
            if not self._write_lock.acquire(timeout=wait):
                raise StoreLocked(f"another thread of this process has been writing to {self._folder} for {wait} s")
            try:
                self._writer = self._writer or self._connect()
                with self._immediate(self._writer, wait):
                    yield self._writer
            finally:
                self._write_lock.release()

    @contextmanager
    def _immediate(self, connection: sqlite3.Connection, wait: float) -> Iterator[None]:
        try:
            self._begin(connection, wait)
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _begin(self, connection: sqlite3.Connection, wait: float) -> None:
        """Take the write lock, waiting in small steps so that an interrupt is noticed."""
        connection.execute("PRAGMA busy_timeout = 0")
        deadline = time.monotonic() + wait
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise StoreLocked(
                        f"{self._folder} is being written by {self._holder()}; waited {wait:g} s, try again later"
                    ) from error
                time.sleep(_PAUSE)
            else:
                break
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        with suppress(OSError):
            (self._folder / WRITER_FILE).write_text(holder, encoding="utf-8")

    def _holder(self) -> str:
        try:
            holder = json.loads((self._folder / WRITER_FILE).read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def backup(self, target: Path) -> None:
        """Copy a consistent image of the file while it is in use."""
        with self.reading() as connection, translated(target):
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                # reading once freezes the image; without that, every commit of a writer would start the copy anew
                connection.execute("SELECT count(*) FROM state").fetchone()
                connection.backup(copy, pages=4096)
            finally:
                copy.close()

    def close(self) -> None:
        """Close the connections of this process; further use raises StoreClosedError."""
        self._closed = True
        with self._gate.transaction(), self._write_lock:
            self._close_idle()

    def _close_idle(self) -> None:
        """Close the connections that no transaction is using."""
        while self._idle:
            self._idle.pop().close()
        if self._writer is not None and not self._writer.in_transaction:
            self._writer.close()
            self._writer = None

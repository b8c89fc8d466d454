"""Connections and transactions of one store file: many readers, one writer, and clear errors."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import RESTORE, StoreClosedError, StoreCorrupted, StoreLocked, StoreReadOnlyError
from dpr_rag.forking import REMEDY, ForkGate, new_rlock
from dpr_rag.storage import schema
from dpr_rag.storage.connecting import Connection, Function, connect
from dpr_rag.storage.holding import holder_of, note_holder, was_written
from dpr_rag.storage.locking import FolderLock
from dpr_rag.storage.place import Identity, identity_of, make_file, refuse_foreign_log, refuse_links
from dpr_rag.storage.translating import translated
from dpr_rag.storage.watching import Watch

_PAUSE = 0.01
_MOST_IDLE = 4  # each keeps descriptors and a cache of pages
_OPEN: weakref.WeakSet[Database] = weakref.WeakSet()


class ChangedMeanwhileError(StoreLocked):
    """Another process changed the file while it was read without locks; reading it again helps."""


def is_open_here(identity: Identity | None) -> bool:
    """Whether this process has a store open whose file has this device and inode."""
    return any(database._watch.identity == identity and not database.closed for database in list(_OPEN))


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
        self.path, self.read_only, self.closed = folder / schema.FILE_NAME, read_only, False
        self._folder, self._timeout, self._functions = folder, timeout, functions
        self._watch = Watch(self.path)
        self._idle: list[Connection] = []
        self._writer: Connection | None = None
        self._write_lock = new_rlock()
        self._gate = ForkGate(self._refusal, close=self._close_idle, subject=str(self.path.resolve()))
        self._lock = FolderLock(folder, alone=False, wait=timeout)
        try:
            with self._gate.held(), translated(self.path):
                refuse_links(folder)
                refuse_foreign_log(self.path)
                self._prepare(initial)
        except BaseException:
            self._lock.release()
            raise
        _OPEN.add(self)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Refuse a closed store, and keep connections from crossing a fork.

        One that crosses shares SQLite's record of locks with the parent, though the locks themselves do not cross
        (https://sqlite.org/howtocorrupt.html, section 2.6); the child would then write beside the parent.
        """
        with self._gate.held():
            if self.closed:
                raise StoreClosedError(f"{self._folder} was closed; open the store again")
            self._watch.refuse_replaced()
            with translated(self.path):
                yield

    def _refusal(self) -> StoreClosedError:
        return StoreClosedError(
            f"this process was forked while {self._folder} was read or written, and cannot use it; {REMEDY}"
        )

    def _prepare(self, initial: tuple[str, int] | None) -> None:
        before = identity_of(self.path)
        if before is None and initial is not None:
            make_file(self.path)
        written = was_written(self._folder)  # before a look at the file, which another process may be making
        connection = self._connect()
        try:
            if written:
                self._refuse_emptied(connection)
            if initial is not None:
                self._make_if_blank(connection, initial)
            schema.check(connection, self.path, read_only=self.read_only)
            self._watch.begin(before)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _refuse_emptied(self, connection: Connection) -> None:
        if schema.is_blank(connection):
            raise StoreCorrupted(
                f"{self.path} is empty, and a store was written there before; "
                + RESTORE
                + f", or remove {self._folder}"
            )

    def _make_if_blank(self, connection: sqlite3.Connection, initial: tuple[str, int]) -> None:
        """Make the tables, unless another process does so at the same time."""
        deadline = time.monotonic() + self._timeout
        while schema.is_blank(connection):
            try:
                connection.execute("PRAGMA page_size = 8192")
                connection.execute("PRAGMA journal_mode = WAL")
                with self._immediate(connection, self._timeout, noted=False):
                    if schema.is_blank(connection):
                        schema.create(connection, initial)
                connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
            except sqlite3.OperationalError as error:
                # going over to the write-ahead log does not wait for others
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)

    def _connect(self) -> Connection:
        # where there was a file, another one is not to be made in its place
        mode = "ro" if self.read_only else "rw" if self._watch.identity else "rwc"
        connection = connect(self.path, mode=mode, timeout=self._timeout, functions=self._functions)
        if self._watch.identity is not None:
            self._watch.refuse_replaced()
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: everything read through it belongs to one generation."""
        with self._transaction():
            connection = self._acquire()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("ROLLBACK")
            except BaseException as error:
                # a cursor that the exception's traceback still holds would keep the old snapshot alive
                connection.close()
                if isinstance(error, sqlite3.Error | StoreCorrupted):
                    self._refuse_changed(connection, error)
                raise
            self._release(connection)
            self._refuse_changed(connection)

    def _acquire(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if not connection.has_changed(self.path):
                return connection
            connection.close()

    def _refuse_changed(self, connection: Connection, cause: Exception | None = None) -> None:
        """Raise if the file was written while it was read without locks.

        Raises:
            ChangedMeanwhileError: Somebody did.
        """
        if connection.has_changed(self.path):
            raise ChangedMeanwhileError(
                f"{self._folder} was changed while it was read, and this process may not take locks in it; ask again"
            ) from cause

    def _release(self, connection: Connection) -> None:
        if not self.closed and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
            return
        connection.close()
        # SQLite keeps the descriptors of closed connections while others hold locks: let all go once after a burst
        self._gate.if_alone(self._close_idle)

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
            StoreReplacedError: Another store lies there now, or none.
        """
        wait = self._timeout if wait is None else wait
        with self.alone(wait) as connection:
            with self._immediate(connection, wait):
                yield connection
            self._watch.refuse_replaced()  # what went into a store that has been put aside is not acknowledged

    @contextmanager
    def alone(self, wait: float) -> Iterator[Connection]:
        """The connection that writes, outside of a transaction, while no other thread of this process has it."""
        self.refuse_read_only()
        with self._transaction():
            if not self._write_lock.acquire(timeout=wait):
                raise StoreLocked(f"another thread of this process has been writing to {self._folder} for {wait} s")
            try:
                self._writer = self._writer or self._connect()
                yield self._writer
            finally:
                self._write_lock.release()

    @contextmanager
    def _immediate(self, connection: sqlite3.Connection, wait: float, *, noted: bool = True) -> Iterator[None]:
        process = os.getpid()
        try:
            self._begin(connection, wait)
            if noted:
                note_holder(self._folder)
            yield
            self._refuse_child_of(process)
            connection.execute("COMMIT")
        except BaseException:
            # a child that is forked in here must leave the transaction to its parent: the log's index is shared memory
            if connection.in_transaction and os.getpid() == process:
                connection.execute("ROLLBACK")
            raise

    def _refuse_child_of(self, process: int) -> None:
        if os.getpid() != process:
            raise self._refusal()

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
                        f"{self._folder} is being written by {holder_of(self._folder)}; waited {wait:g} s, try again later"
                    ) from error
                time.sleep(_PAUSE)
            else:
                break

    def backup(self, target: Path) -> None:
        """Copy a consistent image of the file while it is in use, to a new file that the same users may read and write."""
        with self.reading() as connection, translated(target):
            make_file(target, os.stat(self.path).st_mode)
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                # reading once freezes the image; without that, every commit of a writer would start the copy anew
                connection.execute("SELECT count(*) FROM state").fetchone()
                connection.backup(copy, pages=4096)
            finally:
                copy.close()

    def close(self) -> None:
        """Close the connections of this process; further use raises StoreClosedError."""
        self.closed = True
        if not self._gate.crossed:
            with self._gate.held(), self._write_lock:
                self._close_idle()
        self._lock.release()  # last: until then what is open must not be replaced

    def _close_idle(self) -> None:
        """Close the connections that no transaction is using."""
        while self._idle:
            self._idle.pop().close()
        if self._writer is not None and not self._writer.in_transaction:
            self._writer.close()
            self._writer = None

"""Files of milvus-lite: this process serves each on its loopback until its last connection is closed."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dpr_rag.errors import MissingExtraError, NotAStoreError, StoreError, StoreLocked, StoreNotFoundError, install
from dpr_rag.forking import new_lock
from dpr_rag.milvus.address import FILL_ONE
from dpr_rag.paths import writing_to

_PARTS = {"LOCK", "collections"}


@dataclass(slots=True)
class LiteServer:
    """The server of one file.

    Attributes:
        port: Its port on the loopback.
        stop: Stops the server and releases the file.
        users: Number of connections.
        writing: The lock of writers, since milvus-lite takes one at a time.
    """

    port: int
    stop: Callable[[], None]
    users: int = 1
    writing: threading.Lock = field(default_factory=new_lock)


_SERVED: dict[tuple[int, str], LiteServer] = {}
_CHANGING = new_lock()


def refuse_foreign(path: Path, *, create: bool) -> None:
    """Refuse files and folders that milvus-lite did not make, which it would fill with its own files, and missing ones.

    Raises:
        StoreNotFoundError: There is nothing at the path, and ``create`` is False.
        NotAStoreError: There is something else.
    """
    if not os.path.lexists(path):
        if not create:
            raise StoreNotFoundError(f"there is no collection at milvus+lite:{path}; " + FILL_ONE)
        return
    if not path.is_dir():
        raise NotAStoreError(f"{path} is a file, and milvus-lite keeps a folder of that name; choose another name")
    with writing_to(path, StoreError):
        names = set(os.listdir(path))
    if names and not names >= _PARTS:
        raise NotAStoreError(f"{path} is a folder that milvus-lite did not make; choose another name")


def acquire(path: Path) -> LiteServer:
    """Serve a file, or use the server that it has in this process.

    Raises:
        MissingExtraError: milvus-lite is not installed.
        StoreLocked: Another process uses the file.
        StoreError: The system or milvus-lite cannot open it.
    """
    with _CHANGING:
        server = _SERVED.get(_key(path))
        if server is not None:
            server.users += 1
            return server
        server = _SERVED[_key(path)] = _started(path)
        return server


def release(path: Path) -> None:
    """Release a file; the last release stops its server, so that other processes can open it."""
    with _CHANGING:
        server = _SERVED.get(_key(path))
        if server is None:
            return
        server.users -= 1
        if not server.users:
            del _SERVED[_key(path)]
            server.stop()


def _key(path: Path) -> tuple[int, str]:
    """Process and path: a forked child has a copy of this dict, but not its parent's servers."""
    return os.getpid(), os.path.realpath(path)


def _started(path: Path) -> LiteServer:
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise MissingExtraError(f"a file of milvus-lite needs milvus-lite ({error}); {install('milvus')}") from error
    try:
        with writing_to(path, StoreError):
            path.parent.mkdir(parents=True, exist_ok=True)
            server, database, port = start_server_in_thread(str(path))
    except DataDirLockedError as error:
        raise StoreLocked(
            f"{path} is in use by another process, or by another client of milvus-lite in this one, which takes one at a time; "
            "close it there, or have a Milvus serve both"
        ) from error
    except MilvusLiteError as error:
        raise StoreError(f"{path} cannot be opened by milvus-lite ({error!s:.300}); restore a copy of it") from error

    def stop() -> None:
        server.stop(grace=2).wait()
        database.close()

    return LiteServer(port, stop)


@atexit.register
def _end_all() -> None:
    for key in [key for key in _SERVED if key[0] == os.getpid()]:
        _SERVED.pop(key).stop()

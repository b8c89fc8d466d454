"""Files of milvus-lite: this process answers itself for each, on its own loopback, until the last who uses it lets go."""

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
from dpr_rag.paths import written

_PARTS = {"LOCK", "collections"}


@dataclass(slots=True)
class Served:
    """A file that is being served.

    Attributes:
        port: On which.
        stop: Ends it, and lets go of the file.
        users: How many connections there are.
        writing: Held by whoever writes, since milvus-lite takes one writer at a time.
    """

    port: int
    stop: Callable[[], None]
    users: int = 1
    writing: threading.Lock = field(default_factory=new_lock)


_SERVED: dict[tuple[int, str], Served] = {}
_CHANGING = new_lock()


def refuse_foreign(path: Path, *, create: bool) -> None:
    """Refuse what milvus-lite did not make, which it would fill with its own files, and what is not there.

    Raises:
        StoreNotFoundError: Nothing is there, and none is to be made.
        NotAStoreError: Something else is.
    """
    if not os.path.lexists(path):
        if not create:
            raise StoreNotFoundError(f"there is no collection at milvus+lite:{path}; " + FILL_ONE)
        return
    if not path.is_dir():
        raise NotAStoreError(f"{path} is a file, and milvus-lite keeps a folder of that name; choose another name")
    with written(path, StoreError):
        found = set(os.listdir(path))
    if found and not found >= _PARTS:
        raise NotAStoreError(f"{path} is a folder that milvus-lite did not make; choose another name")


def take(path: Path) -> Served:
    """Serve a file, or use the server that it has in this process.

    Raises:
        MissingExtraError: milvus-lite is not installed.
        StoreLocked: Another process has the file.
        StoreError: The system refuses it, or milvus-lite does.
    """
    with _CHANGING:
        known = _SERVED.get(_key(path))
        if known is not None:
            known.users += 1
            return known
        served = _SERVED[_key(path)] = _started(path)
        return served


def let_go(path: Path) -> None:
    """Use a file no more; the last one ends its server, so that other processes can have it."""
    with _CHANGING:
        known = _SERVED.get(_key(path))
        if known is None:
            return
        known.users -= 1
        if not known.users:
            del _SERVED[_key(path)]
            known.stop()


def _key(path: Path) -> tuple[int, str]:
    """A forked child has no server, though it has its parent's memory."""
    return os.getpid(), os.path.realpath(path)


def _started(path: Path) -> Served:
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise MissingExtraError(f"a file of milvus-lite needs milvus-lite ({error}); {install('milvus')}") from error
    try:
        with written(path, StoreError):
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

    return Served(port, stop)


@atexit.register
def _end_all() -> None:
    for key in [one for one in _SERVED if one[0] == os.getpid()]:
        _SERVED.pop(key).stop()

"""The connection to an engine: its client, its errors translated to dpr-rag's, and the server of a milvus-lite file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_rag.errors import (
    AccessError,
    ForkedProcessError,
    MissingExtraError,
    ServiceError,
    ServiceUnavailableError,
    StoreClosedError,
    StoreNotFoundError,
    install,
)
from dpr_rag.faces import ByFace
from dpr_rag.forking import REMEDY
from dpr_rag.milvus import lite
from dpr_rag.milvus.address import VARIABLE, Address
from dpr_rag.milvus.noise import install_filters, quiet_import, quiet_requests
from dpr_rag.paths import LOOPBACK

_NEVER = 2**31 - 1
_NO_COLLECTION = 100
_GRPC_OF: list[int] = []
"""The process that first used gRPC here; its forked children cannot use it, because gRPC's threads do not survive a fork."""


class Connection:
    """A connection to one engine.

    Args:
        address: Address of a collection.
        timeout: Seconds per request.

    Attributes:
        client: pymilvus' client.
        library: The module pymilvus.
        version: The engine's version.

    Raises:
        MissingExtraError: pymilvus, or for a file milvus-lite, is not installed.
        ServiceUnavailableError: The server cannot be reached.
        StoreLocked: Another process uses the file.
        ForkedProcessError: This process was forked from one that had connected to an engine.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        try:
            with quiet_import():
                import pymilvus
        except ImportError as error:
            raise MissingExtraError(f"a store in Milvus needs pymilvus; {install('milvus')}") from error
        install_filters()
        self.address, self.library, self.timeout = address, pymilvus, timeout
        self._closed, self._process, self._served = False, os.getpid(), None
        _refuse_forked(address)
        uri = address.uri
        if address.lite:
            self._served = lite.acquire(Path(address.uri))
            uri = f"http://127.0.0.1:{self._served.port}"
        try:
            with self.errors("connect"):
                options = {"dedicated": True, "grpc_options": _options(address)}
                self.client = pymilvus.MilvusClient(uri, token=address.token or "", timeout=timeout, **options)
                self.version = str(self.client.get_server_version(timeout=timeout))
        except BaseException:
            self._release()
            raise

    @property
    def is_lite(self) -> bool:
        """Whether the engine is milvus-lite, whose BM25 scores have the opposite sign."""
        return "lite" in self.version and not self.version.startswith("v")

    def is_at_least(self, *version: int) -> bool:
        """Whether the engine has at least this version."""
        numbers = self.version.removeprefix("v").split("-")[0].split(".")
        return tuple(int(number) for number in numbers[:2] if number.isdigit()) >= version

    @property
    def knows_words(self) -> bool:
        """Whether the engine has a BM25 of its own."""
        return self.is_lite or self.is_at_least(2, 5)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for writes: milvus-lite takes one at a time."""
        with contextlib.nullcontext() if self._served is None else self._served.writing:
            yield

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Translate errors of pymilvus and gRPC that are raised inside to those of dpr-rag.

        Args:
            what: The request as a verb, for messages.

        Raises:
            ServiceError: The engine refuses, or does not answer.
            StoreNotFoundError: The collection was dropped.
            StoreClosedError: The connection was closed.
        """
        if self._closed:
            raise StoreClosedError(f"{self.address.shown} was closed here; open it again")
        if self._process != os.getpid():
            raise _forked(self.address)
        import grpc

        try:
            with quiet_requests():
                yield
        except (self.library.exceptions.MilvusUnavailableException, grpc.RpcError) as error:
            raise self._translated(what, error) from error
        except self.library.exceptions.MilvusException as error:
            raise self._translated(what, error) from error

    def _translated(self, what: str, error: Any) -> ServiceError | StoreNotFoundError:
        message = " ".join(str(getattr(error, "message", "") or error).split())
        lower = message.lower()
        if getattr(error, "code", None) == _NO_COLLECTION or "collection not found" in lower:
            return StoreNotFoundError(
                f"the collection of {self.address.shown} was dropped by somebody; open it again to make a new one"
            )
        if any(word in lower for word in _DENIED_WORDS):
            remedy = ByFace(
                f"pass token='user:password' or an API key, or set {VARIABLE}",
                cli=f"set {VARIABLE} to user:password or an API key",
            )
            return AccessError(f"{self.address.shown} refuses to {what} ({message:.200}); " + remedy)
        if not isinstance(error, self.library.exceptions.MilvusException) or any(
            word in lower for word in _UNAVAILABLE_WORDS
        ):
            return ServiceUnavailableError(
                f"{self.address.shown} does not answer ({what}: {message:.200}); is Milvus running there?"
            )
        return ServiceError(f"{self.address.shown}: Milvus refuses to {what} ({message:.300})")

    def close(self) -> None:
        """Close the connection; a milvus-lite file is free for other processes when its last connection is closed."""
        if not self._closed:
            self._closed = True
            if self._process == os.getpid():  # in a child, the channel is the parent's
                with quiet_requests():
                    self.client.close()
                self._release()

    def _release(self) -> None:
        if self._served is not None:
            lite.release(Path(self.address.uri))
            self._served = None


_DENIED_WORDS = ("unauthenticated", "auth check", "permission denied", "permission_denied", "permissiondenied")
_UNAVAILABLE_WORDS = ("connect", "unavailable", "deadline", "timeout")


def _options(address: Address) -> dict[str, int]:
    """The options of the gRPC channel besides pymilvus' own."""
    if address.lite:  # its server ends connections that send keepalive pings more often than every five minutes
        return {"grpc.enable_http_proxy": 0, "grpc.keepalive_time_ms": _NEVER}
    host = address.uri.partition("://")[2].rpartition(":")[0].strip("[]")
    return {"grpc.enable_http_proxy": 0} if host in LOOPBACK else {}


def _refuse_forked(address: Address) -> None:
    if not _GRPC_OF:
        _GRPC_OF.append(os.getpid())
    if _GRPC_OF[0] != os.getpid():
        raise _forked(address)


def _forked(address: Address) -> ForkedProcessError:
    return ForkedProcessError(
        f"{address.shown}: gRPC, by which Milvus is asked, does not survive a fork, and this process was forked from one that "
        f"had asked; {REMEDY}"
    )

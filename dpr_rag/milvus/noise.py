"""Silences what the libraries of an engine log to the terminal during requests; errors of dpr-rag say the same in one line.

pymilvus logs a traceback of every error that it raises, with handlers of its own, and a warning for every page from
milvus-lite; milvus-lite and its gRPC server log a traceback of every request that they refuse. Only these loggers are
filtered, and only during requests of dpr-rag: a program that also uses the libraries itself sees its own log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ASKED: ContextVar[bool] = ContextVar("asked", default=False)
_CLIENT = ("pymilvus", "pymilvus.milvus_client")
"""Which loggers have handlers that write to standard error."""
_SERVER = "milvus_lite"
_ANSWERING = ("milvus_lite.adapter.grpc.servicer", "grpc._server")
"""Which loggers tell of requests, in threads of the server."""
_IN_FLIGHT: list[object] = []
_GRPC_LEVEL = "GRPC_VERBOSITY"


def _is_of_others(_: logging.LogRecord) -> bool:
    return not _ASKED.get()


def _is_of_no_request(_: logging.LogRecord) -> bool:
    return not _IN_FLIGHT


def hush() -> None:
    """Keep what pymilvus logs while it is asked from here off the terminal, and what milvus-lite logs where nobody listens."""
    for name in _CLIENT:
        for handler in logging.getLogger(name).handlers:
            if _is_of_others not in handler.filters:
                handler.addFilter(_is_of_others)
    for name in _ANSWERING:
        if _is_of_no_request not in logging.getLogger(name).filters:
            logging.getLogger(name).addFilter(_is_of_no_request)
    server = logging.getLogger(_SERVER)
    if not server.handlers:
        server.addHandler(logging.NullHandler())  # without one, Python writes warnings to standard error


@contextmanager
def asking() -> Iterator[None]:
    """Inside, pymilvus is asked from here."""
    token, request = _ASKED.set(True), object()
    _IN_FLIGHT.append(request)
    try:
        yield
    finally:
        _IN_FLIGHT.remove(request)
        _ASKED.reset(token)


@contextmanager
def importing() -> Iterator[None]:
    """Inside, gRPC is imported, perhaps for the first time: it then writes errors alone, and no line for each fork.

    What somebody has set, or has imported before, stays.
    """
    if _GRPC_LEVEL in os.environ:
        yield
        return
    os.environ[_GRPC_LEVEL] = "ERROR"
    try:
        yield
    finally:
        os.environ.pop(_GRPC_LEVEL, None)

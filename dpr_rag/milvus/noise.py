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

_IN_REQUEST: ContextVar[bool] = ContextVar("asked", default=False)
_CLIENT_LOGGERS = ("pymilvus", "pymilvus.milvus_client")
"""Loggers whose handlers write to standard error."""
_SERVER = "milvus_lite"
_REQUEST_LOGGERS = ("milvus_lite.adapter.grpc.servicer", "grpc._server")
"""Loggers of requests, in threads of the server."""
_IN_FLIGHT: list[object] = []
_GRPC_LEVEL = "GRPC_VERBOSITY"


def _is_of_other_code(_: logging.LogRecord) -> bool:
    return not _IN_REQUEST.get()


def _is_outside_requests(_: logging.LogRecord) -> bool:
    return not _IN_FLIGHT


def install_filters() -> None:
    """Install the filters that keep the libraries' log of dpr-rag's requests off the terminal."""
    for name in _CLIENT_LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if _is_of_other_code not in handler.filters:
                handler.addFilter(_is_of_other_code)
    for name in _REQUEST_LOGGERS:
        if _is_outside_requests not in logging.getLogger(name).filters:
            logging.getLogger(name).addFilter(_is_outside_requests)
    server = logging.getLogger(_SERVER)
    if not server.handlers:
        server.addHandler(logging.NullHandler())  # without one, Python writes warnings to standard error


@contextmanager
def quiet_requests() -> Iterator[None]:
    """Mark requests of dpr-rag, whose log is filtered."""
    token, request = _IN_REQUEST.set(True), object()
    _IN_FLIGHT.append(request)
    try:
        yield
    finally:
        _IN_FLIGHT.remove(request)
        _IN_REQUEST.reset(token)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Import gRPC inside this context, so that it writes errors only, and no line for each fork.

    It reads the level when it is first imported. A level that the environment names stays.
    """
    if _GRPC_LEVEL in os.environ:
        yield
        return
    os.environ[_GRPC_LEVEL] = "ERROR"
    try:
        yield
    finally:
        os.environ.pop(_GRPC_LEVEL, None)

"""What the libraries of an engine write to the terminal while it is asked: an error of ours says it in a line.

pymilvus writes a traceback of whatever it raises, from handlers of its own, and a warning for every page that milvus-lite gives;
milvus-lite logs a traceback of each request that it refuses. Only those loggers are touched, and of pymilvus only what it logs
while it is asked from here: a program that uses it beside sees its own.
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
_GRPC_LEVEL = "GRPC_VERBOSITY"


def _is_of_others(_: logging.LogRecord) -> bool:
    return not _ASKED.get()


def hush() -> None:
    """Keep what pymilvus logs while it is asked from here off the terminal, and what milvus-lite logs where nobody listens."""
    for name in _CLIENT:
        for handler in logging.getLogger(name).handlers:
            if _is_of_others not in handler.filters:
                handler.addFilter(_is_of_others)
    server = logging.getLogger(_SERVER)
    if not server.handlers:
        server.addHandler(logging.NullHandler())  # without one, Python writes warnings to standard error


@contextmanager
def asking() -> Iterator[None]:
    """Inside, pymilvus is asked from here."""
    token = _ASKED.set(True)
    try:
        yield
    finally:
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

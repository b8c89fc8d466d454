"""A service on a Unix socket in a thread, for tests that ask it as its users do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from dpr_rag import PassageStore
from dpr_rag.service import Limits, create_app
from dpr_rag.service.serving import config_of, on_unix_socket

TOKEN = "a-token-of-tests"


@contextmanager
def service_on(
    path: Path,
    stores: Mapping[str, PassageStore],
    *,
    limits: Limits | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[str]:
    """The path of a Unix socket on which the stores are served."""
    limits = limits or Limits()
    app = create_app(stores, limits=limits, **options)
    settings = config_of(app, limits)
    for name, value in (config or {}).items():
        setattr(settings, name, value)
    server = uvicorn.Server(settings)
    with on_unix_socket(path) as (listening, _):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.005)
            yield str(path)
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


def raw(path: str, sent: bytes, *, wait: float = 30.0) -> bytes:
    """What comes back for bytes, until the other side closes or the time is over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(wait)
        one.connect(path)
        received = b""
        try:
            one.sendall(sent)
            while part := one.recv(65536):
                received += part
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        return received

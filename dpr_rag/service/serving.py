"""Runs the server until a signal: accepted requests are answered, then it exits; a second signal exits at once."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from dpr_rag.errors import PathError
from dpr_rag.service.connections import TimeoutProtocol
from dpr_rag.service.limits import HEADERS, Limits

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 512


def run(app: Any, listening: socket.socket, limits: Limits, on_ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: The application of ``create_app``.
        listening: A bound socket.
        limits: Connections at once, and seconds for a shutdown.
        on_ready: Called when requests are accepted; signals are handled from then on.
    """
    GracefulServer(config_of(app, limits), on_ready).run(sockets=[listening])


def config_of(app: Any, limits: Limits) -> uvicorn.Config:
    """The uvicorn configuration of an application."""
    return uvicorn.Config(
        app,
        http=TimeoutProtocol,
        ws="none",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=HEADERS,
        timeout_graceful_shutdown=int(limits.ending),
    )


class GracefulServer(uvicorn.Server):
    """A server that shuts down gracefully at the first signal, without an exception, and exits at once at the second."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, and call ``on_ready``."""
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals inside a ``with`` block; uvicorn's own method would raise them again afterwards."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down; searching threads cannot be stopped, so the second signal ends the whole process."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True


@contextmanager
def on_unix_socket(path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A Unix socket that only its owner can connect to; the stale socket of a killed service is replaced.

    Raises:
        PathError: There is something else at the path, or another service listens there.
    """
    _remove_stale_socket(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        umask = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError as error:
            raise PathError(
                f"nobody can listen on {str(path)!r} ({error.strerror or error}); name another path"
            ) from error
        finally:
            os.umask(umask)
        listening.listen(_BACKLOG)
        try:
            yield listening, f"unix:{path}"
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def _remove_stale_socket(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise PathError(f"there is something at {str(path)!r} already; name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise PathError(f"another service listens on {str(path)!r} already; name another path")

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
from dpr_rag.service.connections import PatientProtocol
from dpr_rag.service.limits import HEADERS, Limits

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 512


def run(app: Any, listening: socket.socket, limits: Limits, told: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: What ``create_app`` made.
        listening: A bound socket.
        limits: Connections, and time to end in.
        told: Called when requests can come; signals are heeded from then on.
    """
    Ending(config_of(app, limits), told).run(sockets=[listening])


def config_of(app: Any, limits: Limits) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=HEADERS,
        timeout_graceful_shutdown=int(limits.ending),
    )


class Ending(uvicorn.Server):
    """Ends in order at the first signal, and at once at the second; in order means without an exception."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], object]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self._told()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Heed signals for the length of a block; uvicorn itself would raise them again afterwards."""
        before = {one: signal.signal(one, self.handle_exit) for one in _SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; threads that search cannot be stopped, so that only the whole process can end at once."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True


@contextmanager
def on_unix_socket(path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A Unix socket that its owner alone can connect to; what a killed service left of one is replaced.

    Raises:
        PathError: There is something else at the path, or another service listens there.
    """
    _remove_left(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError as error:
            raise PathError(
                f"nobody can listen on {str(path)!r} ({error.strerror or error}); name another path"
            ) from error
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        try:
            yield listening, f"unix:{path}"
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def _remove_left(path: Path) -> None:
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

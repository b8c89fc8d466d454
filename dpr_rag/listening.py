"""Binds a port before slow work starts, so that a port in use is reported at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from dpr_rag.errors import PathError
from dpr_rag.faces import ByFace

BACKLOG = 2048


@contextmanager
def on_port(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Listen on a port, and give the socket with its URL; connections wait until they are served.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Raises:
        PathError: The address is not this machine's, or the port is in use or reserved.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error)
        if error.errno is not None and error.errno > 0:  # getaddrinfo's numbers, of unknown names, are below 0
            reason = os.strerror(error.errno).lower()
        raise PathError(
            f"nobody can listen on {host}:{port} ({reason}); name another "
            + ByFace("port", cli="--port", page="port")
            + ", or 0 for a free one"
        ) from error
    with listening:
        name = f"[{host}]" if ":" in host else host
        yield listening, f"http://{name}:{listening.getsockname()[1]}"

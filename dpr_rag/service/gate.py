"""Access control: the bearer token, and the Host header (against DNS rebinding); counts the responses."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from dpr_rag.errors import AccessError, DprRagError, RequestError
from dpr_rag.faces import message_of
from dpr_rag.paths import LOOPBACK
from dpr_rag.remote.access import NO_SOCKET, REFUSED, Bearer
from dpr_rag.remote.wire import error_record
from dpr_rag.service.limits import HEADERS
from dpr_rag.service.metrics import Metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = "/healthz"
"""The path that needs no token: it says only whether the service is healthy."""
_SECURITY_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_OF_LOOPBACK = {f"[{name}]" if ":" in name else name for name in LOOPBACK}


class Gate:
    """ASGI middleware that authenticates requests and counts responses.

    Args:
        app: The application.
        token: The required bearer token. With None on the loopback, only requests whose Host header is a name of this machine
            are admitted, so that a web page cannot reach the service under another name and read its answers.
        at_home: Whether the server listens on the loopback only.
        metrics: What counts the responses.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, at_home: bool, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._bearer = None if token is None else Bearer(token)
        self._names = _OF_LOOPBACK if at_home and token is None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await (self._app(scope, receive, send) if scope["type"] == "lifespan" else send(NO_SOCKET))
            return
        start, status = time.perf_counter(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_SECURITY_HEADERS]
            await send(message)

        try:
            refusal = self._refusal(scope)
            await (self._app(scope, receive, send_counted) if refusal is None else _refuse(*refusal, send_counted))
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(path, status, time.perf_counter() - start)

    def _refusal(self, scope: Scope) -> tuple[int, DprRagError] | None:
        if _header_bytes(scope) > HEADERS:  # the parser accepts more of headers that arrive in one piece
            return 431, RequestError(f"the headers have more than {HEADERS:,} bytes; send fewer")
        if self._names is not None and _host(scope) not in self._names:
            return 421, RequestError(
                "this service is asked as 127.0.0.1 or localhost; with a token it has other names, too"
            )
        if self._bearer is None or scope["path"] == OPEN or self._bearer.is_in(scope["headers"]):
            return None
        return 401, AccessError(REFUSED)


def _header_bytes(scope: Scope) -> int:
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return target + sum(len(key) + len(value) for key, value in scope["headers"])


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _host(scope: Scope) -> str:
    headers = _headers(scope, b"host")
    name = headers[0].decode("latin-1") if len(headers) == 1 else ""
    return (name[: name.index("]") + 1] if name.startswith("[") and "]" in name else name.partition(":")[0]).lower()


async def _refuse(status: int, error: DprRagError, send: Send) -> None:
    body = json.dumps(error_record(type(error), message_of(error))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Requests to a service, from threads and from event loops: connections, repetitions, and answers or errors."""

from __future__ import annotations

import asyncio
import json
import os
import time
import weakref
from collections.abc import Mapping
from typing import Any

from dpr_rag._version import __version__
from dpr_rag.errors import DprRagError, MissingExtraError, PathError, ServiceError, StoreClosedError, install
from dpr_rag.forking import new_lock
from dpr_rag.remote.wire import error_of

try:
    import httpx
except ImportError as error:
    raise MissingExtraError(f"asking a service needs httpx; {install('client')}") from error

from dpr_rag.remote.patience import REFUSED_FOR_NOW, Patience

_AT_HOME = {"127.0.0.1", "localhost", "::1"}
_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=4.0)


class Channel:
    """Asks one service; usable from threads, event loops and forked children, each with connections of its own.

    Args:
        address: ``http://`` or ``https://``, host, port, and a path where a proxy serves it under one.
        token: What opens the service, or None.
        timeout: Seconds that each attempt may take.
        retries: How often a request is repeated that did not get through or was refused for now.
        uds: Path of a Unix socket to connect to instead of the address's host.

    Raises:
        PathError: The address is none.
    """

    def __init__(
        self, address: str, *, token: str | None, timeout: float, retries: int, uds: str | None = None
    ) -> None:
        self.address = _checked(address)
        self._token, self._timeout, self._retries, self._uds = token, timeout, retries, uds
        self._lock = new_lock()
        self._client: tuple[int, httpx.Client] | None = None
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )
        self._closed = False

    def ask(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        """Send a JSON object, and read the one that is answered.

        Args:
            path: Below the address.
            body: What to send.
            repeatable: Whether it may be sent again where it is unknown whether it arrived.

        Raises:
            ServiceError: The service cannot be reached, is busy or slow, or answers what cannot be understood.
            DprRagError: What the service says is wrong, of the class that the store there raised.
        """
        client, content = self._of_process(), _dumped(body)
        patience = Patience(self.address, self._retries, repeatable)
        while True:
            try:
                response = client.post(path, content=content)
            except httpx.RequestError as failure:
                pause = patience.after_failure(failure)
            else:
                if response.status_code not in REFUSED_FOR_NOW:
                    return _answer(response)
                pause = patience.after_refusal(_error(response), response.headers.get("retry-after"))
            time.sleep(pause)

    async def aask(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        """Like :meth:`ask`, without holding up the event loop."""
        client, content = self._of_loop(), _dumped(body)
        patience = Patience(self.address, self._retries, repeatable)
        while True:
            try:
                response = await client.post(path, content=content)
            except httpx.RequestError as failure:
                pause = patience.after_failure(failure)
            else:
                if response.status_code not in REFUSED_FOR_NOW:
                    return _answer(response)
                pause = patience.after_refusal(_error(response), response.headers.get("retry-after"))
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close the connections of threads; those of an event loop are closed by :meth:`aclose` on it."""
        with self._lock:
            self._closed, held, self._client = True, self._client, None
        if held is not None and held[0] == os.getpid():
            held[1].close()

    async def aclose(self) -> None:
        """Close the connections of this event loop and those of threads."""
        self.close()
        client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _of_process(self) -> httpx.Client:
        with self._lock:
            self._refuse_closed()
            if (
                self._client is None or self._client[0] != os.getpid()
            ):  # a child must not write into its parent's sockets
                transport = httpx.HTTPTransport(uds=self._uds, limits=_CONNECTIONS) if self._uds else None
                self._client = (os.getpid(), httpx.Client(transport=transport, **self._settings()))
            return self._client[1]

    def _of_loop(self) -> httpx.AsyncClient:
        self._refuse_closed()
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._async:
                transport = httpx.AsyncHTTPTransport(uds=self._uds, limits=_CONNECTIONS) if self._uds else None
                self._async[loop] = httpx.AsyncClient(transport=transport, **self._settings())
            return self._async[loop]

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosedError(f"{self.address} was closed here; open it again")

    def _settings(self) -> dict[str, Any]:
        headers = {"content-type": "application/json", "user-agent": f"dpr-rag/{__version__}"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        trusted = self.address.startswith("https:")  # reading the certificates takes longer than many a question
        # what goes to this machine goes through no proxy, whatever the environment says
        outside = httpx.URL(self.address).host not in _AT_HOME
        options = {"timeout": self._timeout, "limits": _CONNECTIONS, "verify": trusted, "trust_env": outside}
        return {"base_url": self.address, "headers": headers, **options}


def _checked(address: str) -> str:
    url = None
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError):
        pass
    if url is None or url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise PathError(f"{address!r:.200} is no address of a service; expected one such as http://127.0.0.1:8000")
    return str(url).rstrip("/")


def _dumped(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != httpx.codes.OK:
        raise _error(response)
    answer = _json(response)
    if not isinstance(answer, dict):
        raise ServiceError(f"{response.url} answered no JSON object; is dpr-rag serve running there?")
    return answer


def _error(response: httpx.Response) -> DprRagError:
    return error_of(_json(response), response.status_code)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None

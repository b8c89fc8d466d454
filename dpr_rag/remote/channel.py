"""``Channel``: sends requests to a service from threads and event loops, retries them, and reads answers or errors."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

from dpr_rag._version import __version__
from dpr_rag.errors import DprRagError, MissingExtraError, PathError, ServiceError, StoreClosedError, install
from dpr_rag.forking import new_lock
from dpr_rag.paths import LOOPBACK, refuse_secrets
from dpr_rag.remote.wire import error_of

try:
    import httpx
except ImportError as error:
    raise MissingExtraError(f"asking a service needs httpx; {install('client')}") from error

from dpr_rag.remote.retrying import REFUSED_FOR_NOW, Retries

_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=4.0)


class Channel:
    """A client of one service; threads, event loops and forked children may share it, each has its own connections.

    Args:
        address: ``http://`` or ``https://``, host, port, and the path prefix of a proxy if there is one.
        token: The bearer token, or None.
        timeout: Seconds per attempt.
        retries: How often a request is sent again after a failed connection, or the statuses 429 and 503.
        uds: Path of a Unix socket to connect to instead of the address's host.

    Raises:
        PathError: The address is not valid.
    """

    def __init__(
        self, address: str, *, token: str | None, timeout: float, retries: int, uds: str | None = None
    ) -> None:
        self.address = _checked(address)
        self._token, self._timeout, self._retries, self._uds = token, timeout, retries, uds
        self._lock = new_lock()
        self._client: tuple[int, httpx.Client] | None = None
        self._async: dict[asyncio.AbstractEventLoop, _AsyncClient] = {}
        self._closed = False

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        """POST a JSON object, and return the JSON object of the answer.

        Args:
            path: Path below the address.
            body: The JSON object.
            repeatable: Whether the request may be sent again if the connection broke after it was sent.

        Raises:
            ServiceError: The service cannot be reached, is busy or slow, or its answer cannot be understood.
            StoreClosedError: The channel was closed, before the request or while it waited to be sent again.
            DprRagError: The error that the service reports, of the class that was raised there.
        """
        content = _dumped(body)
        retries = Retries(self.address, self._retries, repeatable)
        while True:
            try:
                response = self._client_of_process().post(path, content=content)
            except httpx.RequestError as failure:
                pause = retries.after_failure(failure)
            except RuntimeError:  # httpx's, where the client was closed since it was taken
                self._refuse_closed()
                raise
            else:
                if response.status_code not in REFUSED_FOR_NOW:
                    return _answer(response)
                pause = retries.after_refusal(_error(response), response.headers.get("retry-after"))
            time.sleep(pause)

    async def apost(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        """Like :meth:`post`, without blocking the event loop."""
        content = _dumped(body)
        retries = Retries(self.address, self._retries, repeatable)
        while True:
            try:
                client = await self._client_of_loop()
                response = await client.post(path, content=content)
            except httpx.RequestError as failure:
                pause = retries.after_failure(failure)
            except RuntimeError:  # httpx's, where the client was closed since it was taken
                self._refuse_closed()
                raise
            else:
                if response.status_code not in REFUSED_FOR_NOW:
                    return _answer(response)
                pause = retries.after_refusal(_error(response), response.headers.get("retry-after"))
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close the connections of threads; those of an event loop close with it, or by :meth:`aclose`."""
        with self._lock:
            self._closed, client, self._client = True, self._client, None
            self._forget_ended_loops()
        if client is not None and client[0] == os.getpid():
            client[1].close()

    async def aclose(self) -> None:
        """Close the connections of this event loop and those of threads."""
        self.close()
        with self._lock:
            client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.lifetime.aclose()

    def _client_of_process(self) -> httpx.Client:
        with self._lock:
            self._refuse_closed()
            # a forked child must not write into its parent's sockets
            if self._client is None or self._client[0] != os.getpid():
                transport = httpx.HTTPTransport(uds=self._uds, limits=_CONNECTIONS) if self._uds else None
                self._client = (os.getpid(), httpx.Client(transport=transport, **self._settings()))
            return self._client[1]

    async def _client_of_loop(self) -> httpx.AsyncClient:
        self._refuse_closed()
        loop = asyncio.get_running_loop()
        with self._lock:
            if (known := self._async.get(loop)) is not None and not known.client.is_closed:
                return known.client
            self._forget_ended_loops()
            transport = httpx.AsyncHTTPTransport(uds=self._uds, limits=_CONNECTIONS) if self._uds else None
            client = httpx.AsyncClient(transport=transport, **self._settings())
            made = self._async[loop] = _AsyncClient(client, _lifetime(client))
        await anext(made.lifetime)  # which makes it known to the loop
        return client

    def _forget_ended_loops(self) -> None:
        for loop in [loop for loop in self._async if loop.is_closed()]:
            del self._async[loop]

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosedError(f"{self.address} was closed here; open it again")

    def _settings(self) -> dict[str, Any]:
        headers = {"content-type": "application/json", "user-agent": f"dpr-rag/{__version__}"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        verify = self.address.startswith("https:")  # loading the certificates takes longer than many requests
        # requests to this machine use no proxy, even where the environment names one
        outside = httpx.URL(self.address).host not in LOOPBACK
        options = {"timeout": self._timeout, "limits": _CONNECTIONS, "verify": verify, "trust_env": outside}
        return {"base_url": self.address, "headers": headers, **options}


class _AsyncClient(NamedTuple):
    """The client of one event loop, and what closes it when that loop ends."""

    client: httpx.AsyncClient
    lifetime: AsyncGenerator[None, None]


async def _lifetime(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """A generator that has begun is ended by its event loop, at the latest in ``loop.shutdown_asyncgens``."""
    try:
        yield
    finally:
        await client.aclose()


def _checked(address: str) -> str:
    if isinstance(address, str):
        refuse_secrets(address)
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

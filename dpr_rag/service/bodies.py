"""Reads request bodies: limited in size and time, as strict JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import partial
from math import isinf
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from dpr_rag.errors import ServiceTimeoutError

_LARGE_BODY, _MOST_DIGITS = 65_536, 4300


class StrictRequest(Request):
    """A request whose body is limited in size and time, and is JSON without repeated keys, NaN or deep nesting."""

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            HTTPException: It is not JSON, too large or too slow.
        """
        if not hasattr(self, "_body"):
            kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":  # other types may be sent across origins by any web page, without CORS
                raise HTTPException(415, f"the content type is {kind!r:.80}, expected application/json")
            limits = self.app.state.service.limits
            try:
                async with asyncio.timeout(limits.seconds):
                    self._body = await self._limited_body(limits.body)
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {limits.seconds:g} s") from None
        return self._body

    async def _limited_body(self, most: int) -> bytes:
        declared = self.headers.get("content-length", "")
        parts, size = [], int(declared) if declared.isascii() and declared.isdecimal() else 0
        if size <= most:
            size = 0
            async for part in self.stream():
                size += len(part)
                if size > most:
                    break
                parts.append(part)
        if size > most:
            raise HTTPException(
                413, f"the body has more than the {most:,} bytes that this service takes; ask for less at once"
            )
        return b"".join(parts)

    async def json(self) -> Any:
        """The body as JSON; a large one is read in a thread.

        Raises:
            HTTPException: It is not JSON, or ambiguous.
            ServiceTimeoutError: No thread was free to read it in time.
        """
        body = await self.body()
        if len(body) < _LARGE_BODY:
            return read_json(body)
        service = self.app.state.service
        try:
            async with asyncio.timeout(service.limits.seconds):
                return await service.searching.run(partial(read_json, body))
        except TimeoutError:
            raise ServiceTimeoutError(
                f"the body was not read within {service.limits.seconds:g} s, as other requests were; send it again later"
            ) from None


class StrictRoute(APIRoute):
    """Reads its requests as a :class:`StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler so that it receives a :class:`StrictRequest`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method == "POST" and request.url.query:
                raise HTTPException(
                    422,
                    f"the query {request.url.query!r:.80} says nothing here; put it into the body, as a field of the JSON object",
                )
            return await handler(StrictRequest(request.scope, request.receive))

        return handle


def read_json(body: bytes) -> Any:
    """Parse JSON by RFC 8259, refusing what parsers read differently.

    Raises:
        HTTPException: It is not JSON, is nested too deep, or holds NaN, an infinite number, or a key twice.
    """
    try:
        text = body.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_refuse, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise HTTPException(400, "the body is nested too deep to be read") from None
    except ValueError as error:  # wrong UTF-8, wrong JSON, or an integer with more digits than Python reads
        raise HTTPException(400, f"the body cannot be read as JSON: {error!s:.200}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated!r:.80} comes twice in one object")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"the number {text:.40} is larger than any that is read")
    return number


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits, expected {_MOST_DIGITS:,} at most")
    return int(text)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")

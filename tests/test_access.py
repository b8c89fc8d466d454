"""The token of requests: one check for the service and for the tools of agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HashEncoder

from dpr_rag import PassageStore
from dpr_rag.service import create_app

TOKEN = "a-token-of-tests"
Asgi = Callable[[Any, Any, Any], Any]


async def admitted(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the check of the tools."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Served:
    """A server of tools that admits everybody."""

    def streamable_http_app(self, host: str) -> Asgi:
        return admitted


@pytest.fixture(params=["service", "tools"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Asgi]:
    if request.param == "tools":
        agents = pytest.importorskip("dpr_rag.agents", reason="needs mcp", exc_type=ImportError)
        yield agents.http_app(Served(), host="127.0.0.1", token=TOKEN)
        return
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        yield create_app({"s": store}, token=TOKEN)


def answered(app: Asgi, kind: str, headers: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """What an application sends back."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    where = {
        "path": "/openapi.json",
        "raw_path": b"/openapi.json",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
    }
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "method": "GET",
        "http_version": "1.1",
        "headers": headers,
        **where,
    }
    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([f"Bearer {TOKEN}"], 200),
        ([f"bearer {TOKEN}"], 200),
        ([f"BEARER  {TOKEN} "], 200),
        ([], 401),
        ([TOKEN], 401),
        ([f"Basic {TOKEN}"], 401),
        ([f"Bearer {TOKEN}x"], 401),
        ([f"Bearer {TOKEN[:-1]}"], 401),
        (["Bearer ", ""], 401),
        (["Bearer other", f"Bearer {TOKEN}"], 401),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], 401),
    ],
)
def test_both_faces_admit_the_same_requests(guarded: Asgi, given: list[str], status: int) -> None:
    start, *_ = answered(guarded, "http", [(b"authorization", value.encode()) for value in given])
    assert start["status"] == status
    named = dict(start["headers"])
    assert named.get(b"www-authenticate") == (b"Bearer" if status == 401 else None)


@pytest.mark.parametrize("headers", [[], [(b"authorization", f"Bearer {TOKEN}".encode())]])
def test_a_web_socket_is_no_way_around_the_token(guarded: Asgi, headers: list[tuple[bytes, bytes]]) -> None:
    assert answered(guarded, "websocket", headers) == [{"type": "websocket.close", "code": 1008}]

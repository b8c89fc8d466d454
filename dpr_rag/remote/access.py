"""The bearer token of a service: from an argument or the environment, and looked for in requests."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from typing import Any

from dpr_rag.errors import AccessError

REFUSED = "the token is missing or another one; send it as Authorization: Bearer TOKEN"
NO_SOCKET: dict[str, Any] = {"type": "websocket.close", "code": 1008}
"""The answer to what is no request: a web socket, which would get past the checks of requests."""

VARIABLE = "DPR_RAG_TOKEN"
"""The environment variable with the default token."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


def token_of(argument: str | None) -> str | None:
    """The given token, or else the one in the environment variable, or None.

    Raises:
        AccessError: It is empty, or holds characters that a header cannot.
    """
    token = os.environ.get(VARIABLE) if argument is None else argument
    if token is None:
        return None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        where = f"the environment variable {VARIABLE}" if argument is None else "the token"
        raise AccessError(f"{where} is empty or holds more than visible ASCII characters; take 48 digits at random")
    return token


class Bearer:
    """Knows the requests that bring a token.

    Args:
        token: The token that they have to bring.
    """

    def __init__(self, token: str) -> None:
        self._token = _digest(token.encode())

    def is_in(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers of a request, in lower case as ASGI has them, hold the token, in one ``Authorization: Bearer``."""
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        matches = hmac.compare_digest(_digest(token.strip()), self._token)  # digests, so that not even the length shows
        return matches and scheme.lower() == b"bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()

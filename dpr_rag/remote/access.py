"""The bearer token of a service: from an argument or the environment, and checked."""

from __future__ import annotations

import os
import re

from dpr_rag.errors import AccessError

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

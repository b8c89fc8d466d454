"""The token that opens a service: where it comes from, and what it may consist of."""

from __future__ import annotations

import os
import re

from dpr_rag.errors import AccessError

VARIABLE = "DPR_RAG_TOKEN"
"""The environment variable that holds the token where none is given."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


def token_of(given: str | None) -> str | None:
    """The token given, or else that of the environment; None where there is none.

    Raises:
        AccessError: It is empty, or holds what no header can.
    """
    token = os.environ.get(VARIABLE) if given is None else given
    if token is None:
        return None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        where = f"the environment variable {VARIABLE}" if given is None else "the token"
        raise AccessError(f"{where} is empty or holds more than visible ASCII characters; take 48 digits at random")
    return token

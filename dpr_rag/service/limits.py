"""The limits of a service: per request, on concurrent requests, and on time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dpr_rag.arguments import check_count, check_seconds
from dpr_rag.errors import RequestError

HEADERS = 16_384
"""Bytes of a request's target and headers."""
_LEAST_SECONDS = {"pause": 0.0, "seconds": 0.001, "ending": 1.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a service; a request beyond them is refused, never cut.

    Attributes:
        body: Bytes of a request's body.
        questions: Questions, or vectors, of one request.
        passages: Passages of one request or answer.
        characters: Characters of a question, and of the title and text of a passage.
        hits: Hits per question, and candidates of a ranking or of diversity.
        waiting: Questions accepted and not answered yet; more are refused with 429.
        batch: Questions encoded together at most.
        pause: Seconds to collect questions for a batch, while it is not full.
        threads: Searches at once.
        seconds: Time for a request to arrive whole, and for its answer to be made.
        connections: Connections at once; more are refused with 503.
        ending: Seconds in which accepted requests are answered at shutdown.

    Raises:
        RequestError: A value is out of range.
    """

    body: int = 8 * 2**20
    questions: int = 256
    passages: int = 1000
    characters: int = 100_000
    hits: int = 1000
    waiting: int = 512
    batch: int = 64
    pause: float = 0.002
    threads: int = 4
    seconds: float = 30.0
    connections: int = 1000
    ending: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value, least = getattr(self, name), _LEAST_SECONDS.get(name)
            checked = (
                check_count(name, value, RequestError)
                if least is None
                else check_seconds(name, value, RequestError, low=least)
            )
            object.__setattr__(self, name, checked)

    def check_count(self, name: str, count: int, most: int) -> None:
        """Refuse a number that is too large.

        Raises:
            RequestError: It is.
        """
        if count > most:
            asked = f"{count:,}" if count <= sys.maxsize else "far more"
            raise RequestError(f"{name}: {asked} were asked for, and this service takes {most:,} at once; ask for less")

    def check_texts(self, name: str, texts: Sequence[str]) -> None:
        """Refuse texts that are too long.

        Raises:
            RequestError: One is.
        """
        longest = max(map(len, texts), default=0)
        if longest > self.characters:
            raise RequestError(
                f"{name}: a text has {longest:,} characters, and this service takes {self.characters:,}; shorten it"
            )

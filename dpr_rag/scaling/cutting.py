"""Splits a corpus into parts, the same for all readers of the same corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dpr_rag.corpora.parts import chained
from dpr_rag.passages import Passage

ROWS = 10_000
"""Passages of a part, if nobody says another number."""
_CHARACTERS = 1 << 27


class Part(NamedTuple):
    """A part of a corpus before it is encoded.

    Attributes:
        number: From 0.
        passages: In the corpus's order.
        before: Chained checksum of all passages before it.
        after: The same with its own.
        last: Whether the corpus ends with it.
    """

    number: int
    passages: list[Passage]
    before: int
    after: int
    last: bool


def _length(passage: Passage) -> int:
    return len(passage.text) + len(passage.title) + len(str(passage.metadata))


def parts(passages: Iterable[Passage], rows: int = ROWS) -> Iterator[Part]:
    """Cut a corpus as it is read; a part of long texts ends earlier.

    Args:
        passages: The corpus; read once, one part at a time.
        rows: Most passages of a part.
    """
    number = before = 0
    items = iter(passages)
    following = next(items, None)
    while following is not None:
        held: list[Passage] = []
        after, characters = before, 0
        while following is not None and len(held) < rows and characters < _CHARACTERS:
            held.append(following)
            after, characters = chained(after, following), characters + _length(following)
            following = next(items, None)
        yield Part(number, held, before, after, following is None)
        number, before = number + 1, after

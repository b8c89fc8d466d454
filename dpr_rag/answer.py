"""``Answer``: the span of a passage that a reader extracted as the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of a passage's text.

    Attributes:
        text: The text of the span.
        start: Offset of its first character in the passage's text.
        end: Offset after its last character.
        probability: The reader's probability that this is the answer. For a reranked hit: the probability that the passage
            is the right one among those reranked, times that of the span in it.
    """

    text: str
    start: int
    end: int
    probability: float

"""`Answer`: the words of a passage that answer a question, as a reader finds them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A stretch of a passage's text.

    Attributes:
        text: The words, as they stand in the passage.
        start: Where they begin in the passage's text, in characters.
        end: Where they end.
        probability: How likely the reader takes this to be the answer. Of a reranked hit: that the passage is the right one
            of those that were reranked, times that the answer stands there in it.
    """

    text: str
    start: int
    end: int
    probability: float

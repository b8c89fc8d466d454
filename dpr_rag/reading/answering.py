"""Which of the answers that a reader found in the hits of a question is the answer, or that none is."""

from __future__ import annotations

from collections.abc import Sequence

from dpr_rag.passages import Hit

LEAST = 0.05
"""Least probability of an answer, unless one says otherwise."""


def likeliest(hits: Sequence[Hit], least: float = LEAST) -> Hit | None:
    """The hit with the likeliest answer; of equally likely ones the first.

    Args:
        hits: What a reader read, see ``Reader.rerank``.
        least: Less likely answers are none.

    Returns:
        The hit, whose ``answer`` is one, or None where none of them holds an answer.
    """
    given = [(hit.answer.probability, hit) for hit in hits if hit.answer is not None]
    probability, best = max(given, key=lambda one: one[0], default=(0.0, None))
    return best if probability >= least else None

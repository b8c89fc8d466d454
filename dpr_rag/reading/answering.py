"""Chooses the answer to a question among those that a reader extracted from its hits, or none."""

from __future__ import annotations

from collections.abc import Sequence

from dpr_rag.passages import Hit

LEAST = 0.05
"""Default least probability of an answer."""


def likeliest(hits: Sequence[Hit], least: float = LEAST) -> Hit | None:
    """The hit with the most probable answer; the first of equally probable ones.

    Args:
        hits: Hits reranked by a reader, see ``Reader.rerank``.
        least: The least probability; less probable answers are ignored.

    Returns:
        A hit with an ``answer``, or None.
    """
    answers = [(hit.answer.probability, hit) for hit in hits if hit.answer is not None]
    probability, best = max(answers, key=lambda pair: pair[0], default=(0.0, None))
    return best if probability >= least else None

"""Combines the scores of a search and of a reranker, per question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Scale = Literal["spread", "likelihood"]
Numbers = npt.NDArray[np.float64]
WEIGHT = 0.5
"""Default weight of the reranker's score."""
_FLAT = 1e-12


def balanced(searched: Sequence[float], read: Sequence[float], weight: float, scale: Scale) -> list[float]:
    """The weighted sum of the scores of a search and of a reranker, for the passages of one question.

    Args:
        searched: Scores of the search; they are standardised to mean 0 and standard deviation 1.
        read: Scores of the reranker, in the same order.
        weight: Weight of the reranker, from 0 (the order of the search) to 1 (the order of the reranker).
        scale: How the reranker's scores are scaled. ``spread`` standardises them, whatever their unit. ``likelihood`` takes
            them as logits of a choice among the passages (log softmax), so that a confident reranker outweighs the search, and
            an undecided one does not.

    Returns:
        weight · read + (1 - weight) · searched, of the scaled scores.
    """
    first, second = _standardised(np.asarray(searched, np.float64)), SCALES[scale](np.asarray(read, np.float64))
    mixed: list[float] = (weight * second + (1 - weight) * first).tolist()
    return mixed


def _standardised(scores: Numbers) -> Numbers:
    """Scores with mean 0 and standard deviation 1; zeros if all are equal."""
    spread = scores.std() if len(scores) else 0.0
    if spread <= _FLAT * np.abs(scores).max(initial=1.0):
        return np.zeros(len(scores))
    return np.asarray((scores - scores.mean()) / spread)


def log_softmax(scores: Numbers) -> Numbers:
    """The logarithms of the probabilities that logits give, wherever on the number line these lie."""
    top = scores.max(initial=-np.inf)
    return scores - top - np.log(np.exp(scores - top).sum()) if len(scores) else scores


SCALES: Mapping[Scale, Callable[[Numbers], Numbers]] = {"spread": _standardised, "likelihood": log_softmax}

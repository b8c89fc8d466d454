"""How the scores of a search and of a second stage become one, for each question by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Scale = Literal["spread", "likelihood"]
Numbers = npt.NDArray[np.float64]
WEIGHT = 0.5
"""Share of the second stage in the scores, unless one says otherwise."""
_FLAT = 1e-12


def balanced(searched: Sequence[float], read: Sequence[float], weight: float, scale: Scale) -> list[float]:
    """One score for each passage of a question, from the score of the search and that of the second stage.

    Args:
        searched: Scores of the search, whatever their unit; they are brought to mean 0 and standard deviation 1.
        read: Scores of the second stage, in the same order.
        weight: Share of the second stage, from 0 (the order of the search) to 1 (the order of the second stage).
        scale: ``spread`` brings those to mean 0 and standard deviation 1, too, which needs no unit; ``likelihood`` takes them
            for the logits of a choice among the passages, so that a second stage that is sure of one counts for much, and one
            that hardly tells them apart for little.

    Returns:
        weight · read + (1 - weight) · searched, of the scaled scores.
    """
    first, second = _standardised(np.asarray(searched, np.float64)), SCALES[scale](np.asarray(read, np.float64))
    mixed: list[float] = (weight * second + (1 - weight) * first).tolist()
    return mixed


def _standardised(scores: Numbers) -> Numbers:
    """Mean 0 and standard deviation 1; zeros where all are the same."""
    spread = scores.std() if len(scores) else 0.0
    if spread <= _FLAT * np.abs(scores).max(initial=1.0):
        return np.zeros(len(scores))
    return np.asarray((scores - scores.mean()) / spread)


def _log_softmax(scores: Numbers) -> Numbers:
    top = scores.max(initial=-np.inf)
    return scores - top - np.log(np.exp(scores - top).sum()) if len(scores) else scores


SCALES: Mapping[Scale, Callable[[Numbers], Numbers]] = {"spread": _standardised, "likelihood": _log_softmax}

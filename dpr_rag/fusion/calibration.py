"""From raw scores to relevances in [0, 1]: one logistic function, fitted as Platt (1999) does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import VectorError

_STEPS = 100
_FLATTEST = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """relevance = 1 / (1 + exp(-(slope · score + offset))), which rises with the score.

    Attributes:
        slope: Positive.
        offset: At ``-offset / slope`` the relevance is one half.
    """

    slope: float = 1.0
    offset: float = 0.0

    def relevance(self, score: float) -> float:
        """The relevance of a raw score, in [0, 1]."""
        return float(0.5 * (1 + np.tanh(0.5 * (self.slope * score + self.offset))))

    def keeps(self, least: float) -> Callable[[float], bool]:
        """Tell for scores whether their relevance is at least ``least``.

        Raises:
            VectorError: ``least`` is not in [0, 1].
        """
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            raise VectorError(f"min_relevance is {least!r}, expected a number from 0 to 1")
        return lambda score: self.relevance(score) >= least

    @staticmethod
    def fit(relevant: Sequence[float], other: Sequence[float]) -> Calibration:
        """Fit to scores of relevant and of other pairs, each group with the same weight.

        Newton's method on the cross-entropy, with Platt's smoothed targets, (n + 1) / (n + 2) and 1 / (n + 2): groups
        that do not overlap would otherwise ask for an infinite slope (Lin, Lin and Weng 2007).

        Args:
            relevant: Raw scores of questions with passages that answer them, at least one.
            other: Raw scores of questions with passages that do not, at least one.

        Raises:
            VectorError: A group is empty, or a score is NaN or infinite.
        """
        if not len(relevant) or not len(other):
            raise VectorError("a calibration needs scores of relevant and of other pairs, at least one of each")
        scores = np.concatenate([relevant, other]).astype(np.float64)
        if not np.isfinite(scores).all():
            raise VectorError("a calibration cannot be fitted to scores that are NaN or infinite")
        sizes = np.array([len(relevant), len(other)])
        targets = np.repeat([(sizes[0] + 1) / (sizes[0] + 2), 1 / (sizes[1] + 2)], sizes)
        weights = np.repeat(0.5 / sizes, sizes)
        centre, width = float(weights @ scores), float(np.std(scores)) or 1.0
        slope, offset = _newton((scores - centre) / width, targets, weights)
        slope = max(slope, _FLATTEST)  # an encoder that ranks backwards still gets relevances that rise with the score
        return Calibration(slope / width, offset - slope * centre / width)


def _newton(
    scores: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[float, float]:
    features = np.stack([scores, np.ones_like(scores)])
    theta = np.zeros(2)
    for _ in range(_STEPS):
        shares = 0.5 * (1 + np.tanh(0.5 * (theta @ features)))
        gradient = features @ (weights * (shares - targets))
        curvature = (features * (weights * shares * (1 - shares))) @ features.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # a full step can overshoot where the logistic is flat
        theta = theta - step * min(1.0, 2.0 / float(np.abs(step).max() or 1.0))
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(theta[0]), float(theta[1])

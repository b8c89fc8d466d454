"""``Calibration``: a logistic function from scores to relevances in [0, 1], fitted (Platt 1999) or placed by quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import check_number, kind
from dpr_rag.errors import VectorError

_STEPS = 100
_FLATTEST = 1e-6
_KEPT_BY_HALF, _KEPT_BY_NINE_TENTHS, _OTHERS_BY_HALF = 0.8, 0.4, 0.125
_MARGIN = 1e-6  # of the width: scores of reciprocal ranks lie on the threshold itself, and count as above it


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps scores to relevances: 1 / (1 + exp(-(slope · score + offset))).

    Attributes:
        slope: Positive, so that the relevance rises with the score.
        offset: The relevance is one half at the score ``-offset / slope``.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("slope", "offset"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), VectorError, low=-math.inf))

    def relevance(self, score: float) -> float:
        """The relevance of a score, in [0, 1].

        Raises:
            VectorError: The score is not a number.
        """
        if isinstance(score, bool) or not isinstance(score, Real):
            raise VectorError(f"score is {kind(score)}, expected the score of a hit; give hit.score")
        return float(0.5 * (1 + np.tanh(0.5 * (self.slope * float(score) + self.offset))))

    def keeps(self, least: float) -> Callable[[float], bool]:
        """A function of a score: whether its relevance is at least ``least``.

        Raises:
            VectorError: ``least`` is not in [0, 1].
        """
        least = check_number("min_relevance", least, VectorError, high=1.0)
        return lambda score: self.relevance(score) >= least

    @staticmethod
    def fit(relevant: Sequence[float], other: Sequence[float]) -> Calibration:
        """Fit to scores of relevant and of other question–passage pairs; both groups have the same weight.

        Minimises the cross-entropy by Newton's method, with Platt's smoothed targets (n + 1) / (n + 2) and 1 / (n + 2):
        with targets 1 and 0, groups that do not overlap would need an infinite slope (Lin, Lin and Weng 2007).

        Args:
            relevant: Scores of questions with passages that answer them, at least one.
            other: Scores of questions with passages that do not, at least one.

        Raises:
            VectorError: A group is empty, or a score is NaN or infinite.
        """
        _check(relevant, other)
        scores = np.concatenate([relevant, other]).astype(np.float64)
        sizes = np.array([len(relevant), len(other)])
        targets = np.repeat([(sizes[0] + 1) / (sizes[0] + 2), 1 / (sizes[1] + 2)], sizes)
        weights = np.repeat(0.5 / sizes, sizes)
        centre, width = float(weights @ scores), float(np.std(scores)) or 1.0
        slope, offset = _newton((scores - centre) / width, targets, weights)
        slope = max(slope, _FLATTEST)  # an encoder that ranks backwards still gets relevances that rise with the score
        return Calibration(slope / width, offset - slope * centre / width)

    @staticmethod
    def anchored(right: Sequence[float], other: Sequence[float]) -> Calibration:
        """Place the function by quantiles, so that a relevance means the same in every ranking.

        At 0.5, four of five right hits are kept and one of eight wrong ones; if no score does both, the wrong hits decide.
        At 0.9, two of five right hits are kept.

        Args:
            right: Scores of right first hits, at least one.
            other: Scores of first hits of questions that no passage answers, at least one.

        Raises:
            VectorError: A group is empty, or a score is NaN or infinite.
        """
        _check(right, other)
        keeping, top = (float(np.quantile(right, 1 - kept)) for kept in (_KEPT_BY_HALF, _KEPT_BY_NINE_TENTHS))
        leaving = float(np.quantile(other, 1 - _OTHERS_BY_HALF))
        middle = max(keeping, leaving)
        apart = middle - float(np.median(other))
        if keeping >= leaving:
            # right hits that share one score are all kept, as ranks are by reciprocal rank fusion
            width = max(top - middle, apart / 10)
            middle = top - width
        else:
            width = max(top - middle, apart / 2)
        if width <= 0:
            width = float(np.std([*right, *other])) or 1.0
        slope = math.log(9) / width
        return Calibration(slope, -slope * (middle - _MARGIN * width))


def _check(right: Sequence[float], other: Sequence[float]) -> None:
    for scores in (right, other):
        if isinstance(scores, str | bytes) or not isinstance(scores, Sequence | np.ndarray):
            raise VectorError(f"the scores of a calibration are {kind(scores)}, expected two lists of numbers")
        if any(isinstance(score, bool) or not isinstance(score, Real) for score in scores):
            raise VectorError(
                "a calibration cannot be fitted to what is no number; give two lists of the scores of hits"
            )
    if not len(right) or not len(other):
        raise VectorError("a calibration needs scores of relevant and of other pairs, at least one of each")
    if not (np.isfinite(right).all() and np.isfinite(other).all()):
        raise VectorError("a calibration cannot be fitted to scores that are NaN or infinite")


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

"""Statistics over questions: bootstrap confidence intervals, and McNemar's test."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpr_rag.evaluation.results import Estimate

DRAWS = 2000
_TAIL = 2.5
Key = TypeVar("Key", bound=Hashable)


class Bootstrap(Generic[Key]):
    """Bootstrap of means over questions: samples with replacement, the same for all columns.

    Percentile intervals as in Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; over questions
    as in Sakai, "Evaluating evaluation metrics based on the bootstrap" (SIGIR 2006). All columns share the samples, so the
    difference of two columns is a paired bootstrap.

    Args:
        columns: The values of all questions by measure, float64 [n] each.
        seed: Seed of the random numbers; equal seeds give equal intervals.
        draws: The number of samples.
    """

    def __init__(self, columns: Mapping[Key, NDArray[np.float64]], *, seed: int = 0, draws: int = DRAWS) -> None:
        values = np.stack(list(columns.values()), axis=1)
        count, generator = len(values), np.random.default_rng(seed)
        self._place = {key: at for at, key in enumerate(columns)}
        self._means = values.mean(axis=0)
        self._drawn = np.empty((draws, len(columns)))
        for row in self._drawn:
            times = np.bincount(generator.integers(0, count, count), minlength=count)
            row[:] = times @ values / count

    def estimate(self, key: Key) -> Estimate:
        """Mean and 95 % interval of one column."""
        at = self._place[key]
        return _estimate(self._means[at], self._drawn[:, at])

    def difference(self, first: Key, second: Key, *, among: int = 1) -> Estimate:
        """Mean and 95 % interval of the first column minus the second.

        Args:
            first: A column.
            second: The column to subtract.
            among: The number of comparisons; the interval is widened so that all hold together (Bonferroni).
        """
        left, right = self._place[first], self._place[second]
        return _estimate(self._means[left] - self._means[right], self._drawn[:, left] - self._drawn[:, right], among)


def _estimate(value: float, drawn: NDArray[np.float64], among: int = 1) -> Estimate:
    low, high = np.percentile(drawn, (_TAIL / among, 100 - _TAIL / among))
    return Estimate(float(value), float(low), float(high))


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's test (1947), computed exactly as a binomial test of the questions that differ.

    Args:
        gained: Number of questions on which only one system succeeds.
        lost: Number of questions on which only the other does.

    Returns:
        The probability of a split at least as uneven if both systems are equally good; 1.0 if no question differs.
    """
    total, less = gained + lost, min(gained, lost)
    if 2 * less == total:
        return 1.0
    # integers of any length, since 0.5 ** total is 0.0 as a float from about 1,075 questions on
    ways = term = 1
    for at in range(less):
        term = term * (total - at) // (at + 1)
        ways += term
    return float(2 * ways / 2**total)

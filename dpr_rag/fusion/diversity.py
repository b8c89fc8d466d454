"""Maximal marginal relevance (MMR): choose relevant passages that differ from those chosen before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import check_count, check_number
from dpr_rag.encoder import Vectors
from dpr_rag.errors import VectorError


@dataclass(frozen=True, slots=True)
class Diversity:
    """Parameters of maximal marginal relevance (Carbonell and Goldstein 1998).

    Attributes:
        candidates: How many of the best passages to choose from.
        balance: λ in [0, 1]: 1 counts relevance only, 0 only the difference from the passages already chosen.

    Raises:
        VectorError: A value is out of range.
    """

    candidates: int = 20
    balance: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", check_count("candidates", self.candidates, VectorError))
        object.__setattr__(self, "balance", check_number("balance", self.balance, VectorError, high=1.0))


def depth_of(k: int, diversity: Diversity | None) -> int:
    """How many of the best passages are needed for k hits, before ``diversity`` chooses among them."""
    return k if diversity is None else max(k, diversity.candidates)


def diversified(question: Vectors, passages: Vectors, k: int, balance: float) -> list[int]:
    """Choose up to k passages greedily by λ·relevance − (1−λ)·max cos(passage, one chosen before).

    The relevance is the inner product divided by the norm of the question and the mean norm of the candidates. That is on
    the scale of a cosine, and equals it if all norms are equal, but keeps the order of the scores.

    Args:
        question: Vector of the question, float32 [dim].
        passages: Vectors of the candidates, float32 [n, dim].
        k: How many to choose.
        balance: λ in [0, 1].

    Returns:
        Positions of the chosen candidates, in the order chosen; the best passage first, ties by position.
    """
    if not len(passages):
        return []
    wide = passages.astype(np.float64)
    relevance = wide @ _unit(question[None])[0] / (float(np.linalg.norm(wide, axis=1).mean()) or 1.0)
    return diversified_by(relevance, passages, k, balance)


def diversified_by(relevance: npt.NDArray[np.float64], passages: Vectors, k: int, balance: float) -> list[int]:
    """Like :func:`diversified`, with given relevances on the scale of cosines.

    Args:
        relevance: Relevance of each candidate, [n].
        passages: Vectors of the candidates, float32 [n, dim].
        k: How many to choose.
        balance: λ in [0, 1].
    """
    if not len(passages):
        return []
    normed = _unit(passages)
    chosen = [int(relevance.argmax())]
    nearest = normed @ normed[chosen[0]]
    while len(chosen) < min(k, len(passages)):
        gain = balance * relevance - (1 - balance) * nearest
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        nearest = np.maximum(nearest, normed @ normed[chosen[-1]])
    return chosen


def _unit(vectors: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1)

"""BM25 as Lucene defines it, without its rounding of lengths to one byte, over the segments of a corpus."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows
from dpr_rag.errors import VectorError
from dpr_rag.lexical.postings import Postings

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BM25:
    """The two parameters of BM25 (Robertson and Zaragoza 2009).

    Attributes:
        k1: How much a term counts that stands in a passage often; 0 looks at its presence alone.
        b: How much long passages are held back, in [0, 1]. The defaults are those of the replication of DPR's BM25
            (Ma et al. 2021).

    Raises:
        VectorError: A value is out of range.
    """

    k1: float = 0.9
    b: float = 0.4

    def __post_init__(self) -> None:
        if isinstance(self.k1, bool) or not isinstance(self.k1, int | float) or not 0 <= self.k1 < math.inf:
            raise VectorError(f"k1 is {self.k1!r}, expected a number of at least 0")
        if isinstance(self.b, bool) or not isinstance(self.b, int | float) or not 0 <= self.b <= 1:
            raise VectorError(f"b is {self.b!r}, expected a number from 0 to 1")


class Corpus:
    """All segments of one generation, with the statistics over them.

    Attributes:
        parts: Segments in ascending order of rows; passages that were deleted since are in them, and in the statistics,
            until the store folds them away, as between Lucene's merges.
    """

    def __init__(self, parts: Sequence[Postings]) -> None:
        self.parts = tuple(parts)

    @cached_property
    def rows(self) -> Rows:
        """Row numbers over all segments, ascending."""
        return np.concatenate([np.empty(0, np.int64), *(part.rows for part in self.parts)])

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float32]:
        return np.concatenate([np.empty(0, np.float32), *(part.lengths.astype(np.float32) for part in self.parts)])

    @cached_property
    def _average(self) -> float:
        return float(self._lengths.mean(dtype=np.float64)) if len(self._lengths) else 0.0

    def scores(self, question: Counter[int], bm25: BM25) -> Scores:
        """The score of every passage, 0 where no term of the question stands in it.

        A term's weight is ln(1 + (N − n + ½) / (n + ½)), where n of N passages hold it, times how often the question
        asks for it; a passage of length L that holds it f times gets f / (f + k1·(1 − b + b·L / average length)) of it.
        """
        total = np.zeros(len(self.rows))
        for term, asked in question.items():
            found = [part.of_term(term) for part in self.parts]
            holding = sum(len(places) for places, _ in found)
            if not holding:
                continue
            weight = asked * math.log1p((len(total) - holding + 0.5) / (holding + 0.5))
            first = 0
            for part, (places, counts) in zip(self.parts, found, strict=True):
                at = places + first if first else places
                often = counts.astype(np.float64)
                norm = bm25.k1 * (1 - bm25.b + bm25.b / self._average * self._lengths[at].astype(np.float64))
                total[at] += weight * often / (often + norm)
                first += len(part.rows)
        return total

    def search(
        self, question: Counter[int], k: int, bm25: BM25, alive: npt.NDArray[np.bool_] | None
    ) -> tuple[Rows, Scores]:
        """Row numbers and scores of the k best passages that hold a term of the question; ties in order of insertion.

        Args:
            question: Its terms.
            k: How many at most.
            bm25: The parameters.
            alive: Which positions may be returned, or None for all.
        """
        scores = self.scores(question, bm25)
        if alive is not None:
            scores[~alive] = 0
        places = np.flatnonzero(scores)
        if len(places) > k:
            least = np.partition(scores[places], len(places) - k)[len(places) - k]
            places = places[scores[places] >= least]
        order = np.argsort(-scores[places], kind="stable")[:k]
        return self.rows[places[order]], scores[places[order]]

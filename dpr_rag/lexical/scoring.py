"""BM25 as Lucene defines it, without its rounding of lengths to one byte, over the segments of a corpus."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import check_number
from dpr_rag.derived import Rows
from dpr_rag.errors import VectorError
from dpr_rag.lexical.postings import Halves, Places, Postings, halves

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


PHRASES = 0.5
"""Weight of phrases in the hybrid ranking where nothing else is said; on SQuAD anything from 0.3 to 0.6 does."""
_PHRASED = 200


@dataclass(frozen=True, slots=True)
class BM25:
    """The parameters of BM25 (Robertson and Zaragoza 2009), and whether neighbours count beside single words.

    Attributes:
        k1: How much a term counts that stands in a passage often; 0 looks at its presence alone.
        b: How much long passages are held back, in [0, 1]. The defaults are those of the replication of DPR's BM25
            (Ma et al. 2021).
        phrases: How much it counts that words which follow each other in the question, stop words aside, do so in the
            passage, as in Rasolofo and Savoy (2003) and Metzler and Croft (2005). 0 leaves them out, and None is 0 where
            BM25 ranks alone and 0.5 in the lexical leg of a hybrid ranking, which they make better.

    Raises:
        VectorError: A value is out of range.
    """

    k1: float = 0.9
    b: float = 0.4
    phrases: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "k1", check_number("k1", self.k1, VectorError))
        object.__setattr__(self, "b", check_number("b", self.b, VectorError, high=1.0))
        if self.phrases is not None:
            phrases = check_number("phrases", self.phrases, VectorError, more=", or None")
            object.__setattr__(self, "phrases", phrases)


class Corpus:
    """The segments of a store as they count at one generation.

    Passages that were deleted since a segment was built still lie in it. They count neither as hits nor in any of the
    statistics: N, the average length and how many passages hold a term are exactly those of the passages stored, so
    that every process gives the same scores at the same generation, whenever it built or opened its segments.

    Attributes:
        parts: Segments in ascending order of rows.
        rows: Row numbers over all segments, ascending.
        alive: Which positions count, or None for all.
    """

    def __init__(self, parts: Sequence[Postings]) -> None:
        self.parts = tuple(parts)
        sizes = [len(part.rows) for part in self.parts]
        self._starts = np.cumsum([0, *sizes])[:-1].astype(np.int32)
        self.rows: Rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in self.parts)])
        self._lengths = np.concatenate([np.empty(0, np.int32), *(part.lengths for part in self.parts)])
        self._settle(None)

    def at(self, alive: Mask | None) -> Self:
        """The same segments at a generation where only some positions count, or all."""
        other = copy(self)
        other._settle(alive)
        return other

    def _settle(self, alive: Mask | None) -> None:
        lengths = self._lengths if alive is None else self._lengths[alive]
        self.alive = alive
        self._count = len(lengths)
        self._average = int(lengths.sum(dtype=np.int64)) / max(len(lengths), 1)

    def _holding(self, term: int) -> tuple[Places, npt.NDArray[np.float64]]:
        """Positions of the passages that hold a term, and how often each does."""
        found = [part.of_term(term) for part in self.parts]
        shifted = [places + start for (places, _), start in zip(found, self._starts, strict=True)]
        at = np.concatenate([np.empty(0, np.int32), *shifted])
        often = np.concatenate([np.empty(0), *(counts for _, counts in found)])
        if self.alive is None:
            return at, often
        living = self.alive[at]
        return at[living], often[living]

    def asked(self, question: Sequence[int], bm25: BM25) -> Scored:
        """The scores of all passages for one question.

        A term's weight is ln(1 + (N − n + ½) / (n + ½)), where n of N passages hold it, times how often the question
        asks for it; a passage of length L that holds it f times gets f / (f + k1·(1 − b + b·L / average length)) of it.
        Passages without a term of the question, and those that do not count, get 0.

        Args:
            question: Its terms in their order.
            bm25: The parameters.
        """
        total = np.zeros(len(self.rows))
        weights = {}
        for term, asked in Counter(question).items():
            at, often = self._holding(term)
            if len(at):
                weights[term] = math.log1p((self._count - len(at) + 0.5) / (len(at) + 0.5))
                total[at] += asked * weights[term] * often / (often + self.norm(at, bm25))
        return Scored(self, question, bm25, total, weights)

    def norm(self, places: Places | Rows, bm25: BM25) -> Scores:
        """k1·(1 − b + b·L / average length) for passages of length L at some positions."""
        return np.asarray(bm25.k1 * (1 - bm25.b + bm25.b / self._average * self._lengths[places]))

    def sequences(self, places: Rows) -> tuple[Halves, Rows]:
        """The terms of passages at ascending positions in their order, one after another, and how many each has."""
        cuts = np.searchsorted(places, [*self._starts, len(self.rows)])
        found = [
            part.sequences(places[low:high] - start)
            for part, start, low, high in zip(self.parts, self._starts, cuts[:-1], cuts[1:], strict=True)
        ]
        return np.concatenate([spoken for spoken, _ in found]), np.concatenate([sizes for _, sizes in found])


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What the passages of a corpus score for one question.

    Attributes:
        corpus: The passages.
        question: The question's terms in their order.
        bm25: The parameters.
        by_words: The score of every passage by words alone.
        weights: The weights of the terms that any passage holds.
    """

    corpus: Corpus
    question: Sequence[int]
    bm25: BM25
    by_words: Scores
    weights: Mapping[int, float]

    def at(self, places: Rows) -> Scores:
        """The scores of passages at ascending positions, phrases included."""
        return self.by_words[places] + self._by_phrases(places)

    def at_rows(self, rows: Rows) -> Scores:
        """The same for ascending row numbers of passages that count."""
        return self.at(np.searchsorted(self.corpus.rows, rows))

    def best(self, k: int, allowed: Mask | None = None) -> tuple[Rows, Scores]:
        """Row numbers and scores of the k best passages that hold a term of the question; ties in order of insertion.

        Phrases are looked for in the 200 best by words, or the k best where they are more.

        Args:
            k: How many at most.
            allowed: Which of the positions that count may be returned, or None for all.
        """
        scores = self.by_words if allowed is None else np.where(allowed, self.by_words, 0)
        places = np.flatnonzero(scores)
        wanted = max(k, _PHRASED) if self.bm25.phrases else k
        if len(places) > wanted:
            least = np.partition(scores[places], len(places) - wanted)[len(places) - wanted]
            places = places[scores[places] >= least]
        if self.bm25.phrases:
            places = np.sort(places[np.argsort(-scores[places], kind="stable")[:wanted]])
        found = self.at(places)
        order = np.argsort(-found, kind="stable")[:k]
        return self.corpus.rows[places[order]], found[order]

    def _by_phrases(self, places: Rows) -> Scores:
        """What passages get for words that follow each other as in the question.

        Each such pair counts as a term that stands in the passage as often as its words do side by side, with the sum of
        their weights: that of a term as rare as both together would be if they met by chance.
        """
        total = np.zeros(len(places))
        known = self.weights.keys()
        pairs = {pair for pair in pairwise(self.question) if known >= {*pair}} if self.bm25.phrases else set()
        if not pairs or not len(places):
            return total
        spoken, sizes = self.corpus.sequences(places)
        owners = np.repeat(np.arange(len(places)), sizes)
        follows = owners[1:] == owners[:-1]
        for left, right in sorted(pairs):
            first, second = halves(np.array([left, right], np.uint64))
            met = (spoken[:-1] == first) & (spoken[1:] == second) & follows
            at, often = np.unique(owners[:-1][met], return_counts=True)
            weight = (self.bm25.phrases or 0.0) * (self.weights[left] + self.weights[right])
            total[at] += weight * often / (often + self.corpus.norm(places[at], self.bm25))
        return total

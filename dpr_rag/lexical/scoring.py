"""BM25 over the segments of a store, as Lucene defines it, but with exact document lengths."""

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
"""Default weight of phrases in hybrid rankings; on SQuAD, values from 0.3 to 0.6 are equally good."""
_PHRASED = 200


@dataclass(frozen=True, slots=True)
class BM25:
    """The parameters of BM25 (Robertson and Zaragoza 2009), and a weight for phrases.

    Attributes:
        k1: Saturation of term frequency, at least 0; with 0 only the presence of a term counts.
        b: Length normalisation, in [0, 1]. The defaults are those of the replication of DPR's BM25 (Ma et al. 2021).
        phrases: Weight of pairs of words that are adjacent in the question (stop words removed) and in the passage, as in
            Rasolofo and Savoy (2003) and Metzler and Croft (2005). 0 ignores them. None is 0 for ``bm25``, and 0.5 for the BM25
            leg of a hybrid ranking, which they improve.

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
    """The postings of all passages of a store at one generation.

    A segment keeps passages that were deleted after it was built. They are excluded from hits and from all statistics: the
    number of passages, their average length and the document frequencies are those of the stored passages. So all processes
    compute the same scores at the same generation, whenever they built or opened their segments.

    Attributes:
        parts: Segments in ascending order of rows.
        rows: Row numbers of all segments, ascending. A *position* is an index into this array.
        alive: Mask of the positions that are not deleted; None if none is.
    """

    def __init__(self, parts: Sequence[Postings]) -> None:
        self.parts = tuple(parts)
        sizes = [len(part.rows) for part in self.parts]
        self._starts = np.cumsum([0, *sizes])[:-1].astype(np.int32)
        self.rows: Rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in self.parts)])
        self._lengths = np.concatenate([np.empty(0, np.int32), *(part.lengths for part in self.parts)])
        self._settle(None)

    def at(self, alive: Mask | None) -> Self:
        """The same segments at another generation, with the mask of its positions that are not deleted."""
        later = copy(self)
        later._settle(alive)
        return later

    def _settle(self, alive: Mask | None) -> None:
        lengths = self._lengths if alive is None else self._lengths[alive]
        self.alive = alive
        self._count = len(lengths)
        self._average = int(lengths.sum(dtype=np.int64)) / max(len(lengths), 1)

    def _holding(self, term: int) -> tuple[Places, npt.NDArray[np.float64]]:
        """Positions of the passages that hold a term, and its frequency in each."""
        postings = [part.of_term(term) for part in self.parts]
        shifted = [places + start for (places, _), start in zip(postings, self._starts, strict=True)]
        positions = np.concatenate([np.empty(0, np.int32), *shifted])
        frequencies = np.concatenate([np.empty(0), *(counts for _, counts in postings)])
        if self.alive is None:
            return positions, frequencies
        living = self.alive[positions]
        return positions[living], frequencies[living]

    def score(self, question: Sequence[int], bm25: BM25) -> Scored:
        """Score all passages for one question.

        The weight of a term is its frequency in the question times ln(1 + (N − n + ½) / (n + ½)), where n of N passages hold
        it. A passage of length L with term frequency f gets the weight times f / (f + k1·(1 − b + b·L / average length)).
        Deleted passages, and those without a term of the question, get 0.

        Args:
            question: The question's terms, in their order.
            bm25: The parameters.
        """
        total = np.zeros(len(self.rows))
        weights = {}
        for term, count in Counter(question).items():
            positions, frequencies = self._holding(term)
            if len(positions):
                weights[term] = math.log1p((self._count - len(positions) + 0.5) / (len(positions) + 0.5))
                total[positions] += count * weights[term] * frequencies / (frequencies + self.norm(positions, bm25))
        return Scored(self, question, bm25, total, weights)

    def norm(self, places: Places | Rows, bm25: BM25) -> Scores:
        """k1·(1 − b + b·L / average length) for the passages, of length L, at some positions."""
        return np.asarray(bm25.k1 * (1 - bm25.b + bm25.b / self._average * self._lengths[places]))

    def sequences(self, places: Rows) -> tuple[Halves, Rows]:
        """The terms of the passages at ascending positions, concatenated in order of the text, and the length of each."""
        cuts = np.searchsorted(places, [*self._starts, len(self.rows)])
        parts = [
            part.sequences(places[low:high] - start)
            for part, start, low, high in zip(self.parts, self._starts, cuts[:-1], cuts[1:], strict=True)
        ]
        return np.concatenate([spoken for spoken, _ in parts]), np.concatenate([sizes for _, sizes in parts])


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The BM25 scores of all passages for one question.

    Attributes:
        corpus: The passages.
        question: The question's terms, in their order.
        bm25: The parameters.
        by_words: The score at every position, without phrases, float64 [n].
        weights: The weights of the question's terms that occur in the corpus.
    """

    corpus: Corpus
    question: Sequence[int]
    bm25: BM25
    by_words: Scores
    weights: Mapping[int, float]

    def at(self, places: Rows) -> Scores:
        """Scores at ascending positions, phrases included."""
        return self.by_words[places] + self._by_phrases(places)

    def at_rows(self, rows: Rows) -> Scores:
        """Scores at ascending row numbers, phrases included."""
        return self.at(np.searchsorted(self.corpus.rows, rows))

    def best(self, k: int, allowed: Mask | None = None) -> tuple[Rows, Scores]:
        """Row numbers and scores of the k best passages that hold a term of the question; ties in order of insertion.

        Phrases are scored for the best max(k, 200) passages by words only.

        Args:
            k: The largest number of passages to return.
            allowed: Mask of the positions that may be returned; None for all.
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
        """The scores of phrases: pairs of words that are adjacent in the question and in the passage.

        A pair is scored like a term. Its frequency is how often the two words are adjacent, and its weight the sum of theirs:
        the weight of a term as rare as two independent words are together.
        """
        total = np.zeros(len(places))
        known = self.weights.keys()
        pairs = {pair for pair in pairwise(self.question) if known >= {*pair}} if self.bm25.phrases else set()
        if not pairs or not len(places):
            return total
        terms, sizes = self.corpus.sequences(places)
        owners = np.repeat(np.arange(len(places)), sizes)
        follows = owners[1:] == owners[:-1]
        for left, right in sorted(pairs):
            first, second = halves(np.array([left, right], np.uint64))
            adjacent = (terms[:-1] == first) & (terms[1:] == second) & follows
            at, frequencies = np.unique(owners[:-1][adjacent], return_counts=True)
            weight = (self.bm25.phrases or 0.0) * (self.weights[left] + self.weights[right])
            total[at] += weight * frequencies / (frequencies + self.corpus.norm(places[at], self.bm25))
        return total

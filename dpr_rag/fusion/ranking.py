"""How passages are ranked: by one leg or by both, and how two ranked lists become one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import check_count, check_instance, check_number
from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import VectorError, unknown
from dpr_rag.lexical import BM25, PHRASES

Mode = Literal["dense", "bm25", "hybrid"]
Fusion = Literal["weighted", "rrf"]
Scores = npt.NDArray[np.float64]
RANK_CONSTANT = 60
# From 4 to 6 all do; measured on SQuAD, SQuAD as keywords, FairytaleQA, PubMedQA, Natural Questions and TriviaQA.
_SPREADS = 5.0
_LEAST = 1.0
"""Of a best BM25 score, also where no word is found: about what one word gets that stands in a third of all passages."""
_FLAT = 1e-4
_OTHER_MODES = {
    **dict.fromkeys(
        ("sparse", "lexical", "keyword", "keywords", "text", "text_search", "fulltext", "fts", "words"), "bm25"
    ),
    **dict.fromkeys(("default", "vector", "vectors", "similarity", "semantic", "embedding", "knn", "ann"), "dense"),
    **dict.fromkeys(("both", "mixed", "ensemble", "fusion", "rrf", "semantic_hybrid"), "hybrid"),
}
_OTHER_FUSIONS = {
    **dict.fromkeys(("reciprocal_rank", "reciprocal_rank_fusion", "reciprocal_rerank", "ranks", "rank"), "rrf"),
    **dict.fromkeys(("linear", "sum", "alpha", "relative_score", "dist_based_score", "convex"), "weighted"),
}


@dataclass(frozen=True, slots=True)
class Ranking:
    """How passages are ranked.

    Attributes:
        mode: ``dense`` by inner product, ``bm25`` by words, ``hybrid`` by both.
        weight: For ``hybrid``: λ of BM25 + λ · inner product (paper, section 5) over the best of both legs, with both
            scores of every passage, also where only one leg brought it. None takes the λ that the store was tuned to, or else
            one for each question, see :meth:`Legs.weight`, and scores are inner product + BM25 / λ.
        fusion: For ``hybrid``: ``weighted`` as above, or ``rrf`` for reciprocal rank fusion, Σ 1 / (60 + rank) (Cormack et
            al. 2009), which looks at ranks alone.
        candidates: For ``hybrid``: how many of the best passages each leg brings; never fewer than hits are wanted.
        bm25: Parameters of BM25.
        balance: For ``hybrid`` where λ is found for each question: how often that λ counts. Above 1 the inner products say
            more than BM25, below 1 less.

    Raises:
        VectorError: A value is out of range.
    """

    mode: Mode = "dense"
    weight: float | None = None
    fusion: Fusion = "weighted"
    candidates: int = 200
    bm25: BM25 = field(default_factory=BM25)
    balance: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in get_args(Mode):
            raise VectorError(unknown("mode", self.mode, get_args(Mode), _OTHER_MODES))
        weight = self.weight
        if weight is not None:
            more = ", or None for one that fits the question"
            object.__setattr__(self, "weight", check_number("weight", weight, VectorError, more=more))
        if not isinstance(self.fusion, str) or self.fusion not in get_args(Fusion):
            raise VectorError(unknown("fusion", self.fusion, get_args(Fusion), _OTHER_FUSIONS))
        if weight is not None and (self.mode != "hybrid" or self.fusion == "rrf"):
            raise VectorError(
                f"weight goes with mode='hybrid' and fusion='weighted', not with {self.mode!r}, {self.fusion!r}"
            )
        if self.fusion == "rrf" and self.mode != "hybrid":
            raise VectorError(f"fusion goes with mode='hybrid', not with {self.mode!r}")
        object.__setattr__(self, "candidates", check_count("candidates", self.candidates, VectorError))
        check_instance("bm25", self.bm25, BM25, VectorError)
        object.__setattr__(self, "balance", check_number("balance", self.balance, VectorError))
        if not self.balance:
            raise VectorError("balance is 0, expected a positive number; mode='bm25' leaves the inner products out")
        if self.balance != 1 and not self.wants_weight:
            raise VectorError(
                "balance goes with mode='hybrid' and fusion='weighted' without a weight; leave one of them out"
            )

    @staticmethod
    def of(mode: Mode | None = None, weight: float | None = None, fusion: Fusion | None = None) -> Ranking | None:
        """The ranking that options say, the rest by default; None where they say nothing.

        Raises:
            VectorError: A value is out of range, or goes with another mode.
        """
        if mode is None and (weight is not None or fusion is not None):
            raise VectorError("weight goes with mode='hybrid', and so does fusion; pass mode='hybrid' beside them")
        return None if mode is None else Ranking(mode, weight, "weighted" if fusion is None else fusion)

    def __str__(self) -> str:
        told = self.mode if self.mode != "hybrid" else f"hybrid {self._fused}"
        if self.bm25 == BM25() or self.mode == "dense":
            return told
        return f"{told} (k1 {self.bm25.k1:g}, b {self.bm25.b:g}, phrases {self.words.phrases:g})"

    @property
    def _fused(self) -> str:
        if self.fusion == "rrf":
            return "by reciprocal rank fusion"
        if self.weight is not None:
            return f"with λ = {self.weight:.4g}"
        return "with λ for each question" + (f", times {self.balance:.4g}" if self.balance != 1 else "")

    @property
    def words(self) -> BM25:
        """The parameters of BM25 with the weight of phrases that goes with the mode."""
        if self.bm25.phrases is not None:
            return self.bm25
        return replace(self.bm25, phrases=PHRASES if self.mode == "hybrid" else 0.0)

    @property
    def needs_vectors(self) -> bool:
        """Whether the question is to be encoded."""
        return self.mode != "bm25"

    @property
    def wants_weight(self) -> bool:
        """Whether λ is left to the store, or to each question."""
        return self.mode == "hybrid" and self.fusion == "weighted" and self.weight is None

    @property
    def needs_words(self) -> bool:
        """Whether the question's words count."""
        return self.mode != "dense"


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Passages in their order, with what each leg gave them.

    Attributes:
        rows: Row numbers.
        scores: What they are ranked by.
        dense: Inner products, NaN where vectors do not count.
        bm25: BM25 scores, NaN where words do not count.
    """

    rows: Rows
    scores: Scores
    dense: Scores
    bm25: Scores

    @staticmethod
    def of_dense(rows: Rows, scores: Scores) -> Ranked:
        """The dense leg alone."""
        return Ranked(rows, scores, scores, np.full(len(rows), np.nan))

    @staticmethod
    def of_bm25(rows: Rows, scores: Scores) -> Ranked:
        """The lexical leg alone."""
        return Ranked(rows, scores, np.full(len(rows), np.nan), scores)

    def take(self, places: npt.NDArray[np.intp] | slice | list[int]) -> Ranked:
        """Some of the passages, in the order of ``places``."""
        return Ranked(self.rows[places], self.scores[places], self.dense[places], self.bm25[places])


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """What both legs of a hybrid ranking bring for one question.

    Attributes:
        dense: The dense leg's list, best first.
        bm25: The lexical leg's list, best first.
        both: The passages of both lists with both scores of each, in order of insertion, not yet ranked.
        spread: The standard deviation of the question's inner products with passages drawn at random.
    """

    dense: Ranked
    bm25: Ranked
    both: Ranked
    spread: float

    def ranked(self, ranking: Ranking) -> Ranked:
        """All of them, best first, by BM25 + λ · inner product, or by reciprocal ranks.

        Where λ is found for the question, scores are over λ: the inner product, and BM25's share beside it. So they compare
        between questions as inner products do, however many words a question has, and a threshold means the same to all.
        Ties, which are frequent among reciprocal ranks, come by inner product, then in order of insertion.
        """
        rows, dense, bm25 = self.both.rows, self.both.dense, self.both.bm25
        if ranking.fusion == "rrf":
            scores = _reciprocal(rows, self.dense.rows) + _reciprocal(rows, self.bm25.rows)
        else:
            weight = self.weight(ranking)
            scores = bm25 + weight * dense
            if ranking.weight is None:
                scores /= weight
        return Ranked(rows, scores, dense, bm25).take(np.lexsort((rows, -dense, -scores)))

    def weight(self, ranking: Ranking) -> float:
        """λ: what the ranking says, or else what brings both legs of this question to one scale.

        That is the highest BM25 score over some standard deviations of the question's inner products: BM25 counts as a share of
        the best that these words reach, as in the convex combination of Bruch, Gai and Ingber (2023), whose constants are
        for cosines. So long questions of rare words, whose scores of BM25 are many times those of short ones, do not silence
        the encoder, whatever the scale of its inner products is.
        """
        if ranking.weight is not None:
            return ranking.weight
        largest, spread = float(np.abs(self.both.dense).max(initial=0.0)), self.spread
        if not spread > _FLAT * largest:  # one passage, or copies of one: nothing to scale by
            spread = largest or 1.0
        return ranking.balance * max(float(self.both.bm25.max(initial=0.0)), _LEAST) / (_SPREADS * spread)


def spread_of(question: Vectors, drawn: Scores | None) -> float:
    """The standard deviation of a question's inner products with passages drawn at random; NaN where none are.

    Question by question, as what a product of matrices gives depends on how many they are.

    Args:
        question: float32 [dim].
        drawn: The passages' vectors, float64 [n, dim], or None.
    """
    return math.nan if drawn is None or not len(drawn) else float((drawn @ question.astype(np.float64)).std())


def _reciprocal(rows: Rows, ranked: Rows) -> Scores:
    found = np.zeros(len(rows))
    found[np.searchsorted(rows, ranked)] = 1 / (RANK_CONSTANT + np.arange(1, len(ranked) + 1))
    return found

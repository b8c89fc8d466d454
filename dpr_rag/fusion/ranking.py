"""``Ranking``, and the fusion of the two legs of a hybrid search: the dense list and the BM25 list."""

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
from dpr_rag.faces import ByFace
from dpr_rag.lexical import BM25, PHRASES

Mode = Literal["dense", "bm25", "hybrid"]
Fusion = Literal["weighted", "rrf"]
Scores = npt.NDArray[np.float64]
RANK_CONSTANT = 60
# From 4 to 6 all do; measured on SQuAD, SQuAD as keywords, FairytaleQA, PubMedQA, Natural Questions and TriviaQA.
_SPREADS = 5.0
_LEAST = 1.0
"""Lower bound of the best BM25 score, also where no word is found: about that of a word in a third of the passages."""
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
    """How to score and rank passages.

    Attributes:
        mode: ``dense`` ranks by inner product, ``bm25`` by BM25, ``hybrid`` by both.
        weight: For ``hybrid``: λ in BM25 + λ · inner product (DPR paper, section 5). It ranks the union of the best passages
            of both legs, each with both scores, even if only one leg found it. None takes the λ that the store was tuned to,
            or else finds one per question, see :meth:`Legs.weight`; scores are then inner product + BM25 / λ.
        fusion: For ``hybrid``: ``weighted`` as above, or ``rrf`` for reciprocal rank fusion, Σ 1 / (60 + rank) (Cormack et
            al. 2009), which uses the ranks alone.
        candidates: For ``hybrid``: how many of its best passages each leg contributes; at least ``k`` in any case.
        bm25: Parameters of BM25.
        balance: For ``hybrid`` with λ found per question: a factor on that λ. Above 1 the inner products weigh more, below 1
            less.

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
                ByFace(
                    "weight goes with mode='hybrid' and fusion='weighted'",
                    cli="--weight goes with --mode hybrid and --fusion weighted",
                    page="weight goes with hybrid and weighted",
                )
                + f", not with {self.mode!r}, {self.fusion!r}"
            )
        if self.fusion == "rrf" and self.mode != "hybrid":
            raise VectorError(
                ByFace(
                    "fusion goes with mode='hybrid'",
                    cli="--fusion goes with --mode hybrid",
                    page="fusion goes with hybrid",
                )
                + f", not with {self.mode!r}"
            )
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
        """The ranking with these options, the rest by default; None if all are None.

        Raises:
            VectorError: A value is out of range, or goes with another mode.
        """
        if mode is None and (weight is not None or fusion is not None):
            raise VectorError(
                ByFace(
                    "weight goes with mode='hybrid', and so does fusion; pass mode='hybrid' beside them",
                    cli="--weight goes with --mode hybrid, and so does --fusion; pass --mode hybrid beside them",
                    page="weight goes with hybrid, and so does fusion",
                )
            )
        return None if mode is None else Ranking(mode, weight, "weighted" if fusion is None else fusion)

    def __str__(self) -> str:
        text = self.mode if self.mode != "hybrid" else f"hybrid {self._fusion_text}"
        if self.bm25 == BM25() or self.mode == "dense":
            return text
        return f"{text} (k1 {self.bm25.k1:g}, b {self.bm25.b:g}, phrases {self.words.phrases:g})"

    @property
    def _fusion_text(self) -> str:
        if self.fusion == "rrf":
            return "by reciprocal rank fusion"
        if self.weight is not None:
            return f"with λ = {self.weight:.4g}"
        return "with λ for each question" + (f", times {self.balance:.4g}" if self.balance != 1 else "")

    @property
    def words(self) -> BM25:
        """The parameters of BM25, with the mode's default weight of phrases where none is given."""
        if self.bm25.phrases is not None:
            return self.bm25
        return replace(self.bm25, phrases=PHRASES if self.mode == "hybrid" else 0.0)

    @property
    def needs_vectors(self) -> bool:
        """Whether the ranking uses question vectors."""
        return self.mode != "bm25"

    @property
    def wants_weight(self) -> bool:
        """Whether λ is open: tuned in the store, or found per question."""
        return self.mode == "hybrid" and self.fusion == "weighted" and self.weight is None

    @property
    def needs_words(self) -> bool:
        """Whether the ranking uses the question's words."""
        return self.mode != "dense"


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A ranked list of passages, with their scores in each leg; all arrays are [n].

    Attributes:
        rows: Row numbers of the passages.
        scores: The scores that they are ranked by.
        dense: Inner products; NaN if the ranking uses no vectors.
        bm25: BM25 scores; NaN if the ranking uses no words.
    """

    rows: Rows
    scores: Scores
    dense: Scores
    bm25: Scores

    @staticmethod
    def of_dense(rows: Rows, scores: Scores) -> Ranked:
        """A list of the dense leg alone."""
        return Ranked(rows, scores, scores, np.full(len(rows), np.nan))

    @staticmethod
    def of_bm25(rows: Rows, scores: Scores) -> Ranked:
        """A list of the BM25 leg alone."""
        return Ranked(rows, scores, np.full(len(rows), np.nan), scores)

    def take(self, places: npt.NDArray[np.intp] | slice | list[int]) -> Ranked:
        """The passages at these positions of the list, in this order."""
        return Ranked(self.rows[places], self.scores[places], self.dense[places], self.bm25[places])


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """The two ranked lists of a hybrid search for one question, and their union.

    Attributes:
        dense: The list by inner product, best first.
        bm25: The list by BM25, best first.
        both: The union of the two, each passage with both scores, in order of insertion; not ranked.
        spread: Standard deviation of the question's inner products with a random sample of passages.
    """

    dense: Ranked
    bm25: Ranked
    both: Ranked
    spread: float

    def ranked(self, ranking: Ranking) -> Ranked:
        """The union ranked by BM25 + λ · inner product, or by reciprocal rank fusion.

        Where λ is found per question, scores are divided by λ, which leaves inner product + BM25 / λ. They are then comparable
        between questions of different length, as inner products are, and one threshold serves all questions. Ties, frequent
        in reciprocal rank fusion, are broken by inner product, then by order of insertion.
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
        """λ: the ranking's own, or else the one that brings both legs of this question to one scale.

        The latter is the question's highest BM25 score divided by five standard deviations of its inner products. BM25 scores
        thus count as a fraction of the best one for these words, as in the convex combination of Bruch, Gai and Ingber (2023),
        whose constants are for cosines. Otherwise BM25, which gives long questions of rare words many times the scores of
        short ones, would outweigh the inner products, whatever their scale.
        """
        if ranking.weight is not None:
            return ranking.weight
        largest, spread = float(np.abs(self.both.dense).max(initial=0.0)), self.spread
        if not spread > _FLAT * largest:  # one passage, or copies of one: nothing to scale by
            spread = largest or 1.0
        return ranking.balance * max(float(self.both.bm25.max(initial=0.0)), _LEAST) / (_SPREADS * spread)


def spread_of(question: Vectors, drawn: Scores | None) -> float:
    """Standard deviation of a question's inner products with a random sample of passages; NaN without a sample.

    Computed for one question at a time: the rounding of a matrix product depends on the number of its rows.

    Args:
        question: Vector of the question, float32 [dim].
        drawn: Vectors of the sample, float64 [n, dim], or None.
    """
    return math.nan if drawn is None or not len(drawn) else float((drawn @ question.astype(np.float64)).std())


def _reciprocal(rows: Rows, ranked: Rows) -> Scores:
    scores = np.zeros(len(rows))
    scores[np.searchsorted(rows, ranked)] = 1 / (RANK_CONSTANT + np.arange(1, len(ranked) + 1))
    return scores

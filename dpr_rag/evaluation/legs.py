"""The two ranked lists of a hybrid search for labelled questions, kept so that tuning can try every fusion of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpr_rag.corpora import Question
from dpr_rag.evaluation.judging import is_right
from dpr_rag.evaluation.results import By
from dpr_rag.evaluation.tunable import TunableStore
from dpr_rag.fusion import Legs, Ranked, Ranking

_BATCH = 64
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedLegs:
    """The lists of one question, judged.

    Attributes:
        legs: The two lists of a hybrid search, and their union.
        alone: The list of BM25 as it ranks alone, without phrases unless the ranking asks for them.
        right: Row numbers of the right passages.
    """

    legs: Legs
    alone: Ranked
    right: NDArray[np.int64]

    def ranked(self, ranking: Ranking) -> Ranked:
        """The list that a store would return for a ranking."""
        if ranking.mode == "dense":
            return self.legs.dense
        return self.alone if ranking.mode == "bm25" else self.legs.ranked(ranking)

    def first(self, ranking: Ranking) -> float:
        """Rank of the first right passage, from 1; infinity if there is none."""
        places = np.flatnonzero(self._judged(self.ranked(ranking)))
        return float(places[0] + 1) if len(places) else np.inf

    def scores(self, ranking: Ranking, k: int) -> tuple[Scores, Scores]:
        """The scores of the right and of the wrong passages among the first k."""
        ranked = self.ranked(ranking).take(slice(k))
        right = self._judged(ranked)
        return ranked.scores[right], ranked.scores[~right]

    def _judged(self, ranked: Ranked) -> NDArray[np.bool_]:
        return np.isin(ranked.rows, self.right)


def read_legs(
    store: TunableStore,
    questions: Sequence[Question],
    base: Ranking,
    by: By,
    *,
    regex: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[JudgedLegs]:
    """Retrieve and judge the lists of each question.

    Args:
        store: An open store with an encoder.
        questions: Labelled questions.
        base: A hybrid ranking: the number of candidates per leg, and the parameters of BM25.
        by: What makes a passage right.
        regex: Whether answers are regular expressions.
        progress: Called with the number of questions done so far.
    """
    judged: list[JudgedLegs] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        candidates = store.candidates([question.question for question in batch], base)
        for question, legs, alone in zip(batch, candidates.legs, candidates.alone, strict=True):
            rows = np.union1d(legs.both.rows, alone.rows).tolist()
            right = [row for row in rows if is_right(question, candidates.passages[row], by, regex=regex)]
            judged.append(JudgedLegs(legs, alone, np.array(right, np.int64)))
        if progress is not None:
            progress(len(judged))
    return judged


def spreads(legs: Sequence[JudgedLegs]) -> float:
    """The ratio of the standard deviations of BM25 scores and inner products: the scale of λ."""
    dense, words = (
        _spread([question.legs.dense for question in legs]),
        _spread([question.legs.bm25 for question in legs]),
    )
    return words / dense if dense > 0 and words > 0 else 1.0


def _spread(lists: Sequence[Ranked]) -> float:
    return float(np.mean([np.std(ranked.scores) if len(ranked.scores) else 0.0 for ranked in lists]))

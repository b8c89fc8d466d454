"""What both legs of a store bring for labelled questions, kept so that any fusion of them can be judged afterwards."""

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
    """What both legs bring for one question.

    Attributes:
        legs: Those of a hybrid ranking.
        alone: The list of BM25 where it ranks alone.
        right: Row numbers of the passages that are right.
    """

    legs: Legs
    alone: Ranked
    right: NDArray[np.int64]

    def ranked(self, ranking: Ranking) -> Ranked:
        """The list that a ranking makes of them, as a store would."""
        if ranking.mode == "dense":
            return self.legs.dense
        return self.alone if ranking.mode == "bm25" else self.legs.ranked(ranking)

    def first(self, ranking: Ranking) -> float:
        """Rank of the first right passage, from 1, or infinity."""
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
    """Ask a store for the lists of each question.

    Args:
        store: An open store with an encoder.
        questions: Labelled questions.
        base: How many candidates each leg brings, and the parameters of BM25.
        by: What makes a passage right.
        regex: Whether answers are regular expressions.
        progress: Called with the number of questions asked so far.
    """
    found: list[JudgedLegs] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        brought = store.candidates([one.question for one in batch], base)
        for question, legs, alone in zip(batch, brought.legs, brought.alone, strict=True):
            rows = np.union1d(legs.both.rows, alone.rows).tolist()
            right = [row for row in rows if is_right(question, brought.passages[row], by, regex=regex)]
            found.append(JudgedLegs(legs, alone, np.array(right, np.int64)))
        if progress is not None:
            progress(len(found))
    return found


def spreads(legs: Sequence[JudgedLegs]) -> float:
    """How far the scores of BM25 spread, as a multiple of how far the inner products do: the scale on which λ lies."""
    dense, words = _spread([one.legs.dense for one in legs]), _spread([one.legs.bm25 for one in legs])
    return words / dense if dense > 0 and words > 0 else 1.0


def _spread(lists: Sequence[Ranked]) -> float:
    return float(np.mean([np.std(one.scores) if len(one.scores) else 0.0 for one in lists]))

"""What both legs of a store bring for labelled questions, kept so that any fusion of them can be judged afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpr_rag.corpora import Question
from dpr_rag.evaluation.judging import judged
from dpr_rag.evaluation.results import By
from dpr_rag.fusion import Ranked, Ranking, fused
from dpr_rag.passages import Hit
from dpr_rag.store import PassageStore

_BATCH = 64
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """The ranked lists of one question; passages are numbered.

    Attributes:
        dense: The dense list, best first.
        bm25: The lexical list of a hybrid ranking, best first.
        alone: The list of BM25 where it ranks alone.
        right: Whether each passage is right, bool [n].
        depth: How many passages each leg was asked for.
    """

    dense: Ranked
    bm25: Ranked
    alone: Ranked
    right: NDArray[np.bool_]
    depth: int

    def ranked(self, ranking: Ranking) -> Ranked:
        """The list that a ranking makes of them, as a store would."""
        if ranking.mode == "dense":
            return self.dense
        return self.alone if ranking.mode == "bm25" else fused(self.dense, self.bm25, ranking.weight, self.depth)

    def first(self, ranking: Ranking) -> float:
        """Rank of the first right passage, from 1, or infinity."""
        places = np.flatnonzero(self.right[self.ranked(ranking).rows])
        return float(places[0] + 1) if len(places) else np.inf

    def scores(self, ranking: Ranking, k: int) -> tuple[Scores, Scores]:
        """The scores of the right and of the wrong passages among the first k."""
        ranked = self.ranked(ranking).take(slice(k))
        right = self.right[ranked.rows]
        return ranked.scores[right], ranked.scores[~right]


def read_legs(
    store: PassageStore,
    questions: Sequence[Question],
    base: Ranking,
    by: By,
    *,
    regex: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Legs]:
    """Ask a store for the lists of each question.

    Args:
        store: An open store with an encoder.
        questions: Labelled questions.
        base: How many candidates each leg brings, and the parameters of BM25.
        by: What makes a passage right.
        regex: Whether answers are regular expressions.
        progress: Called with the number of questions asked so far.
    """
    modes = Ranking(), Ranking("bm25", bm25=base.words), Ranking("bm25", bm25=base.bm25)
    found: list[Legs] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        texts = [one.question for one in batch]
        lists = {mode: store.rank(texts, base.candidates, ranking=mode) for mode in dict.fromkeys(modes)}
        each = zip(batch, *(lists[mode] for mode in modes), strict=True)
        found += [_legs(one, hits, by, regex=regex, depth=base.candidates) for one, *hits in each]
        if progress is not None:
            progress(len(found))
    return found


def _legs(question: Question, lists: Sequence[Sequence[Hit]], by: By, *, regex: bool, depth: int) -> Legs:
    passages = {hit.passage.id: hit for hits in lists for hit in hits}
    numbers = {name: at for at, name in enumerate(passages)}
    right = judged(question, tuple(passages.values()), by, regex=regex).right
    places = [np.array([numbers[hit.passage.id] for hit in hits], np.int64) for hits in lists]
    scores = [np.array([hit.score for hit in hits], np.float64) for hits in lists]
    dense, bm25, alone = zip(places, scores, strict=True)
    ranked = Ranked.of_dense(*dense), Ranked.of_bm25(*bm25), Ranked.of_bm25(*alone)
    return Legs(*ranked, np.array(right, bool), depth)


def spreads(legs: Sequence[Legs]) -> float:
    """How far the scores of BM25 spread, as a multiple of how far the inner products do: the scale on which λ lies."""
    dense, words = _spread([one.dense for one in legs]), _spread([one.bm25 for one in legs])
    return words / dense if dense > 0 and words > 0 else 1.0


def _spread(lists: Sequence[Ranked]) -> float:
    return float(np.mean([np.std(one.scores) if len(one.scores) else 0.0 for one in lists]))

"""A calibration without labelled questions: stretches of stored passages stand in for questions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Calibration
from dpr_rag.passages import Passage
from dpr_rag.store import PassageStore

_PASSAGES = 64
_WORDS = 12
# In a store of few passages these stand for questions that none of them answers.
_ELSEWHERE = (
    "what time does the last train leave on sundays",
    "how long should rice be boiled",
    "which team won the match yesterday evening",
    "why does my back hurt after sitting",
    "how do I remove a stain from a carpet",
    "who painted the ceiling of the chapel",
    "what is the boiling point of ethanol",
    "where can I renew a driving licence",
)


def self_sampled(store: PassageStore) -> Calibration:
    """Fit a calibration to scores that a store gives to itself.

    Each of up to 64 passages is asked for by a stretch of its own words, as in the inverse cloze task (Lee et al. 2019):
    its score is that of a relevant pair, the best score of another one among them is not. Against the best, since what a
    threshold has to tell apart are hits, not passages at random. Where the store has no encoder, the stored vectors ask
    for themselves. The draws are the same as long as the store does not change.
    """
    passages, vectors = store.sample(_PASSAGES)
    if not passages:
        return Calibration()
    asked = vectors if store.encoder is None else store.encode_questions([_stretch(one) for one in passages])
    scores = _scores(asked, vectors)
    own = np.eye(len(passages), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(passages) > 1 else []
    return Calibration.fit(scores[own].tolist(), [*others, *_scores_elsewhere(store, vectors)] or [0.0])


def _scores_elsewhere(store: PassageStore, vectors: Vectors) -> list[float]:
    if store.encoder is None:
        return []
    best: list[float] = _scores(store.encode_questions(_ELSEWHERE), vectors).max(axis=1).tolist()
    return best


def _scores(questions: Vectors, passages: Vectors) -> npt.NDArray[np.float64]:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def _stretch(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    words = passage.text.split()
    length = min(_WORDS, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return " ".join(words[start : start + length]) or passage.title or passage.id

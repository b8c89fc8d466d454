"""A calibration without labelled questions: stretches of stored passages stand in for questions."""

from __future__ import annotations

import numpy as np

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

    Each of up to 64 passages is asked for by a stretch of twelve of its own words, as in the inverse cloze task (Lee et
    al. 2019); its score is that of a relevant pair, those of all others are not. Where the store has no encoder, the
    stored vectors ask for themselves. The draws are the same as long as the store does not change.
    """
    passages, vectors = store.sample(_PASSAGES)
    if not passages:
        return Calibration()
    asked = vectors if store.encoder is None else store.encode_questions([_stretch(one) for one in passages])
    scores = asked.astype(np.float64) @ vectors.T.astype(np.float64)
    own = np.eye(len(passages), dtype=bool)
    return Calibration.fit(scores[own].tolist(), [*scores[~own], *_scores_elsewhere(store, vectors)])


def _scores_elsewhere(store: PassageStore, vectors: Vectors) -> list[float]:
    if store.encoder is None:
        return [] if len(vectors) > 1 else [0.0]
    asked = store.encode_questions(_ELSEWHERE)
    return (asked.astype(np.float64) @ vectors.T.astype(np.float64)).ravel().tolist()


def _stretch(passage: Passage) -> str:
    words = passage.text.split()
    start = max(0, (len(words) - _WORDS) // 2)
    return " ".join(words[start : start + _WORDS]) or passage.title or passage.id

"""A calibration without labelled questions: stretches of stored passages stand in for questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Calibration
from dpr_rag.passages import Passage
from dpr_rag.store.engine import Engine

_PASSAGES = 64
_WORDS = 12
# They stand for questions that no passage answers; in a store of one passage there are no others.
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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration, and what it was fitted to."""

    calibration: Calibration
    passages: int
    model: str


def calibration(engine: Engine) -> Calibration:
    """The calibration of a store, fitted where there is none that fits; see ``PassageStore.calibration``."""
    with engine.calibrating:
        count = engine.state().passages
        model = "" if engine.encoder is None else engine.encoder.fingerprint
        known = engine.fitted
        if isinstance(known, Fitted) and known.model == model and known.passages / 2 <= count <= 2 * known.passages:
            return known.calibration
        fitted = Fitted(_self_sampled(engine), count, model)
        engine.fitted = fitted
        return fitted.calibration


def _self_sampled(engine: Engine) -> Calibration:
    """Fit to scores that the store gives to itself.

    Each of up to 64 passages is asked for by a stretch of its own words, as in the inverse cloze task (Lee et al. 2019):
    its score is that of a relevant pair, the best score of another one among them is not. Against the best, since what a
    threshold has to tell apart are hits, not passages at random. Where the store has no encoder, the stored vectors ask
    for themselves. The draws are the same as long as the store does not change.
    """
    passages, vectors = engine.sample(_PASSAGES)
    if not passages:
        return Calibration()
    asked = vectors if engine.encoder is None else engine.encode_questions([_stretch(one) for one in passages])
    scores = _scores(asked, vectors)
    own = np.eye(len(passages), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(passages) > 1 else []
    elsewhere = [] if engine.encoder is None else _scores(engine.encode_questions(_ELSEWHERE), vectors).max(axis=1)
    return Calibration.fit(scores[own].tolist(), [*others, *elsewhere] or [0.0])


def _scores(questions: Vectors, passages: Vectors) -> npt.NDArray[np.float64]:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def _stretch(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    words = passage.text.split()
    length = min(_WORDS, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return " ".join(words[start : start + length]) or passage.title or passage.id

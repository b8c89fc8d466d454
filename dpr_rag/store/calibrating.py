"""A calibration without labelled questions: stretches of stored passages stand in for questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Calibration, Ranking, fused_matrix
from dpr_rag.fusion.ranking import Scores
from dpr_rag.passages import Passage
from dpr_rag.storage.state import State
from dpr_rag.store.choosing import of_state
from dpr_rag.store.engine import Engine
from dpr_rag.store.ranking import scores_of

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
    language: str


def calibration(engine: Engine, ranking: Ranking, state: State) -> Calibration:
    """The calibration of a ranking, fitted where there is none that fits; see ``PassageStore.calibration_of``."""
    tuned = of_state(engine, state)
    if tuned is not None and ranking in tuned.calibrations:
        return tuned.calibrations[ranking]
    model = "" if engine.encoder is None else engine.encoder.fingerprint
    if (known := _fitting(engine, ranking, state, model)) is not None:
        return known
    with engine.calibrating:
        if (known := _fitting(engine, ranking, state, model)) is not None:
            return known
        fitted = Fitted(_self_sampled(engine, ranking), state.passages, model, state.language)
        engine.fitted[ranking] = fitted
        return fitted.calibration


def _fitting(engine: Engine, ranking: Ranking, state: State, model: str) -> Calibration | None:
    """The calibration fitted before, where the store has neither doubled nor halved nor changed encoder or language since."""
    known = engine.fitted.get(ranking)
    if not isinstance(known, Fitted) or (known.model, known.language) != (model, state.language):
        return None
    return known.calibration if known.passages / 2 <= state.passages <= 2 * known.passages else None


def _self_sampled(engine: Engine, ranking: Ranking) -> Calibration:
    """Fit to scores that the store gives to itself.

    Each of up to 64 passages is asked for by a stretch of its own words, as in the inverse cloze task (Lee et al. 2019):
    its score is that of a relevant pair, the best score of another one among them is not. Against the best, since what a
    threshold has to tell apart are hits, not passages at random. Where the store has no encoder, the stored vectors ask
    for themselves. The draws are the same as long as the store does not change.
    """
    rows, passages, vectors = engine.sample(_PASSAGES)
    if ranking.needs_vectors:
        engine.check_model(engine.state())  # another process may have re-encoded since the store was opened
    if not passages:
        return Calibration()
    if engine.encoder is None and not ranking.needs_words:
        scores, elsewhere = _products(vectors, vectors), np.empty((0, 1))
    else:
        asked = [_stretch(one) for one in passages]
        scores, elsewhere = (_scores(engine, ranking, texts, rows, vectors) for texts in (asked, _ELSEWHERE))
    own = np.eye(len(passages), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(passages) > 1 else []
    return Calibration.fit(scores[own].tolist(), [*others, *elsewhere.max(axis=1).tolist()] or [0.0])


def _scores(engine: Engine, ranking: Ranking, texts: Sequence[str], rows: Rows, vectors: Vectors) -> Scores:
    """What the ranking gives to questions with the sampled passages, [n, m]."""
    dense = _products(engine.encode_questions(texts), vectors) if ranking.needs_vectors else None
    words = scores_of(engine, texts, rows, ranking.bm25) if ranking.needs_words else None
    return fused_matrix(dense, words, ranking.weight)


def _products(questions: Vectors, passages: Vectors) -> Scores:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def _stretch(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    words = passage.text.split()
    length = min(_WORDS, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return " ".join(words[start : start + length]) or passage.title or passage.id

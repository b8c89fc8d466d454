"""What scores mean, without labelled questions: stretches of stored passages stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Calibration, Ranking, fused_matrix
from dpr_rag.fusion.ranking import Scores
from dpr_rag.lexical import BM25
from dpr_rag.lexical.unspaced import written
from dpr_rag.passages import Passage
from dpr_rag.storage.state import State
from dpr_rag.store.choosing import of_state
from dpr_rag.store.engine import Engine
from dpr_rag.store.ranking import scores_of

_PASSAGES = 64
_WORDS = 12
_FEWEST = 3
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
    """What was fitted to a store's own passages, and what they were then."""

    value: Calibration | float
    passages: int
    model: str
    language: str

    def holds(self, state: State, model: str) -> bool:
        """Whether the store has neither doubled nor halved nor changed encoder or language since."""
        same = (self.model, self.language) == (model, state.language)
        return same and self.passages / 2 <= state.passages <= 2 * self.passages


def calibration(engine: Engine, ranking: Ranking, state: State) -> Calibration:
    """The calibration of a ranking, fitted where there is none that fits; see ``PassageStore.calibration_of``."""
    tuned = of_state(engine, state)
    if tuned is not None and ranking in tuned.calibrations:
        return tuned.calibrations[ranking]
    found = _fitted(engine, ranking, state, lambda: _self_sampled(engine, ranking))
    return cast("Calibration", found)


def suggested_weight(engine: Engine, bm25: BM25, state: State) -> float:
    """The ratio of the spreads of both legs' scores; see ``PassageStore.suggested_weight``.

    Without phrases, as a stretch of a text is one long phrase of it, which no question is.
    """
    bm25 = replace(bm25, phrases=0.0)
    return cast("float", _fitted(engine, ("spreads", bm25), state, lambda: _ratio_of_spreads(engine, bm25)))


def _fitted(engine: Engine, key: object, state: State, fit: Callable[[], Calibration | float]) -> Calibration | float:
    """What is known under a key and still holds, or else what ``fit`` finds, in one thread for all."""
    model = "" if engine.encoder is None else engine.encoder.fingerprint
    known = engine.fitted.get(key)
    if not (isinstance(known, Fitted) and known.holds(state, model)):
        with engine.calibrating:
            known = engine.fitted.get(key)
            if not (isinstance(known, Fitted) and known.holds(state, model)):
                known = engine.fitted[key] = Fitted(fit(), state.passages, model, state.language)
    return known.value


def _ratio_of_spreads(engine: Engine, bm25: BM25) -> float:
    """Standard deviations over passages that the question was not taken from, on average over the questions."""
    rows, passages, vectors = _sample(engine, Ranking())
    if len(passages) < _FEWEST:
        return 1.0
    texts, own = [_stretch(one) for one in passages], np.eye(len(passages), dtype=bool)
    questions = vectors if engine.encoder is None else engine.encode_questions(texts)
    legs = scores_of(engine, texts, rows, bm25), _products(questions, vectors)
    words, dense = (float(leg[~own].reshape(len(leg), -1).std(axis=1).mean()) for leg in legs)
    return words / dense if words > 0 and dense > 0 else 1.0


def _sample(engine: Engine, ranking: Ranking) -> tuple[Rows, list[Passage], Vectors]:
    found = engine.sample(_PASSAGES)
    if ranking.needs_vectors:
        engine.check_model(engine.state())  # another process may have re-encoded since the store was opened
    return found


def _self_sampled(engine: Engine, ranking: Ranking) -> Calibration:
    """Fit to scores that the store gives to itself.

    Each of up to 64 passages is asked for by a stretch of its own words, as in the inverse cloze task (Lee et al. 2019):
    its score, without phrases, is that of a relevant pair, the best score of another one among them is not. Against the
    best, since what a
    threshold has to tell apart are hits, not passages at random. Where the store has no encoder, the stored vectors ask
    for themselves. The draws are the same as long as the store does not change.
    """
    rows, passages, vectors = _sample(engine, ranking)
    if not passages:
        return Calibration()
    if engine.encoder is None and not ranking.needs_words:
        scores, elsewhere = _products(vectors, vectors), np.empty((0, 1))
    else:
        asked = [_stretch(one) for one in passages]
        scores, elsewhere = (_scores(engine, ranking, texts, rows, vectors) for texts in (asked, _ELSEWHERE))
        if ranking.needs_words:  # see suggested_weight
            alone = replace(ranking, bm25=replace(ranking.bm25, phrases=0.0))
            np.fill_diagonal(scores, np.diag(_scores(engine, alone, asked, rows, vectors)))
    own = np.eye(len(passages), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(passages) > 1 else []
    return Calibration.fit(scores[own].tolist(), [*others, *elsewhere.max(axis=1).tolist()] or [0.0])


def _scores(engine: Engine, ranking: Ranking, texts: Sequence[str], rows: Rows, vectors: Vectors) -> Scores:
    """What the ranking gives to questions with the sampled passages, [n, m]."""
    dense = _products(engine.encode_questions(texts), vectors) if ranking.needs_vectors else None
    words = scores_of(engine, texts, rows, ranking.words) if ranking.needs_words else None
    return fused_matrix(dense, words, ranking.weight)


def _products(questions: Vectors, passages: Vectors) -> Scores:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def _stretch(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    words = written(passage.text)
    length = min(_WORDS, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return " ".join("".join(words[start : start + length]).split()) or passage.title or passage.id

"""What scores mean, without labelled questions: stretches of stored passages stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Calibration, Ranking
from dpr_rag.fusion.ranking import Scores
from dpr_rag.lexical import BM25
from dpr_rag.lexical.unspaced import holds_units, written
from dpr_rag.passages import Hit, Passage
from dpr_rag.storage.state import State
from dpr_rag.store.choosing import of_state
from dpr_rag.store.engine import Engine
from dpr_rag.store.fitted import fitted
from dpr_rag.store.ranking import Asked, scores_of, search
from dpr_rag.store.sampling import are_copies, asked_for

Ask = Callable[[Sequence[str], Sequence[str]], list[list[Hit]]]
_PASSAGES, _ASKED_FOR = 64, 128
_WORDS = 12
_ASKED_WORDS = 8
_FEWEST = 3
_FEWEST_SURE = 16
"""With fewer scores quantiles say little, and a logistic function is fitted instead."""
_DEPTH = 20
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


def calibration(engine: Engine, ranking: Ranking, state: State) -> Calibration:
    """The calibration of a ranking, fitted where there is none that fits; see ``PassageStore.calibration_of``."""
    tuned = of_state(engine, state)
    if tuned is not None and ranking in tuned.calibrations:
        return tuned.calibrations[ranking]
    return fitted(engine, ranking, state, lambda: _self_sampled(engine, ranking))


def suggested_weight(engine: Engine, bm25: BM25, state: State) -> float:
    """The ratio of the spreads of both legs' scores; see ``PassageStore.suggested_weight``.

    Without phrases, as a stretch of a text is one long phrase of it, which no question is.
    """
    bm25 = replace(bm25, phrases=0.0)
    return fitted(engine, ("spreads", bm25), state, lambda: _ratio_of_spreads(engine, bm25))


def _ratio_of_spreads(engine: Engine, bm25: BM25) -> float:
    """Standard deviations over passages that the question was not taken from, on average over the questions."""
    rows, passages, vectors = _sample(engine, Ranking(), _PASSAGES)
    if len(passages) < _FEWEST:
        return 1.0
    texts, own = [stretch_of(one) for one in passages], np.eye(len(passages), dtype=bool)
    questions = vectors if engine.encoder is None else engine.encode_questions(texts)
    legs = scores_of(engine, texts, rows, bm25), _products(questions, vectors)
    words, dense = (float(leg[~own].reshape(len(leg), -1).std(axis=1).mean()) for leg in legs)
    return words / dense if words > 0 and dense > 0 else 1.0


def _sample(engine: Engine, ranking: Ranking, count: int) -> tuple[Rows, list[Passage], Vectors]:
    found = asked_for(engine, count)
    if ranking.needs_vectors:
        engine.check_model(engine.state())  # another process may have re-encoded since the store was opened
    return found


def _self_sampled(engine: Engine, ranking: Ranking) -> Calibration:
    """Lay the relevances by scores that the store gives to its own passages; see ``Calibration.anchored``.

    Each of up to 128 passages is asked for as by a question: the encoder reads a stretch of it, as in the inverse cloze task
    (Lee et al. 2019), and BM25 every other word of a longer one, since questions share some words with an answer but not
    one after another. Where the passage comes first, its score is that of a right hit; the best score of a passage with
    another title is what a question gets whose topic is not in the store. The whole store is searched, for the more
    passages there are, the better the best of the wrong ones. The draws are the same as long as the store does not change.
    """
    _, passages, vectors = _sample(engine, ranking, _ASKED_FOR)
    if not passages:
        return Calibration()
    if engine.encoder is None and not ranking.needs_words:
        return by_vectors(vectors)
    return self_sampled(passages, partial(_asked, engine, ranking))


def self_sampled(passages: Sequence[Passage], ask: Ask) -> Calibration:
    """The calibration by passages that are asked for by stretches of themselves, for any store.

    Args:
        passages: Some of the store, drawn at random.
        ask: Gives the best hits for stretches that the encoder reads and the words that BM25 sees, question by question.
    """
    right, other = _found(ask, passages)
    if len(other) < _FEWEST_SURE:
        other += [hits[0].score for hits in ask(_ELSEWHERE, _ELSEWHERE) if hits]
    if len(right) < _FEWEST_SURE or len(other) < _FEWEST_SURE:
        return Calibration.fit(right or [0.0], other or [0.0])
    return Calibration.anchored(right, other)


def by_vectors(vectors: Vectors) -> Calibration:
    """Where nobody encodes questions, stored vectors ask for themselves: the best other one among the sampled is wrong."""
    scores, own = _products(vectors, vectors), np.eye(len(vectors), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(vectors) > 1 else [0.0]
    return Calibration.fit(scores[own].tolist(), others)


def _found(ask: Ask, passages: Sequence[Passage]) -> tuple[list[float], list[float]]:
    """Scores of passages that come first when they are asked for, or of all where few do; and of the best from elsewhere."""
    first, own, other = list[float](), list[float](), list[float]()
    asked = ask([stretch_of(one) for one in passages], [_some_words(one) for one in passages])
    for passage, hits in zip(passages, asked, strict=True):
        found = [hit.score for hit in hits if hit.passage.id == passage.id]
        own += found
        first += found if hits and hits[0].passage.id == passage.id else []
        other += next(([hit.score] for hit in hits if _is_elsewhere(hit.passage, passage)), [])
    return (first if len(first) >= _FEWEST_SURE else own), other


def _asked(engine: Engine, ranking: Ranking, stretches: Sequence[str], words: Sequence[str]) -> list[list[Hit]]:
    """The best hits of questions, of which each leg sees its own wording."""
    how = replace(ranking, bm25=replace(ranking.bm25, phrases=0.0)) if ranking.needs_words else ranking
    vectors = engine.encode_questions(stretches) if ranking.needs_vectors else None
    return search(engine, Asked(_DEPTH, vectors, words, None, how))


def _is_elsewhere(passage: Passage, wanted: Passage) -> bool:
    same_title = wanted.title and passage.title == wanted.title
    return passage.id != wanted.id and not same_title and not are_copies(passage, wanted)


def _products(questions: Vectors, passages: Vectors) -> Scores:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def stretch_of(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    return _text(_middle(passage, _WORDS), passage)


def _some_words(passage: Passage) -> str:
    """Every other word from the middle; half as many in a row where words are not parted, as single characters say little."""
    words = _middle(passage, 2 * _ASKED_WORDS)
    return _text(_middle(passage, _ASKED_WORDS) if holds_units("".join(words)) else words[::2], passage)


def _text(words: Sequence[str], passage: Passage) -> str:
    return " ".join("".join(words).split()) or passage.title or passage.id


def _middle(passage: Passage, most: int) -> list[str]:
    words = written(passage.text)
    length = min(most, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return words[start : start + length]

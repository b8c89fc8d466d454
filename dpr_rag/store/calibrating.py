"""Calibrations and λ without labelled questions: stretches of sampled passages serve as questions."""

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
from dpr_rag.store.choosing import tuned_of
from dpr_rag.store.engine import Engine
from dpr_rag.store.fitted import fitted
from dpr_rag.store.ranking import RankingQuery, scores_of, search
from dpr_rag.store.sampling import are_copies, sample_prose

Ask = Callable[[Sequence[str], Sequence[str]], list[list[Hit]]]
_WEIGHT_SAMPLE, _CALIBRATION_SAMPLE = 64, 128  # passages
_ENCODER_WORDS = 12
_BM25_WORDS = 8
_MIN_PASSAGES = 3
_MIN_SCORES = 16
"""With fewer scores quantiles say little, and a logistic function is fitted instead."""
_DEPTH = 20
# Questions that no passage answers; in a store of one passage there are no others.
_UNANSWERABLE = (
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
    """The calibration of a ranking: as tuned, or else fitted and cached; see ``PassageStore.calibration_of``."""
    tuned = tuned_of(engine, state)
    if tuned is not None and ranking in tuned.calibrations:
        return tuned.calibrations[ranking]
    return fitted(engine, ranking, state, lambda: _self_calibration(engine, ranking))


def suggested_weight(engine: Engine, bm25: BM25, state: State) -> float:
    """The ratio of the spreads of both legs' scores; see ``PassageStore.suggested_weight``.

    Without phrases, as a stretch of a text is one long phrase of it, which no question is.
    """
    bm25 = replace(bm25, phrases=0.0)
    return fitted(engine, ("spreads", bm25), state, lambda: _ratio_of_spreads(engine, bm25))


def _ratio_of_spreads(engine: Engine, bm25: BM25) -> float:
    """Standard deviations over passages that the question was not taken from, on average over the questions."""
    rows, passages, vectors = _sample(engine, Ranking(), _WEIGHT_SAMPLE)
    if len(passages) < _MIN_PASSAGES:
        return 1.0
    texts, own = [stretch_of(passage) for passage in passages], np.eye(len(passages), dtype=bool)
    questions = vectors if engine.encoder is None else engine.encode_questions(texts)
    legs = scores_of(engine, texts, rows, bm25), _products(questions, vectors)
    words, dense = (float(leg[~own].reshape(len(leg), -1).std(axis=1).mean()) for leg in legs)
    return words / dense if words > 0 and dense > 0 else 1.0


def _sample(engine: Engine, ranking: Ranking, count: int) -> tuple[Rows, list[Passage], Vectors]:
    sample = sample_prose(engine, count)
    if ranking.needs_vectors:
        engine.check_model(engine.state())  # another process may have re-encoded since the store was opened
    return sample


def _self_calibration(engine: Engine, ranking: Ranking) -> Calibration:
    """The calibration by scores of the store's own passages, see ``Calibration.anchored``.

    Each of up to 128 passages is asked for as by a question: the encoder reads a stretch of it, as in the inverse cloze task
    (Lee et al. 2019), and BM25 every other word of a longer one, since questions share some words with an answer but not
    one after another. Where the passage comes first, its score is that of a right hit; the best score of a passage with
    another title is what a question gets whose topic is not in the store. The whole store is searched, for the more
    passages there are, the better the best of the wrong ones. The draws are the same as long as the store does not change.
    """
    _, passages, vectors = _sample(engine, ranking, _CALIBRATION_SAMPLE)
    if not passages:
        return Calibration()
    if engine.encoder is None and not ranking.needs_words:
        return vector_calibration(vectors)
    return self_calibration(passages, partial(_search, engine, ranking))


def self_calibration(passages: Sequence[Passage], ask: Ask) -> Calibration:
    """The calibration by sampled passages, each searched for by a stretch of itself, for any kind of store.

    Args:
        passages: A random sample.
        ask: Searches for n questions, given as n texts for the encoder and n texts for BM25; returns the hits of each.
    """
    right, wrong = _scores_by_label(ask, passages)
    if len(wrong) < _MIN_SCORES:
        wrong += [hits[0].score for hits in ask(_UNANSWERABLE, _UNANSWERABLE) if hits]
    if len(right) < _MIN_SCORES or len(wrong) < _MIN_SCORES:
        return Calibration.fit(right or [0.0], wrong or [0.0])
    return Calibration.anchored(right, wrong)


def vector_calibration(vectors: Vectors) -> Calibration:
    """The calibration without an encoder: each vector, [n, dim], as a question: itself is right, the best other one wrong."""
    scores, own = _products(vectors, vectors), np.eye(len(vectors), dtype=bool)
    others = np.where(own, -np.inf, scores).max(axis=1).tolist() if len(vectors) > 1 else [0.0]
    return Calibration.fit(scores[own].tolist(), others)


def _scores_by_label(ask: Ask, passages: Sequence[Passage]) -> tuple[list[float], list[float]]:
    """Scores of right hits, at the first rank alone if enough are there, and of the best wrong hit of each question."""
    first, own, wrong = list[float](), list[float](), list[float]()
    results = ask([stretch_of(passage) for passage in passages], [_some_words(passage) for passage in passages])
    for passage, hits in zip(passages, results, strict=True):
        scores = [hit.score for hit in hits if hit.passage.id == passage.id]
        own += scores
        first += scores if hits and hits[0].passage.id == passage.id else []
        wrong += next(([hit.score] for hit in hits if _is_wrong(hit.passage, passage)), [])
    return (first if len(first) >= _MIN_SCORES else own), wrong


def _search(engine: Engine, ranking: Ranking, stretches: Sequence[str], words: Sequence[str]) -> list[list[Hit]]:
    """The best hits of each question; ``stretches`` are encoded, ``words`` go to BM25."""
    ranking = replace(ranking, bm25=replace(ranking.bm25, phrases=0.0)) if ranking.needs_words else ranking
    vectors = engine.encode_questions(stretches) if ranking.needs_vectors else None
    return search(engine, RankingQuery(_DEPTH, vectors, words, None, ranking))


def _is_wrong(passage: Passage, wanted: Passage) -> bool:
    same_title = wanted.title and passage.title == wanted.title
    return passage.id != wanted.id and not same_title and not are_copies(passage, wanted)


def _products(questions: Vectors, passages: Vectors) -> Scores:
    return questions.astype(np.float64) @ passages.T.astype(np.float64)


def stretch_of(passage: Passage) -> str:
    """Words from the middle, at most half of them: a whole text would find itself too well."""
    return _text(_middle(passage, _ENCODER_WORDS), passage)


def _some_words(passage: Passage) -> str:
    """Every other word from the middle; half as many in a row where words are not parted, as single characters say little."""
    words = _middle(passage, 2 * _BM25_WORDS)
    return _text(_middle(passage, _BM25_WORDS) if holds_units("".join(words)) else words[::2], passage)


def _text(words: Sequence[str], passage: Passage) -> str:
    return " ".join("".join(words).split()) or passage.title or passage.id


def _middle(passage: Passage, most: int) -> list[str]:
    words = written(passage.text)
    length = min(most, (len(words) + 1) // 2)
    start = (len(words) - length) // 2
    return words[start : start + length]

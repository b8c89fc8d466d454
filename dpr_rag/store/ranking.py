"""Searching one generation of a store by vectors, by words, or by both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan

import numpy as np

from dpr_rag.arguments import check_count, check_instance
from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import VectorError
from dpr_rag.fusion import Diversity, Legs, Ranked, Ranking, diversified, diversified_by, spread_of
from dpr_rag.fusion.ranking import Scores
from dpr_rag.lexical import BM25
from dpr_rag.lexical.scoring import Mask, Scored
from dpr_rag.passages import Hit, Passage
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.store.engine import Engine
from dpr_rag.store.fitted import drawn_vectors
from dpr_rag.store.lexicon import analyzer_of, lexicon
from dpr_rag.store.snapshot import Snapshot, positions_in


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for, and how.

    Attributes:
        k: Hits per question.
        vectors: Question vectors, [n, dim]; None where words alone count.
        words: Questions in words; None where vectors alone count.
        where: Selects before the top k, or None.
        ranking: How passages are ranked.
        exact: Whether the dense leg is to be exact.
        diversity: Choose among the best by maximal marginal relevance, or None.
        keep: Which scores are high enough, or None for all.
    """

    k: int
    vectors: object = None
    words: Sequence[str] | None = None
    where: Condition | None = None
    ranking: Ranking = field(default_factory=Ranking)
    exact: bool = False
    diversity: Diversity | None = None
    keep: Callable[[float], bool] | None = None

    @property
    def depth(self) -> int:
        """How many of the best passages are needed before any are chosen among them."""
        return self.k if self.diversity is None else max(self.k, self.diversity.candidates)


def search(engine: Engine, asked: Asked) -> list[list[Hit]]:
    """Hits for each question, all from one generation; see ``PassageStore.search`` and ``PassageStore.rank``."""
    check_count("k", asked.k, VectorError)
    if asked.diversity is not None:
        check_instance(
            "diversity", asked.diversity, Diversity, VectorError, advice="; make one as Diversity(candidates)"
        )

    drawn = drawn_vectors(engine) if asked.ranking.wants_weight else None

    def found(reader: StoreReader, snapshot: Snapshot) -> list[list[Hit]]:
        vectors = _checked(engine, snapshot, asked)
        if asked.where is not None:
            engine.prove_for(reader, snapshot, asked.where)
        ranked = _ranked(engine, reader, snapshot, asked, vectors, drawn)
        questions = [None] * len(ranked) if vectors is None else vectors
        chosen = [_chosen(reader, snapshot, asked, *pair) for pair in zip(questions, ranked, strict=True)]
        passages = reader.by_rows({row for one in chosen for row in one.rows.tolist()})
        return [_hits(one, passages) for one in chosen]

    return engine.with_snapshot(found)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a hybrid ranking chooses from, question by question.

    Attributes:
        legs: What both legs bring.
        alone: The list of BM25 as it ranks alone: without phrases, unless the ranking says otherwise.
        passages: Every passage of any list, by row number.
    """

    legs: tuple[Legs, ...]
    alone: tuple[Ranked, ...]
    passages: Mapping[int, Passage]


def candidates(engine: Engine, asked: Asked) -> Candidates:
    """What a hybrid ranking chooses from; see ``PassageStore.candidates``."""
    if asked.ranking.mode != "hybrid":
        raise VectorError(f"the ranking's mode is {asked.ranking.mode!r}, expected 'hybrid', which has two legs")

    drawn = drawn_vectors(engine)

    def found(reader: StoreReader, snapshot: Snapshot) -> Candidates:
        bm25 = Ranking("bm25", bm25=asked.ranking.bm25).words
        legs, alone = [], []
        for one, scored in _legs(engine, reader, snapshot, asked, _checked(engine, snapshot, asked), drawn):
            legs.append(one)
            same = scored.bm25 == bm25
            alone.append(
                one.bm25 if same else Ranked.of_bm25(*replace(scored, bm25=bm25).best(asked.ranking.candidates))
            )
        rows = {row for one, other in zip(legs, alone, strict=True) for row in (*one.both.rows, *other.rows)}
        return Candidates(tuple(legs), tuple(alone), reader.by_rows(rows))

    return engine.with_snapshot(found)


def _checked(engine: Engine, snapshot: Snapshot, asked: Asked) -> Vectors | None:
    """The question vectors, [n, dim]; None where words alone count."""
    if asked.vectors is None:
        return None
    engine.check_model(snapshot.state)
    model = snapshot.state.model
    rows = None if asked.words is None else len(asked.words)
    return check_vectors(asked.vectors, dim=None if model is None else model.dim, rows=rows)


def _ranked(
    engine: Engine, reader: StoreReader, snapshot: Snapshot, asked: Asked, vectors: Vectors | None, drawn: Scores | None
) -> list[Ranked]:
    ranking = asked.ranking
    if ranking.mode == "hybrid":
        return [one.ranked(ranking) for one, _ in _legs(engine, reader, snapshot, asked, vectors, drawn)]
    if ranking.needs_words:
        scored, allowed = _scored(engine, reader, snapshot, asked)
        return [Ranked.of_bm25(*one.best(asked.depth, allowed)) for one in scored]
    return _dense(reader, snapshot, asked, vectors, asked.depth)


def _dense(reader: StoreReader, snapshot: Snapshot, asked: Asked, vectors: Vectors | None, depth: int) -> list[Ranked]:
    """The dense leg's list for each question."""
    if vectors is None:
        return []
    found = snapshot.search(reader, vectors, depth, where=asked.where, exact=asked.exact)
    return [Ranked.of_dense(*pair) for pair in found]


def _scored(
    engine: Engine, reader: StoreReader, snapshot: Snapshot, asked: Asked
) -> tuple[Iterator[Scored], Mask | None]:
    """What every passage scores by the words of each question, and which positions may be returned."""
    known = lexicon(engine, reader, snapshot)
    analyzer, bm25 = analyzer_of(engine, snapshot.state), asked.ranking.words
    scored = (known.corpus.score(analyzer.sequence(text), bm25) for text in asked.words or ())
    return scored, known.alive(reader, snapshot, asked.where)


def _legs(
    engine: Engine, reader: StoreReader, snapshot: Snapshot, asked: Asked, vectors: Vectors | None, drawn: Scores | None
) -> Iterator[tuple[Legs, Scored]]:
    """What both legs bring for each question, and what each gives to the passages that only the other brought."""
    depth = max(asked.depth, asked.ranking.candidates)
    dense = _dense(reader, snapshot, asked, vectors, depth)
    words, allowed = _scored(engine, reader, snapshot, asked)
    for question, by_vectors, scored in zip(() if vectors is None else vectors, dense, words, strict=True):
        by_words = Ranked.of_bm25(*scored.best(depth, allowed))
        rows = np.union1d(by_vectors.rows, by_words.rows)
        products = _completed(rows, by_vectors, partial(snapshot.products, question))
        bm25 = _completed(rows, by_words, scored.at_rows)
        yield Legs(by_vectors, by_words, Ranked(rows, bm25, products, bm25), spread_of(question, drawn)), scored


def _completed(rows: Rows, leg: Ranked, otherwise: Callable[[Rows], Scores]) -> Scores:
    """Scores of passages at ascending row numbers: as the leg gave them, or else as it would have."""
    found = np.empty(len(rows))
    lacking = np.ones(len(rows), dtype=bool)
    places = np.searchsorted(rows, leg.rows)
    found[places], lacking[places] = leg.scores, False
    if lacking.any():
        found[lacking] = otherwise(rows[lacking])
    return found


def scores_of(engine: Engine, texts: Sequence[str], rows: Rows, bm25: BM25) -> Scores:
    """BM25 scores of questions with some passages, [n, m]; 0 for those that are gone meanwhile."""

    def scored(reader: StoreReader, snapshot: Snapshot) -> Scores:
        corpus, analyzer = lexicon(engine, reader, snapshot).corpus, analyzer_of(engine, snapshot.state)
        found = np.zeros((len(texts), len(rows)))
        there = np.isin(rows, corpus.rows if corpus.alive is None else corpus.rows[corpus.alive])
        places = positions_in(corpus.rows, rows[there])
        for line, text in zip(found, texts, strict=True):
            line[there] = corpus.score(analyzer.sequence(text), bm25).at(places)
        return found

    return engine.with_snapshot(scored)


def _chosen(reader: StoreReader, snapshot: Snapshot, asked: Asked, question: Vectors | None, ranked: Ranked) -> Ranked:
    """What stays of the best passages, in its final order; vectors are read in the transaction of the search."""
    if asked.keep is not None:
        kept = [at for at, score in enumerate(ranked.scores) if asked.keep(float(score))]
        ranked = ranked.take(np.array(kept, dtype=np.intp))
    if asked.diversity is None or not len(ranked.rows):
        return ranked.take(slice(asked.k))
    ranked = ranked.take(slice(asked.depth))
    stored = reader.vectors_of(snapshot.state, ranked.rows.tolist())
    candidates = np.stack([stored[int(row)] for row in ranked.rows])
    if question is not None and asked.ranking.mode == "dense":
        return ranked.take(diversified(question, candidates, asked.k, asked.diversity.balance))
    return ranked.take(diversified_by(_scaled(ranked.scores), candidates, asked.k, asked.diversity.balance))


def _scaled(scores: Scores) -> Scores:
    """Scores from 0 for the last candidate to 1 for the best, to stand beside cosines."""
    width = float(scores.max() - scores.min())
    return (scores - scores.min()) / width if width else np.ones(len(scores))


def _hits(ranked: Ranked, passages: Mapping[int, Passage]) -> list[Hit]:
    columns = (one.tolist() for one in (ranked.rows, ranked.scores, ranked.dense, ranked.bm25))
    return [
        Hit(passages[row], score, rank, dense=_or_none(dense), bm25=_or_none(bm25))
        for rank, (row, score, dense, bm25) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _or_none(score: float) -> float | None:
    return None if isnan(score) else score

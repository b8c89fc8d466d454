"""Search of one generation of a store: dense, BM25 or hybrid ranking, thresholds and diversity."""

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
from dpr_rag.fusion.diversity import depth_of
from dpr_rag.fusion.ranking import Scores
from dpr_rag.lexical import BM25
from dpr_rag.lexical.scoring import Mask, Scored
from dpr_rag.passages import Hit, Passage, plain
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.store.engine import Engine
from dpr_rag.store.fitted import sampled_vectors
from dpr_rag.store.lexicon import analyzer_of, lexicon
from dpr_rag.store.snapshot import Snapshot, positions_in


@dataclass(frozen=True, slots=True)
class RankingQuery:
    """A search of one store, checked and encoded: what ``SearchRequest`` becomes inside.

    Attributes:
        k: Hits per question.
        vectors: Question vectors, [n, dim]; None to rank by BM25 alone.
        texts: Questions in words, for BM25; None to rank by vectors alone.
        where: Filter or predicate that selects before the top k, or None.
        ranking: How passages are ranked.
        exact: Whether to pass the approximate index by.
        diversity: Choose among the best by maximal marginal relevance, or None.
        keep: Whether a score is high enough for a hit, or None to keep all.
    """

    k: int
    vectors: object = None
    texts: Sequence[str] | None = None
    where: Condition | None = None
    ranking: Ranking = field(default_factory=Ranking)
    exact: bool = False
    diversity: Diversity | None = None
    keep: Callable[[float], bool] | None = None

    @property
    def depth(self) -> int:
        """How many of the best passages are needed before ``diversity`` chooses among them."""
        return depth_of(self.k, self.diversity)


def search(engine: Engine, query: RankingQuery) -> list[list[Hit]]:
    """Hits for each question, all from one generation; see ``PassageStore.search`` and ``PassageStore.rank``."""
    k = check_count("k", query.k, VectorError)
    exact = check_instance("exact", plain(query.exact), bool, VectorError, advice=": True or False")
    query = replace(query, k=k, exact=exact)
    if query.diversity is not None:
        check_instance(
            "diversity", query.diversity, Diversity, VectorError, advice="; make one as Diversity(candidates)"
        )

    sample = sampled_vectors(engine) if query.ranking.wants_weight else None

    def hits(reader: StoreReader, snapshot: Snapshot) -> list[list[Hit]]:
        running = _Search.of(engine, reader, snapshot, query, sample)
        if query.where is not None:
            engine.prove_for(reader, snapshot, query.where)
        lists = running.ranked()
        questions = [None] * len(lists) if running.vectors is None else running.vectors
        chosen = [running.chosen(*pair) for pair in zip(questions, lists, strict=True)]
        passages = reader.by_rows({row for ranked in chosen for row in ranked.rows.tolist()})
        return [_hits(ranked, passages) for ranked in chosen]

    return engine.with_snapshot(hits)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidates of a hybrid ranking, question by question.

    Attributes:
        legs: The lists of both legs.
        alone: The list of BM25 as it ranks alone: without phrases, unless the ranking sets their weight.
        passages: Every passage of any list, by row number.
    """

    legs: tuple[Legs, ...]
    alone: tuple[Ranked, ...]
    passages: Mapping[int, Passage]


def candidates(engine: Engine, query: RankingQuery) -> Candidates:
    """The candidates of a hybrid ranking; see ``PassageStore.candidates``."""
    if query.ranking.mode != "hybrid":
        raise VectorError(f"the ranking's mode is {query.ranking.mode!r}, expected 'hybrid', which has two legs")

    sample = sampled_vectors(engine)

    def read(reader: StoreReader, snapshot: Snapshot) -> Candidates:
        bm25 = Ranking("bm25", bm25=query.ranking.bm25).words
        legs, alone = [], []
        for pair, scored in _Search.of(engine, reader, snapshot, query, sample).legs():
            legs.append(pair)
            best = replace(scored, bm25=bm25).best(query.ranking.candidates) if scored.bm25 != bm25 else None
            alone.append(pair.bm25 if best is None else Ranked.of_bm25(*best))
        rows = {row for pair, words in zip(legs, alone, strict=True) for row in (*pair.both.rows, *words.rows)}
        return Candidates(tuple(legs), tuple(alone), reader.by_rows(rows))

    return engine.with_snapshot(read)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """One query in one read transaction.

    Attributes:
        vectors: The question vectors, [n, dim]; None to rank by BM25 alone.
        sample: Vectors that spreads are measured against, where λ is found per question.
    """

    engine: Engine
    reader: StoreReader
    snapshot: Snapshot
    query: RankingQuery
    vectors: Vectors | None
    sample: Scores | None

    @staticmethod
    def of(
        engine: Engine, reader: StoreReader, snapshot: Snapshot, query: RankingQuery, sample: Scores | None
    ) -> _Search:
        """Check the query's vectors against the store's model."""
        vectors = None
        if query.vectors is not None:
            engine.check_model(snapshot.state)
            model = snapshot.state.model
            rows = None if query.texts is None else len(query.texts)
            vectors = check_vectors(query.vectors, dim=None if model is None else model.dim, rows=rows)
        return _Search(engine, reader, snapshot, query, vectors, sample)

    def ranked(self) -> list[Ranked]:
        """The ranked list of each question, as long as diversity needs it."""
        ranking, depth = self.query.ranking, self.query.depth
        if ranking.mode == "hybrid":
            return [legs.ranked(ranking) for legs, _ in self.legs()]
        if ranking.needs_words:
            scored, allowed = self._scored()
            return [Ranked.of_bm25(*scores.best(depth, allowed)) for scores in scored]
        return self._dense(depth)

    def legs(self) -> Iterator[tuple[Legs, Scored]]:
        """Both legs of each question, every passage of their union with both scores, and the BM25 scores of all passages."""
        depth = max(self.query.depth, self.query.ranking.candidates)
        dense = self._dense(depth)
        words, allowed = self._scored()
        for question, by_vectors, scored in zip(
            () if self.vectors is None else self.vectors, dense, words, strict=True
        ):
            by_words = Ranked.of_bm25(*scored.best(depth, allowed))
            rows = np.union1d(by_vectors.rows, by_words.rows)
            products = _completed(rows, by_vectors, partial(self.snapshot.products, question))
            bm25 = _completed(rows, by_words, scored.at_rows)
            spread = spread_of(question, self.sample)
            yield Legs(by_vectors, by_words, Ranked(rows, bm25, products, bm25), spread), scored

    def chosen(self, question: Vectors | None, ranked: Ranked) -> Ranked:
        """The hits of one question in their final order; vectors are read in the transaction of the search."""
        query = self.query
        if query.keep is not None:
            kept = [at for at, score in enumerate(ranked.scores) if query.keep(float(score))]
            ranked = ranked.take(np.array(kept, dtype=np.intp))
        if query.diversity is None or not len(ranked.rows):
            return ranked.take(slice(query.k))
        ranked = ranked.take(slice(query.depth))
        stored = self.reader.vectors_of(self.snapshot.state, ranked.rows.tolist())
        candidates = np.stack([stored[int(row)] for row in ranked.rows])
        if question is not None and query.ranking.mode == "dense":
            return ranked.take(diversified(question, candidates, query.k, query.diversity.balance))
        return ranked.take(diversified_by(_scaled(ranked.scores), candidates, query.k, query.diversity.balance))

    def _dense(self, depth: int) -> list[Ranked]:
        """The dense leg's list for each question."""
        if self.vectors is None:
            return []
        lists = self.snapshot.search(self.reader, self.vectors, depth, where=self.query.where, exact=self.query.exact)
        return [Ranked.of_dense(*pair) for pair in lists]

    def _scored(self) -> tuple[Iterator[Scored], Mask | None]:
        """The BM25 scores of all passages for each question, and the mask of positions that may be returned."""
        known = lexicon(self.engine, self.reader, self.snapshot)
        analyzer, bm25 = analyzer_of(self.engine, self.snapshot.state), self.query.ranking.words
        scored = (known.corpus.score(analyzer.sequence(text), bm25) for text in self.query.texts or ())
        return scored, known.alive(self.reader, self.snapshot, self.query.where)


def _completed(rows: Rows, leg: Ranked, score: Callable[[Rows], Scores]) -> Scores:
    """Scores of passages at ascending row numbers: those of the leg, and of ``score`` for passages that it lacks."""
    scores = np.empty(len(rows))
    lacking = np.ones(len(rows), dtype=bool)
    places = np.searchsorted(rows, leg.rows)
    scores[places], lacking[places] = leg.scores, False
    if lacking.any():
        scores[lacking] = score(rows[lacking])
    return scores


def scores_of(engine: Engine, texts: Sequence[str], rows: Rows, bm25: BM25) -> Scores:
    """BM25 scores of n questions with m passages, [n, m]; 0 for passages that were deleted meanwhile."""

    def scored(reader: StoreReader, snapshot: Snapshot) -> Scores:
        corpus, analyzer = lexicon(engine, reader, snapshot).corpus, analyzer_of(engine, snapshot.state)
        scores = np.zeros((len(texts), len(rows)))
        is_stored = np.isin(rows, corpus.rows if corpus.alive is None else corpus.rows[corpus.alive])
        places = positions_in(corpus.rows, rows[is_stored])
        for line, text in zip(scores, texts, strict=True):
            line[is_stored] = corpus.score(analyzer.sequence(text), bm25).at(places)
        return scores

    return engine.with_snapshot(scored)


def _scaled(scores: Scores) -> Scores:
    """Scores from 0 for the last candidate to 1 for the best, to stand beside cosines."""
    width = float(scores.max() - scores.min())
    return (scores - scores.min()) / width if width else np.ones(len(scores))


def _hits(ranked: Ranked, passages: Mapping[int, Passage]) -> list[Hit]:
    columns = (column.tolist() for column in (ranked.rows, ranked.scores, ranked.dense, ranked.bm25))
    return [
        Hit(passages[row], score, rank, dense=_or_none(dense), bm25=_or_none(bm25))
        for rank, (row, score, dense, bm25) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _or_none(score: float) -> float | None:
    return None if isnan(score) else score

"""The top k of a collection: candidates from the engine, rescored by exact inner products and filtered exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Diversity, Legs, Ranked, Ranking, diversified, diversified_by, spread_of
from dpr_rag.fusion.diversity import depth_of
from dpr_rag.fusion.ranking import Scores
from dpr_rag.index.search import inner_products
from dpr_rag.milvus.collection import MAX_LIMIT, Collection, Scored
from dpr_rag.milvus.conditions import Selection
from dpr_rag.milvus.records import StoredPassage
from dpr_rag.passages import Hit

_SPARE, _WIDEN, _ROUNDING = 8, 4, 1e-4
_TOGETHER = 8
"""Questions per batch of a hybrid search."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A ``SearchRequest`` made ready for a collection: its filter compiled, its ranking settled, its threshold a score.

    Attributes:
        k: Hits per question.
        selection: The filter, as the engine's expression and what is checked here.
        ranking: How passages are ranked.
        exact: Search exactly even where the index is approximate.
        diversity: Choose among the best by maximal marginal relevance, or None.
        keep: Whether a score is high enough; None keeps all.
        drawn: Vectors of passages drawn at random, float64 [n, dim], where λ is found for each question.
    """

    k: int
    selection: Selection
    ranking: Ranking
    exact: bool = False
    diversity: Diversity | None = None
    keep: Callable[[float], bool] | None = None
    drawn: Scores | None = None

    @property
    def depth(self) -> int:
        """How many of the best passages are needed before ``diversity`` chooses among them."""
        return depth_of(self.k, self.diversity)


def find(collection: Collection, plan: SearchPlan, vectors: Vectors | None, words: Sequence[str]) -> list[list[Hit]]:
    """Hits for each question, given by its vector, [n, dim], its words, or both."""
    mode = plan.ranking.mode
    if mode == "hybrid" and vectors is not None:
        with_legs = legs_of(collection, plan, vectors, words)
        results = [(passages, legs.ranked(plan.ranking)) for passages, legs in with_legs]
    elif mode == "bm25" or vectors is None:
        scored = _by_bm25(collection, words, plan.depth, plan.selection)
        results = [_in_order(candidates, Ranked.of_bm25) for candidates in scored]
    else:
        scored = dense(collection, vectors, plan.depth, plan.selection, exact=plan.exact)
        results = [_in_order(candidates, Ranked.of_dense) for candidates in scored]
    question_vectors = [None] * len(results) if vectors is None else vectors
    return [
        _hits(passages, _chosen(passages, ranked, plan, vector))
        for (passages, ranked), vector in zip(results, question_vectors, strict=True)
    ]


def dense(
    collection: Collection, vectors: Vectors, depth: int, where: Selection, *, exact: bool = False
) -> list[Scored]:
    """The best passages for each question vector by exact inner product, ties in order of insertion.

    The engine's own scores are float32, and rough if the index is compressed. So more candidates than ``depth`` are fetched
    and rescored, until none that the engine left out can be among the best.
    """
    done: dict[int, Scored] = {}
    limit = min(MAX_LIMIT, (1 if collection.kind.is_exact else _WIDEN) * depth + _SPARE)
    scan = depth > MAX_LIMIT - _SPARE or (exact and not collection.kind.is_exact)
    pending = [] if scan else list(range(len(vectors)))
    while pending:
        results = collection.nearest(vectors[pending].tolist(), limit, where.expression, words=False)
        exhausted = set[int]()
        for at, candidates in zip(pending, results, strict=True):
            matching = _scored(
                vectors[at], [candidate for candidate, _ in candidates if where.keeps(candidate.passage)]
            )
            if _is_complete(collection, matching, candidates, limit, depth, where):
                done[at] = matching[:depth]
            elif len(candidates) < limit:
                exhausted.add(at)
        pending = [] if limit == MAX_LIMIT else [at for at in pending if at not in done and at not in exhausted]
        limit = min(MAX_LIMIT, _WIDEN * limit)
    unfinished = [at for at in range(len(vectors)) if at not in done]
    done |= zip(unfinished, _scanned(collection, vectors[unfinished], depth, where), strict=True)
    return [done[at] for at in range(len(vectors))]


def _is_complete(
    collection: Collection, matching: Scored, candidates: Scored, limit: int, depth: int, where: Selection
) -> bool:
    """Whether no passage that the engine left out can be among the best."""
    exact, enough = collection.kind.is_exact, len(matching) >= depth
    if len(candidates) < limit:
        return exact or enough or collection.count(where.expression) <= len(candidates)
    last_score = candidates[-1][1]
    is_sure = not exact or (enough and matching[depth - 1][1] > last_score + _ROUNDING * max(1.0, abs(last_score)))
    return enough and (is_sure or limit == MAX_LIMIT)


def _scanned(collection: Collection, vectors: Vectors, depth: int, where: Selection) -> list[Scored]:
    """Like :func:`dense`, by reading every passage that matches the expression: exact, and slow."""
    best: list[Scored] = [[] for _ in vectors]
    page: list[StoredPassage] = []

    def merge_page() -> None:
        for at, vector in enumerate(vectors):
            best[at] = _scored(vector, [*page, *(stored for stored, _ in best[at])])[:depth]
        page.clear()

    for stored in collection.scan(where.expression, vectors=True) if best else ():
        if where.keeps(stored.passage):
            page.append(stored)
        if len(page) >= max(1_000, depth):
            merge_page()
    merge_page()
    return best


def _scored(vector: Vectors, passages: Sequence[StoredPassage]) -> Scored:
    if not passages:
        return []
    scores = inner_products(vector, np.stack([stored.vector for stored in passages])).tolist()
    return sorted(zip(passages, scores, strict=True), key=lambda pair: (-pair[1], pair[0].row, pair[0].key))


def _by_bm25(collection: Collection, words: Sequence[str], depth: int, where: Selection) -> list[Scored]:
    """The best passages for each question by the engine's BM25; only passages that hold a word of the question."""
    done: dict[int, Scored] = {}
    limit, pending = min(MAX_LIMIT, depth + _SPARE), list(range(len(words)))
    while pending:
        results = collection.nearest([words[at] for at in pending], limit, where.expression, words=True)
        for at, candidates in zip(pending, results, strict=True):
            matching = [(candidate, score) for candidate, score in candidates if where.keeps(candidate.passage)]
            if len(matching) >= depth or len(candidates) < limit or limit == MAX_LIMIT:
                done[at] = sorted(matching, key=lambda pair: (-pair[1], pair[0].row, pair[0].key))[:depth]
        pending, limit = [at for at in pending if at not in done], min(MAX_LIMIT, _WIDEN * limit)
    return [done[at] for at in range(len(words))]


def legs_of(
    collection: Collection, plan: SearchPlan, vectors: Vectors, words: Sequence[str]
) -> Iterator[tuple[list[StoredPassage], Legs]]:
    """The legs of a hybrid search for each question, and their passages; rows are positions in the list of passages."""
    depth = max(plan.depth, plan.ranking.candidates)
    for start in range(0, len(words), _TOGETHER):
        part, texts = vectors[start : start + _TOGETHER], words[start : start + _TOGETHER]
        by_vectors = dense(collection, part, depth, plan.selection)
        by_bm25 = _by_bm25(collection, texts, depth, plan.selection)
        lists = list(zip(by_vectors, by_bm25, strict=True))
        unscored = [_not_in(*pair) for pair in lists]
        keys = list(dict.fromkeys(stored.key for row in unscored for stored in row))
        scores = collection.scores_by_words(texts, keys)
        for vector, (first, second), missing_scores in zip(part, lists, scores, strict=True):
            yield _union(vector, first, second, missing_scores, spread_of(vector, plan.drawn))


def _not_in(by_vectors: Scored, by_bm25: Scored) -> list[StoredPassage]:
    """Passages of the dense list that the BM25 list lacks; their BM25 scores are fetched in a second request."""
    keys = {stored.key for stored, _ in by_bm25}
    return [stored for stored, _ in by_vectors if stored.key not in keys]


def _union(
    vector: Vectors, by_vectors: Scored, by_bm25: Scored, missing_scores: Mapping[str, float], spread: float
) -> tuple[list[StoredPassage], Legs]:
    by_key = {stored.key: stored for stored, _ in [*by_vectors, *by_bm25]}
    passages = sorted(by_key.values(), key=lambda stored: (stored.row, stored.key))
    at = {stored.key: place for place, stored in enumerate(passages)}
    products = inner_products(vector, np.stack([stored.vector for stored in passages])) if passages else np.empty(0)
    scores = {**missing_scores, **{stored.key: score for stored, score in by_bm25}}
    bm25 = np.array([scores.get(stored.key, 0.0) for stored in passages], np.float64)
    both = Ranked(np.arange(len(passages)), bm25, products, bm25)
    legs = Ranked.of_dense(*_list_of(by_vectors, at)), Ranked.of_bm25(*_list_of(by_bm25, at))
    return passages, Legs(*legs, both, spread)


def _list_of(scored: Scored, at: dict[str, int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Scores]:
    rows = [at[stored.key] for stored, _ in scored]
    return np.array(rows, np.int64), np.array([score for _, score in scored], np.float64)


def _in_order(scored: Scored, ranked: Callable[..., Ranked]) -> tuple[list[StoredPassage], Ranked]:
    scores = np.array([score for _, score in scored], np.float64)
    return [stored for stored, _ in scored], ranked(np.arange(len(scored)), scores)


def _chosen(passages: Sequence[StoredPassage], ranked: Ranked, plan: SearchPlan, vector: Vectors | None) -> Ranked:
    """The final top k: after the threshold, and chosen for diversity if the plan asks for it."""
    if plan.keep is not None:
        ranked = ranked.take([at for at, score in enumerate(ranked.scores) if plan.keep(float(score))])
    if plan.diversity is None or not len(ranked.rows):
        return ranked.take(slice(plan.k))
    ranked = ranked.take(slice(plan.depth))
    candidates = np.stack([passages[int(row)].vector for row in ranked.rows])
    if vector is not None and plan.ranking.mode == "dense":
        return ranked.take(diversified(vector, candidates, plan.k, plan.diversity.balance))
    width = float(ranked.scores.max() - ranked.scores.min())
    scaled = (ranked.scores - ranked.scores.min()) / width if width else np.ones(len(ranked.scores))
    return ranked.take(diversified_by(scaled, candidates, plan.k, plan.diversity.balance))


def _hits(passages: Sequence[StoredPassage], ranked: Ranked) -> list[Hit]:
    columns = (column.tolist() for column in (ranked.rows, ranked.scores, ranked.dense, ranked.bm25))
    return [
        Hit(passages[row].passage, score, rank, dense=_or_none(product), bm25=_or_none(bm25))
        for rank, (row, score, product, bm25) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _or_none(score: float) -> float | None:
    return None if np.isnan(score) else score

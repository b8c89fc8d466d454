"""Top k of a collection: candidates from the engine, rescored by exact inner products, filters proven passage by passage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Diversity, Legs, Ranked, Ranking, diversified, diversified_by
from dpr_rag.fusion.ranking import Scores
from dpr_rag.index.search import inner_products
from dpr_rag.milvus.collection import MOST, Collection
from dpr_rag.milvus.conditions import Selection
from dpr_rag.milvus.records import Kept
from dpr_rag.passages import Hit

_SPARE, _WIDEN, _ROUNDING = 8, 4, 1e-4


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for.

    Attributes:
        k: Hits.
        selection: Which passages count.
        ranking: How they are ranked.
        exact: Search exactly also where the index is approximate.
        diversity: Choose among the best, or None.
        keep: Which scores are high enough, or None for all.
    """

    k: int
    selection: Selection
    ranking: Ranking
    exact: bool = False
    diversity: Diversity | None = None
    keep: Callable[[float], bool] | None = None

    @property
    def depth(self) -> int:
        """How many of the best are needed before any are chosen among them."""
        return self.k if self.diversity is None else max(self.k, self.diversity.candidates)


def find(collection: Collection, asked: Asked, vector: Vectors | None, words: str) -> list[Hit]:
    """The hits for one question, by its vector, by its words, or by both."""
    mode = asked.ranking.mode
    if mode == "hybrid" and vector is not None:
        known, ranked = _hybrid(collection, asked, vector, words)
    elif mode == "bm25" or vector is None:
        found = _by_words(collection, words, asked.depth, asked.selection)
        known, ranked = _in_order(found, Ranked.of_bm25)
    else:
        found = dense(collection, vector, asked.depth, asked.selection, exact=asked.exact)
        known, ranked = _in_order(found, Ranked.of_dense)
    return _hits(known, _chosen(known, ranked, asked, vector))


Scored = list[tuple[Kept, float]]


def dense(collection: Collection, vector: Vectors, depth: int, where: Selection, *, exact: bool = False) -> Scored:
    """The best passages by exact inner product, ties in order of insertion.

    The engine's own scores are float32 and, of a compressed index, rough: more than are wanted are taken and rescored, until
    none that it left out can belong to them.
    """
    limit = min(MOST, (1 if collection.kind.is_exact else _WIDEN) * depth + _SPARE)
    scan = depth > MOST - _SPARE or (exact and not collection.kind.is_exact)
    while not scan:
        brought = collection.nearest(vector.tolist(), limit, where.expression, words=False)
        kept = _scored(vector, [one for one, _ in brought if where.keeps(one.passage)])
        if len(brought) < limit:
            whole = (
                collection.kind.is_exact or len(kept) >= depth or collection.counted(where.expression) <= len(brought)
            )
            if whole:
                return kept[:depth]
            break
        border = brought[-1][1]
        sure = len(kept) >= depth and (
            not collection.kind.is_exact or kept[depth - 1][1] > border + _ROUNDING * max(1.0, abs(border))
        )
        if sure or (limit == MOST and len(kept) >= depth):
            return kept[:depth]
        scan, limit = limit == MOST, min(MOST, _WIDEN * limit)
    return _scanned(collection, vector, depth, where)


def _scanned(collection: Collection, vector: Vectors, depth: int, where: Selection) -> Scored:
    """The same by reading every passage that the expression keeps: exact, and as slow as that."""
    best: Scored = []
    page: list[Kept] = []
    for one in collection.scan(where.expression, vectors=True):
        if where.keeps(one.passage):
            page.append(one)
        if len(page) >= max(1_000, depth):
            best, page = _scored(vector, [*page, *(kept for kept, _ in best)])[:depth], []
    return _scored(vector, [*page, *(kept for kept, _ in best)])[:depth]


def _scored(vector: Vectors, kept: Sequence[Kept]) -> Scored:
    if not kept:
        return []
    scores = inner_products(vector, np.stack([one.vector for one in kept])).tolist()
    return sorted(zip(kept, scores, strict=True), key=lambda pair: (-pair[1], pair[0].row, pair[0].key))


def _by_words(collection: Collection, words: str, depth: int, where: Selection) -> Scored:
    """The best passages by the engine's BM25; only those that hold a word of the question."""
    limit = min(MOST, depth + _SPARE)
    while True:
        brought = collection.nearest(words, limit, where.expression, words=True)
        kept = [(one, score) for one, score in brought if where.keeps(one.passage)]
        if len(kept) >= depth or len(brought) < limit or limit == MOST:
            return sorted(kept, key=lambda pair: (-pair[1], pair[0].row, pair[0].key))[:depth]
        limit = min(MOST, _WIDEN * limit)


def words_of(collection: Collection, words: str, kept: Sequence[Kept]) -> Scores:
    """The engine's BM25 of a question with some passages; 0 for those that hold no word of it."""
    quoted = ", ".join(f'"{one.key}"' for one in kept)
    found = {}
    if kept:
        brought = collection.nearest(words, len(kept), f"key in [{quoted}]", words=True)
        found = {one.key: score for one, score in brought}
    return np.array([found.get(one.key, 0.0) for one in kept])


def _hybrid(collection: Collection, asked: Asked, vector: Vectors, words: str) -> tuple[list[Kept], Ranked]:
    depth = max(asked.depth, asked.ranking.candidates)
    by_vectors = dense(collection, vector, depth, asked.selection)
    by_words = _by_words(collection, words, depth, asked.selection)
    known = sorted({one.key: one for one, _ in [*by_vectors, *by_words]}.values(), key=lambda one: (one.row, one.key))
    if not known:
        return _in_order([], Ranked.of_dense)
    at = {one.key: place for place, one in enumerate(known)}
    products = inner_products(vector, np.stack([one.vector for one in known]))
    lacking = [one for one in known if one.key not in {other.key for other, _ in by_words}]
    scores = {one.key: score for one, score in by_words}
    scores |= dict(zip((one.key for one in lacking), words_of(collection, words, lacking).tolist(), strict=True))
    bm25 = np.array([scores[one.key] for one in known])
    lists = [_list_of(found, at) for found in (by_vectors, by_words)]
    legs = Legs(
        Ranked.of_dense(*lists[0]), Ranked.of_bm25(*lists[1]), Ranked(np.arange(len(known)), bm25, products, bm25)
    )
    return known, legs.ranked(asked.ranking)


def _list_of(found: Scored, at: dict[str, int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Scores]:
    return np.array([at[one.key] for one, _ in found], np.int64), np.array([score for _, score in found], np.float64)


def _in_order(found: Scored, ranked: Callable[..., Ranked]) -> tuple[list[Kept], Ranked]:
    scores = np.array([score for _, score in found], np.float64)
    return [one for one, _ in found], ranked(np.arange(len(found)), scores)


def _chosen(known: Sequence[Kept], ranked: Ranked, asked: Asked, vector: Vectors | None) -> Ranked:
    """What stays of the best passages, in its final order."""
    if asked.keep is not None:
        ranked = ranked.take([at for at, score in enumerate(ranked.scores) if asked.keep(float(score))])
    if asked.diversity is None or not len(ranked.rows):
        return ranked.take(slice(asked.k))
    ranked = ranked.take(slice(asked.depth))
    candidates = np.stack([known[int(row)].vector for row in ranked.rows])
    if vector is not None and asked.ranking.mode == "dense":
        return ranked.take(diversified(vector, candidates, asked.k, asked.diversity.balance))
    width = float(ranked.scores.max() - ranked.scores.min())
    scaled = (ranked.scores - ranked.scores.min()) / width if width else np.ones(len(ranked.scores))
    return ranked.take(diversified_by(scaled, candidates, asked.k, asked.diversity.balance))


def _hits(known: Sequence[Kept], ranked: Ranked) -> list[Hit]:
    columns = (one.tolist() for one in (ranked.rows, ranked.scores, ranked.dense, ranked.bm25))
    return [
        Hit(known[row].passage, score, rank, dense=_or_none(by_vector), bm25=_or_none(by_words))
        for rank, (row, score, by_vector, by_words) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _or_none(score: float) -> float | None:
    return None if np.isnan(score) else score

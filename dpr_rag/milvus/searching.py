"""Top k of a collection: candidates from the engine, rescored by exact inner products, filters proven passage by passage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Diversity, Legs, Ranked, Ranking, diversified, diversified_by, spread_of
from dpr_rag.fusion.ranking import Scores
from dpr_rag.index.search import inner_products
from dpr_rag.milvus.collection import MOST, Collection, Found
from dpr_rag.milvus.conditions import Selection
from dpr_rag.milvus.records import Kept
from dpr_rag.passages import Hit

_SPARE, _WIDEN, _ROUNDING = 8, 4, 1e-4
_TOGETHER = 8
"""Questions whose legs are joined at once."""


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
        """How many of the best are needed before any are chosen among them."""
        return self.k if self.diversity is None else max(self.k, self.diversity.candidates)


def find(collection: Collection, asked: Asked, vectors: Vectors | None, words: Sequence[str]) -> list[list[Hit]]:
    """The hits for questions, by their vectors, [n, dim], by their words, or by both."""
    mode = asked.ranking.mode
    if mode == "hybrid" and vectors is not None:
        both = legs_of(collection, asked, vectors, words)
        made = [(known, legs.ranked(asked.ranking)) for known, legs in both]
    elif mode == "bm25" or vectors is None:
        brought = _by_words(collection, words, asked.depth, asked.selection)
        made = [_in_order(one, Ranked.of_bm25) for one in brought]
    else:
        brought = dense(collection, vectors, asked.depth, asked.selection, exact=asked.exact)
        made = [_in_order(one, Ranked.of_dense) for one in brought]
    each = [None] * len(made) if vectors is None else vectors
    return [_hits(known, _chosen(known, one, asked, vector)) for (known, one), vector in zip(made, each, strict=True)]


Scored = list[tuple[Kept, float]]


def dense(
    collection: Collection, vectors: Vectors, depth: int, where: Selection, *, exact: bool = False
) -> list[Scored]:
    """The best passages for each question by exact inner product, ties in order of insertion.

    The engine's own scores are float32 and, of a compressed index, rough: more than are wanted are taken and rescored, until
    none that it left out can belong to them.
    """
    done: dict[int, Scored] = {}
    limit = min(MOST, (1 if collection.kind.is_exact else _WIDEN) * depth + _SPARE)
    scan = depth > MOST - _SPARE or (exact and not collection.kind.is_exact)
    asked = [] if scan else list(range(len(vectors)))
    while asked:
        brought = collection.nearest(vectors[asked].tolist(), limit, where.expression, words=False)
        short = set[int]()
        for at, found in zip(asked, brought, strict=True):
            kept = _scored(vectors[at], [one for one, _ in found if where.keeps(one.passage)])
            if _is_whole(collection, kept, found, limit, depth, where):
                done[at] = kept[:depth]
            elif len(found) < limit:
                short.add(at)
        asked = [] if limit == MOST else [at for at in asked if at not in done and at not in short]
        limit = min(MOST, _WIDEN * limit)
    left = [at for at in range(len(vectors)) if at not in done]
    done |= zip(left, _scanned(collection, vectors[left], depth, where), strict=True)
    return [done[at] for at in range(len(vectors))]


def _is_whole(collection: Collection, kept: Scored, found: Found, limit: int, depth: int, where: Selection) -> bool:
    """Whether none that the engine left out can belong to the best."""
    exact, enough = collection.kind.is_exact, len(kept) >= depth
    if len(found) < limit:
        return exact or enough or collection.counted(where.expression) <= len(found)
    border = found[-1][1]
    sure = not exact or (enough and kept[depth - 1][1] > border + _ROUNDING * max(1.0, abs(border)))
    return enough and (sure or limit == MOST)


def _scanned(collection: Collection, vectors: Vectors, depth: int, where: Selection) -> list[Scored]:
    """The same by reading every passage that the expression keeps: exact, and as slow as that."""
    best: list[Scored] = [[] for _ in vectors]
    page: list[Kept] = []

    def sorted_in() -> None:
        for at, vector in enumerate(vectors):
            best[at] = _scored(vector, [*page, *(kept for kept, _ in best[at])])[:depth]
        page.clear()

    for one in collection.scan(where.expression, vectors=True) if best else ():
        if where.keeps(one.passage):
            page.append(one)
        if len(page) >= max(1_000, depth):
            sorted_in()
    sorted_in()
    return best


def _scored(vector: Vectors, kept: Sequence[Kept]) -> Scored:
    if not kept:
        return []
    scores = inner_products(vector, np.stack([one.vector for one in kept])).tolist()
    return sorted(zip(kept, scores, strict=True), key=lambda pair: (-pair[1], pair[0].row, pair[0].key))


def _by_words(collection: Collection, words: Sequence[str], depth: int, where: Selection) -> list[Scored]:
    """The best passages for each question by the engine's BM25; only those that hold a word of it."""
    done: dict[int, Scored] = {}
    limit, asked = min(MOST, depth + _SPARE), list(range(len(words)))
    while asked:
        brought = collection.nearest([words[at] for at in asked], limit, where.expression, words=True)
        for at, found in zip(asked, brought, strict=True):
            kept = [(one, score) for one, score in found if where.keeps(one.passage)]
            if len(kept) >= depth or len(found) < limit or limit == MOST:
                done[at] = sorted(kept, key=lambda pair: (-pair[1], pair[0].row, pair[0].key))[:depth]
        asked, limit = [at for at in asked if at not in done], min(MOST, _WIDEN * limit)
    return [done[at] for at in range(len(words))]


def legs_of(
    collection: Collection, asked: Asked, vectors: Vectors, words: Sequence[str]
) -> Iterator[tuple[list[Kept], Legs]]:
    """What both legs bring for each question; rows are places in the list of passages beside them."""
    depth = max(asked.depth, asked.ranking.candidates)
    for start in range(0, len(words), _TOGETHER):
        part, texts = vectors[start : start + _TOGETHER], words[start : start + _TOGETHER]
        by_vectors = dense(collection, part, depth, asked.selection)
        by_words = _by_words(collection, texts, depth, asked.selection)
        lists = list(zip(by_vectors, by_words, strict=True))
        lacking = [_without(*pair) for pair in lists]
        keys = list(dict.fromkeys(one.key for row in lacking for one in row))
        scores = collection.scores_by_words(texts, keys)
        for vector, (first, second), more in zip(part, lists, scores, strict=True):
            yield _joined(vector, first, second, more, spread_of(vector, asked.drawn))


def _without(by_vectors: Scored, by_words: Scored) -> list[Kept]:
    """What the engine's BM25 did not bring; whether it holds a word of the question is asked apart."""
    there = {one.key for one, _ in by_words}
    return [one for one, _ in by_vectors if one.key not in there]


def _joined(
    vector: Vectors, by_vectors: Scored, by_words: Scored, more: Mapping[str, float], spread: float
) -> tuple[list[Kept], Legs]:
    known = sorted({one.key: one for one, _ in [*by_vectors, *by_words]}.values(), key=lambda one: (one.row, one.key))
    at = {one.key: place for place, one in enumerate(known)}
    products = inner_products(vector, np.stack([one.vector for one in known])) if known else np.empty(0)
    scores = {**more, **{one.key: score for one, score in by_words}}
    bm25 = np.array([scores.get(one.key, 0.0) for one in known], np.float64)
    both = Ranked(np.arange(len(known)), bm25, products, bm25)
    legs = Ranked.of_dense(*_list_of(by_vectors, at)), Ranked.of_bm25(*_list_of(by_words, at))
    return known, Legs(*legs, both, spread)


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

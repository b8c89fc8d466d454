"""One question under several rankings, side by side: changes of rank, scores of both legs, and timings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.fusion import Mode, RankingOptions
from dpr_rag.pages.automatic import automatic
from dpr_rag.passages import Hit, Passage, check_question
from dpr_rag.stores import WholeStore

MODES: tuple[Mode, ...] = ("dense", "bm25", "hybrid")
MOST_POINTS = 20_000


@dataclass(frozen=True, slots=True)
class Column:
    """What one ranking found.

    Attributes:
        mode: Its mode.
        hits: Its hits, best first.
        relevances: How relevant each is, in [0, 1].
        search_ms: How long the search took, in milliseconds, without encoding.
        error: Why there are no hits, or an empty string.
    """

    mode: Mode
    hits: tuple[Hit, ...] = ()
    relevances: tuple[float, ...] = ()
    search_ms: float = 0.0
    error: str = ""

    def rank_of(self, passage_id: str) -> int | None:
        """The rank of a passage here, from 1, or None."""
        return next((hit.rank for hit in self.hits if hit.passage.id == passage_id), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question under all rankings.

    Attributes:
        question: The question.
        columns: One for each mode.
        encode_ms: How long encoding took, in milliseconds; None where the store has no encoder.
        vector: The question's vector, float32 [dim]; None as well.
        automatic: The mode that the store is searched in where nobody chose.
    """

    question: str
    columns: tuple[Column, ...]
    encode_ms: float | None
    vector: Vectors | None
    automatic: Mode = "dense"


def compare(store: WholeStore, question: str, k: int, where: Mapping[str, Any] | None) -> Comparison:
    """Ask a store in every mode; a store without an encoder answers by words alone.

    Raises:
        PassageError: The question is blank or no text.
        FilterError: The filter cannot be understood.
    """
    checked = check_question(question)
    vectors, encode_ms = None, None
    if store.encoder is not None:
        begun = time.perf_counter()
        vectors = store.encode_questions([checked])
        encode_ms = _since(begun)
    mode = automatic(store) or store.ranking.mode
    columns = tuple(_column(store, mode, checked, k, where, vectors) for mode in MODES)
    return Comparison(checked, columns, encode_ms, None if vectors is None else vectors[0], mode)


def _column(
    store: WholeStore, mode: Mode, question: str, k: int, where: Mapping[str, Any] | None, vectors: Vectors | None
) -> Column:
    ranking = store.ranking_of(RankingOptions(mode))
    if ranking.needs_vectors and vectors is None:
        return Column(mode, error="the store has no encoder")
    calibration = store.calibration_of(ranking)
    begun = time.perf_counter()
    (hits,) = store.rank([question], k, where, ranking=ranking, vectors=vectors if ranking.needs_vectors else None)
    took = _since(begun)
    return Column(mode, tuple(hits), tuple(calibration.relevance(hit.score) for hit in hits), took)


def _since(begun: float) -> float:
    return 1000 * (time.perf_counter() - begun)


def neighbours(store: WholeStore, passage_id: str, k: int) -> list[Hit]:
    """The passages that are nearest to one by inner product, without itself; nothing where it is gone."""
    vector = store.get_vectors([passage_id]).get(passage_id)
    if vector is None:
        return []
    hits = store.search(vector[np.newaxis], k + 1)[0]
    return [hit for hit in hits if hit.passage.id != passage_id][:k]


@dataclass(frozen=True, slots=True)
class Map:
    """Passages in two dimensions, those in which their vectors differ most (principal components).

    Attributes:
        passages: The passages, drawn at random where the store has more than 20,000.
        points: Where they stand, float [n, 2].
        centre: Mean of their vectors, [dim].
        axes: The two directions, [2, dim].
    """

    passages: Sequence[Passage]
    points: np.ndarray
    centre: np.ndarray
    axes: np.ndarray

    def place(self, vector: Vectors) -> np.ndarray:
        """Where a vector stands among them, [2]."""
        point: np.ndarray = self.axes @ (vector - self.centre)
        return point


def map_of(store: WholeStore) -> Map | None:
    """The map of a store, or None where it has fewer than three passages."""
    passages, vectors = store.sample(MOST_POINTS)
    if len(passages) < 3:
        return None
    centre = vectors.mean(axis=0)
    spread = (vectors - centre).astype(np.float64)
    _, directions = np.linalg.eigh(spread.T @ spread)
    axes = directions[:, ::-1][:, :2].T
    axes = axes * np.where(axes.sum(axis=1) < 0, -1.0, 1.0)[:, np.newaxis]  # eigenvectors have no sign of their own
    return Map(passages, spread @ axes.T, centre, axes)

"""Training a FAISS index with a sample that grows with its clusters, read in parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.index.clustering import POINTS_PER_CLUSTER, centroids
from dpr_rag.index.library import import_faiss
from dpr_rag.index.matrix import Matrix

TRAINING_POINTS = 100_000
"""Vectors that quantizers and transforms are trained with; the most that are in memory at a time."""
_SEED = 20_20
_FEWEST = 39
_BLOCK = 1024
_log = logging.getLogger(__name__)


def no_checkpoint() -> None:
    """The checkpoint of work that is never cancelled: does nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """The vectors that an index is trained with and filled from.

    Attributes:
        matrix: All of them.
        long: Positions of those that no index is trained with, see :attr:`dpr_rag.index.segments.Manifest.long`.
        checkpoint: Called between two steps; an exception that it raises ends the work.
    """

    matrix: Matrix
    long: Sequence[int] = ()
    checkpoint: Callable[[], object] = no_checkpoint

    def drawn(self, count: int) -> Rows:
        """A stratified random sample of ``count`` positions: one out of each of as many equal ranges; ascending.

        All where there are no more, and none of the long ones.
        """
        total = self.matrix.count
        count = min(total, count)
        bounds = np.arange(count + 1, dtype=np.int64) * total // count
        chosen = np.random.default_rng(_SEED).integers(bounds[:-1], bounds[1:])
        return np.setdiff1d(chosen, np.array(self.long, np.int64), assume_unique=True)

    def take(self, positions: Rows) -> Vectors:
        """The vectors at some positions, float32 [n, dim]."""
        self.checkpoint()
        return self.matrix.take(positions)

    def blocks(self, start: int = 0) -> Iterator[Vectors]:
        """All vectors from one on, in order, in blocks small enough that an interrupt is noticed between two of them."""
        for at in range(start, self.matrix.count, _BLOCK):
            yield self.take(np.arange(at, min(at + _BLOCK, self.matrix.count)))


def train(index: Any, source: Source) -> None:
    """Train an index: its clusters with 64 vectors per cluster, or all there are; quantizers with 100,000.

    FAISS would hold the whole sample in memory and compare each vector with every centroid; what it is given here are the
    centroids, see :func:`dpr_rag.index.clustering.centroids`.

    Raises:
        RuntimeError: FAISS cannot train it.
    """
    inverted = _inverted(index)
    if inverted is not None:
        _give_centroids(index, inverted, source)
    index.train(source.take(source.drawn(TRAINING_POINTS)))


def _give_centroids(index: Any, inverted: Any, source: Source) -> None:
    transforms = _transforms(index)
    if transforms:
        sample = source.take(source.drawn(TRAINING_POINTS))
        for transform in transforms:
            if not transform.is_trained:
                transform.train(sample)
            sample = transform.apply(sample)

    def take(positions: Rows) -> Vectors:
        vectors = source.take(positions)
        for transform in transforms:
            vectors = transform.apply(vectors)
        return vectors

    positions = source.drawn(inverted.nlist * POINTS_PER_CLUSTER)
    if len(positions) < inverted.nlist:  # directions count here, not lengths
        positions = replace(source, long=()).drawn(inverted.nlist * POINTS_PER_CLUSTER)
    if len(positions) < inverted.nlist:
        return  # FAISS says what is missing
    if source.matrix.count < _FEWEST * inverted.nlist:
        _log.warning(
            "%d vectors for %d clusters are fewer than %d each, which makes poor clusters; ask for %d at most, or for none",
            source.matrix.count,
            inverted.nlist,
            _FEWEST,
            source.matrix.count // _FEWEST,
        )
    centres = centroids(take, positions, inverted.nlist, seed=_SEED)
    if not inverted.quantizer.is_trained:
        inverted.quantizer.train(centres)
    inverted.quantizer.add(centres)


def _inverted(index: Any) -> Any:
    """The inverted file of an index whose centroids can be set, or None."""
    faiss = import_faiss()
    ivf = faiss.try_extract_index_ivf(index)
    return None if ivf is None or ord(ivf.quantizer_trains_alone) == 1 else ivf


def _transforms(index: Any) -> list[Any]:
    faiss = import_faiss()
    outer = faiss.downcast_index(index)
    if not isinstance(outer, faiss.IndexPreTransform):
        return []
    return [faiss.downcast_VectorTransform(outer.chain.at(at)) for at in range(outer.chain.size())]

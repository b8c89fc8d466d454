"""Centroids for an inverted file: k-means by direction, in two levels where one would take hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.index.library import import_faiss

POINTS_PER_CLUSTER = 64
"""FAISS asks for 39 at least, and uses no more than 256."""
ONE_LEVEL = 1024
"""Clusters that are found at once, from at most 64 times as many vectors in memory."""
_ROUNDS, _MENDING = 10, 2
_LUMP = 0.9
_BLOCK = 16_384

Take = Callable[[Rows], Vectors]


def centroids(take: Take, positions: Rows, clusters: int, *, seed: int) -> Vectors:
    """Centroids of length 1, float32 [clusters, dim], by spherical k-means.

    Above 1,024 clusters the vectors are split into groups, and each group gets a share of the clusters that fits its size;
    two rounds over all vectors then mend the borders of the groups, which cost index recall. Ten rounds over all would
    take five times as long. No more than 65,536 vectors are in memory at a time.

    Args:
        take: Reads the vectors at some positions, float32 [n, dim].
        positions: Of the vectors to train with, ascending, at least as many as clusters.
        clusters: How many centroids.
        seed: Of all random choices.
    """
    centres = _grouped(take, positions, clusters, seed)
    for _ in range(_MENDING if clusters > ONE_LEVEL else 0):
        centres = _moved(take, positions, centres)
    return centres


def _grouped(take: Take, positions: Rows, clusters: int, seed: int) -> Vectors:
    if clusters <= ONE_LEVEL:
        return _means(take(_some(positions, clusters * POINTS_PER_CLUSTER, seed)), clusters, seed)
    groups = _split(take, positions, min(ONE_LEVEL, 2 * clusters // ONE_LEVEL), seed)
    if max(map(len, groups)) > _LUMP * len(positions):
        # nearly all alike, as copies of one text are: splitting again would not end
        return _normalized(np.concatenate([take(part) for part in _parts(_some(positions, clusters, seed))]))
    shares = _shares([len(group) for group in groups], clusters)
    pairs = enumerate(zip(groups, shares, strict=True), 1)
    return np.concatenate([_grouped(take, group, share, seed + at) for at, (group, share) in pairs if share])


def _moved(take: Take, positions: Rows, centroids: Vectors) -> Vectors:
    """One round of k-means: each centroid becomes the mean direction of its vectors; one without vectors stays."""
    sums = np.zeros(centroids.shape, np.float64)
    for vectors, nearest in _nearest(take, positions, centroids):
        order = np.argsort(nearest, kind="stable")
        present, starts = np.unique(nearest[order], return_index=True)
        sums[present] += np.add.reduceat(vectors[order], starts)
    return np.where(sums.any(axis=1, keepdims=True), _normalized(sums), centroids)


def _nearest(take: Take, positions: Rows, centroids: Vectors) -> Iterator[tuple[Vectors, Rows]]:
    """The vectors, in blocks, and the number of each one's centroid, that of the largest inner product."""
    faiss = import_faiss()
    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(centroids)
    for part in _parts(positions):
        vectors = take(part)
        yield vectors, index.search(vectors, 1)[1][:, 0]


def _split(take: Take, positions: Rows, groups: int, seed: int) -> list[Rows]:
    """The positions grouped by the nearest of some coarse centroids."""
    coarse = _means(take(_some(positions, groups * POINTS_PER_CLUSTER, seed)), groups, seed)
    nearest = np.concatenate([clusters for _, clusters in _nearest(take, positions, coarse)])
    return [positions[nearest == group] for group in range(groups)]


def _shares(sizes: list[int], clusters: int) -> list[int]:
    """Clusters for each group, in proportion to its size and at most that, which add up to ``clusters``."""
    exact = np.array(sizes, np.float64) * clusters / sum(sizes)
    shares = exact.astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: clusters - shares.sum()]] += 1
    return [int(share) for share in shares]


def _means(vectors: Vectors, clusters: int, seed: int) -> Vectors:
    faiss = import_faiss()
    # FAISS warns on the terminal below the minimum, which only few vectors or a group's remains are
    bounds = {"min_points_per_centroid": 1, "max_points_per_centroid": len(vectors)}
    means = faiss.Kmeans(vectors.shape[1], clusters, niter=_ROUNDS, seed=seed, spherical=True, **bounds)
    means.train(np.ascontiguousarray(vectors))
    return _normalized(means.centroids)


def _normalized(vectors: npt.NDArray[np.floating]) -> Vectors:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _some(positions: Rows, count: int, seed: int) -> Rows:
    """At most so many of the positions, drawn at random, ascending."""
    if len(positions) <= count:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, count, replace=False))


def _parts(positions: Rows) -> Iterator[npt.NDArray[np.int64]]:
    """Blocks small enough that an interrupt is noticed between two of them."""
    for start in range(0, len(positions), _BLOCK):
        yield positions[start : start + _BLOCK]

"""Extending a copy of an index by further vectors, where what it was trained with still suits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.derived import SegmentDamagedError
from dpr_rag.encoder import Vectors
from dpr_rag.errors import IndexKindError
from dpr_rag.index import ann
from dpr_rag.index.kinds import KINDS, Plan
from dpr_rag.index.library import import_faiss
from dpr_rag.index.training import Source

SAMPLE = 2_000
_WORSE, _ROUNDING = 1.5, 0.01
_OUTGROWN = 2
_SMALLEST = 1e-30


def continues(old: Plan, fresh: Plan) -> bool:
    """Whether an index of one plan can go on where another one is due now: the same, but for a number of clusters.

    Clusters are found anew once twice as many are due, which is at four times as many vectors.
    """
    if not old.factory or old.name not in KINDS:  # what a factory string makes is not known well enough
        return old.name == fresh.name == "flat"
    many, due = old.parameters.get("nlist"), fresh.parameters.get("nlist")
    if many is None or due is None:
        return old.factory == fresh.factory
    renamed = fresh.factory.replace(f"IVF{due},", f"IVF{many},")
    return old.factory == renamed and many * _OUTGROWN >= due


def opened(path: Path) -> Any:
    """A copy of an index in memory.

    Raises:
        SegmentDamagedError: It cannot be read.
    """
    try:
        return import_faiss().read_index(str(path))
    except RuntimeError as error:
        raise SegmentDamagedError(path, f"cannot be opened: {error}") from error


def suits(index: Any, old: Vectors, new: Vectors) -> bool:
    """Whether an index holds new vectors about as well as some of those it was made of.

    Quantizers and clusters are trained once: components beyond all that were seen are cut off, and what lies far from every
    cluster is looked for in the wrong ones.

    Args:
        index: FAISS's index.
        old: Some of its own, float32 [n, dim].
        new: Some of those to come.
    """
    return all(
        float(loss(index, new).mean()) <= _WORSE * float(loss(index, old).mean()) + _ROUNDING
        for loss in (_lost_in_codes, _lost_to_clusters)
    )


def _lost_in_codes(index: Any, vectors: Vectors) -> Any:
    """Distance of each vector from what the index makes of it, as a share of its length, 1 at most; 0 where all is kept."""
    faiss = import_faiss()
    inmost = faiss.downcast_index(index)
    coder = faiss.downcast_index(inmost.storage) if isinstance(inmost, faiss.IndexHNSW) else inmost
    if isinstance(coder, faiss.IndexFlat):
        return np.zeros(len(vectors))
    return np.minimum(1, _lengths(coder.sa_decode(coder.sa_encode(vectors)) - vectors) / _lengths(vectors))


def _lost_to_clusters(index: Any, vectors: Vectors) -> Any:
    """1 less the cosine of each vector and its cluster's centroid; 0 where there are no clusters."""
    inverted = import_faiss().try_extract_index_ivf(index)
    if inverted is None:
        return np.zeros(len(vectors))
    products, clusters = inverted.quantizer.search(vectors, 1)
    centroids = np.stack([inverted.quantizer.reconstruct(int(one)) for one in clusters[:, 0]])
    return 1 - products[:, 0] / _lengths(vectors) / _lengths(centroids)


def _lengths(vectors: Vectors) -> Any:
    return np.maximum(np.linalg.norm(vectors.astype(np.float64), axis=1), _SMALLEST)


def extend(index: Any, plan: Plan, source: Source, path: Path, *, norm: float) -> None:
    """Add those vectors of a source that an index does not hold yet, and write it to a file.

    Args:
        index: FAISS's index of the first of them, in memory; it is changed.
        plan: What it was built by.
        source: All vectors.
        path: File to write.
        norm: Largest Euclidean norm of a vector.

    Raises:
        IndexKindError: FAISS cannot hold them.
    """
    ann.refuse_long(plan, norm)
    try:
        for block in source.blocks(int(index.ntotal)):
            index.add(block)
        import_faiss().write_index(index, str(path))
    except RuntimeError as error:
        raise IndexKindError(f"FAISS cannot extend {plan.name!r} ({plan.factory}): {ann.first_line(error)}") from error

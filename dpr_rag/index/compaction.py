"""Incremental compaction of a FAISS index: a copy is extended by new vectors, if its trained parts still suit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.errors import IndexKindError
from dpr_rag.index import ann
from dpr_rag.index.kinds import KINDS, Plan
from dpr_rag.index.library import import_faiss, write_index
from dpr_rag.index.training import Source

SAMPLE_SIZE = 2_000
_MAX_ERROR_RATIO, _ERROR_TOLERANCE = 1.5, 0.01
_MAX_CLUSTER_RATIO = 2
_MIN_LENGTH = 1e-30


def can_extend(old: Plan, wanted: Plan) -> bool:
    """Whether an index built by ``old`` can be extended where ``wanted`` is due: the same kind, and enough clusters.

    Clusters are found anew once twice as many are due, which is at four times as many vectors.
    """
    if not old.factory or old.name not in KINDS:  # what a factory string makes is not known well enough
        return old.name == wanted.name == "flat"
    clusters, due = old.parameters.get("nlist"), wanted.parameters.get("nlist")
    if clusters is None or due is None:
        return old.factory == wanted.factory
    factory = wanted.factory.replace(f"IVF{due},", f"IVF{clusters},")
    return old.factory == factory and clusters * _MAX_CLUSTER_RATIO >= due


def fits(index: Any, old: Vectors, new: Vectors) -> bool:
    """Whether the mean error of new vectors in an index is at most 1.5 times (plus 0.01) that of the vectors in it.

    Quantizers and clusters are trained once: components beyond all that were seen are cut off, and what lies far from every
    cluster is looked for in the wrong ones.

    Args:
        index: FAISS's index.
        old: A sample of the vectors in it, float32 [n, dim].
        new: A sample of the vectors to add, float32 [m, dim].
    """
    return all(
        float(error(index, new).mean()) <= _MAX_ERROR_RATIO * float(error(index, old).mean()) + _ERROR_TOLERANCE
        for error in (_quantization_error, _clustering_error)
    )


def _quantization_error(index: Any, vectors: Vectors) -> Any:
    """Distance between each vector and its decoded code, over the vector's length, at most 1; 0 where vectors are not coded."""
    faiss = import_faiss()
    inmost = faiss.downcast_index(index)
    coder = faiss.downcast_index(inmost.storage) if isinstance(inmost, faiss.IndexHNSW) else inmost
    if isinstance(coder, faiss.IndexFlat):
        return np.zeros(len(vectors))
    distances = np.linalg.norm((coder.sa_decode(coder.sa_encode(vectors)) - vectors).astype(np.float64), axis=1)
    return np.minimum(1, distances / _divisors(vectors))


def _clustering_error(index: Any, vectors: Vectors) -> Any:
    """1 less the cosine of each vector and its cluster's centroid; 0 where there are no clusters."""
    inverted = import_faiss().try_extract_index_ivf(index)
    if inverted is None:
        return np.zeros(len(vectors))
    products, clusters = inverted.quantizer.search(vectors, 1)
    centroids = np.stack([inverted.quantizer.reconstruct(int(cluster)) for cluster in clusters[:, 0]])
    return 1 - products[:, 0] / _divisors(vectors) / _divisors(centroids)


def _divisors(vectors: Vectors) -> Any:
    """Lengths to divide by: those of vectors of zeros are raised a little above 0."""
    return np.maximum(np.linalg.norm(vectors.astype(np.float64), axis=1), _MIN_LENGTH)


def extend(index: Any, plan: Plan, source: Source, path: Path, *, norm: float) -> None:
    """Add the vectors of a source that come after those in an index, and write it to a file.

    Args:
        index: FAISS's index of the first vectors of the source, in memory; it is changed.
        plan: The plan that it was built by.
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
        write_index(index, path)
    except RuntimeError as error:
        raise IndexKindError(f"FAISS cannot extend {plan.name!r} ({plan.factory}): {ann.first_line(error)}") from error

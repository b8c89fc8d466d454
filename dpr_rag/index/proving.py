"""Verifies that a FAISS index holds the vectors of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.index.ann import AnnIndex
from dpr_rag.index.library import import_faiss
from dpr_rag.index.matrix import Matrix

_STEP = 4096
_SAMPLE = 256
_WORSE, _ROUNDING = 1.5, 0.01


def holds(index: AnnIndex, matrix: Matrix, *, sampled: bool = False) -> bool:
    """Whether an index holds the vectors of a matrix, each at its position.

    What it holds of a vector may be no farther from it than what the index would make of it now, and a half of that for
    another processor's rounding. Types of index other than the named kinds, whose codes cannot be read one by one, are
    taken on trust.

    Args:
        index: Of as many vectors as the matrix has.
        matrix: The vectors.
        sampled: Look at some 4,000 vectors instead of all.
    """
    seen = 0
    for positions, stored, coder in _parts(index, sampled):
        if (positions < 0).any() or (positions >= matrix.count).any():
            return False
        vectors = matrix.take(positions)
        meant = coder.sa_decode(coder.sa_encode(vectors))
        allowed = _WORSE * _lengths(meant - vectors) + _ROUNDING * _lengths(vectors)
        if not (_lengths(stored - vectors) <= allowed).all():
            return False
        seen += len(np.unique(positions))
    return sampled or not seen or seen == matrix.count


def _lengths(vectors: Vectors) -> Any:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


def _parts(index: AnnIndex, sampled: bool) -> Iterator[tuple[Rows, Vectors, Any]]:
    """Positions, what the index holds there, float32 [n, dim], and the part of it that encodes vectors."""
    faiss = import_faiss()

    inmost = index.inmost
    if isinstance(inmost, faiss.IndexIVFFlat | faiss.IndexIVFScalarQuantizer | faiss.IndexIVFPQ | faiss.IndexIVFRaBitQ):
        yield from _of_lists(index, sampled)
        return
    kept = faiss.downcast_index(inmost.storage) if index.is_graph else inmost
    if index.transforms or not isinstance(
        kept, faiss.IndexFlat | faiss.IndexScalarQuantizer | faiss.IndexPQ | faiss.IndexRaBitQ
    ):
        return
    step = _SAMPLE if sampled else _STEP
    for start in range(0, index.count, max(step, index.count // (_STEP // _SAMPLE)) if sampled else step):
        size = min(step, index.count - start)
        yield np.arange(start, start + size), kept.reconstruct_n(start, size), kept


def _of_lists(index: AnnIndex, sampled: bool) -> Iterator[tuple[Rows, Vectors, Any]]:
    """Like :func:`_parts`, for an inverted file: a group of clusters at a time."""
    chosen = range(0, index.inmost.nlist, max(1, index.inmost.nlist // (_STEP // _SAMPLE)) if sampled else 1)
    waiting: list[tuple[Rows, Any]] = []
    for number in chosen:
        waiting.append(_of_list(index.inmost, number))
        if number == chosen[-1] or sum(len(positions) for positions, _ in waiting) >= _STEP:
            positions, codes = (np.concatenate(column) for column in zip(*waiting, strict=True))
            waiting = []
            if len(positions):
                yield positions, index.outer.sa_decode(codes), index.outer


def _of_list(inverted: Any, number: int) -> tuple[Rows, Any]:
    """Positions in one cluster, and their codes, each behind the number of the cluster."""
    faiss = import_faiss()

    lists, width = inverted.invlists, inverted.coarse_code_size()
    size, each = lists.list_size(number), lists.code_size
    if not size:
        return np.empty(0, np.int64), np.empty((0, width + each), np.uint8)
    positions = faiss.rev_swig_ptr(lists.get_ids(number), size).copy()
    codes = faiss.rev_swig_ptr(lists.get_codes(number), size * each).reshape(size, each)
    name = np.frombuffer(number.to_bytes(width, "little"), np.uint8)
    return positions, np.concatenate([np.broadcast_to(name, (size, width)), codes], axis=1)

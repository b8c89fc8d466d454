"""Building, opening and searching the FAISS index of a segment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import IndexKindError
from dpr_rag.index.kinds import EF_SEARCH, Plan, probed
from dpr_rag.index.library import import_faiss, read_index, write_index
from dpr_rag.index.training import Source, train

_LARGEST_FLOAT16 = 65_504
_ANY_DIMENSIONS = (768, 1024, 384, 300, 64)


class UntrainedError(IndexKindError):
    """FAISS cannot train an index with the vectors that there are; they may be too few."""


def build(plan: Plan, source: Source, path: Path, *, norm: float) -> None:
    """Train, fill and write a FAISS index, always for the inner product.

    Args:
        plan: The decision, see :func:`dpr_rag.index.kinds.plan`.
        source: The vectors.
        path: File to write.
        norm: Largest Euclidean norm of a vector.

    Raises:
        IndexKindError: FAISS cannot make or fill such an index.
        UntrainedError: It cannot train it.
    """
    refuse_long(plan, norm)
    try:
        index = _trained(plan, source)
        for block in source.blocks():
            index.add(block)
        write_index(index, path)
    except RuntimeError as error:
        raise IndexKindError(_failure(plan, source, error)) from error


def _failure(plan: Plan, source: Source, error: Exception) -> str:
    over = f"{source.matrix.count:,} vectors of {source.matrix.dim} dimensions"
    return f"FAISS cannot build {plan.name!r} ({plan.factory}) over {over}: {first_line(error)}; choose another index"


def refuse_long(plan: Plan, norm: float) -> None:
    """Refuse vectors whose components could overflow float16 in an index of that type.

    Raises:
        IndexKindError: ``norm``, the largest Euclidean norm, is beyond float16.
    """
    if "fp16" in plan.factory and norm > _LARGEST_FLOAT16:
        raise IndexKindError(f"{plan.name!r} cannot hold vectors of length {norm:g} in float16; choose another index")


def _trained(plan: Plan, source: Source) -> Any:
    """A new index, trained without the long vectors, or with them where FAISS asks for more than are left."""
    faiss = import_faiss()
    index = faiss.index_factory(source.matrix.dim, plan.factory, faiss.METRIC_INNER_PRODUCT)
    _configure(index, plan)
    if index.is_trained:
        return index
    try:
        train(index, source)
    except RuntimeError as error:
        if source.long:
            return _trained(plan, replace(source, long=()))
        raise UntrainedError(_failure(plan, source, error)) from error
    return index


def check_factory(factory: str, dim: int | None) -> None:
    """Refuse a FAISS factory string that cannot serve as a segment.

    Args:
        factory: FAISS factory string.
        dim: Components per vector, or None where they are not known yet.

    Raises:
        IndexKindError: It does not parse, changes inner products, wraps ids of its own, or rescores by itself.
    """
    faiss = import_faiss()
    if re.search(r"L2[nN]orm|IDMap|RFlat|Refine", factory):
        raise IndexKindError(
            f"the index {factory!r} scales vectors, wraps ids or refines by itself; dpr-rag searches plain rows by inner "
            "product and rescores every candidate: leave that part out"
        )
    for tried in _ANY_DIMENSIONS if dim is None else (dim,):
        try:
            index = faiss.index_factory(tried, factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            problem = error
            continue
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise IndexKindError(f"the index {factory!r} does not search by inner product; choose another")
        return
    raise IndexKindError(f"FAISS cannot read the index {factory!r}: {first_line(problem)}") from problem


def first_line(error: Exception) -> str:
    """The first line of an error of FAISS, without the position in its source."""
    return str(error).strip().splitlines()[0].split("Error: ")[-1]


def _configure(index: Any, plan: Plan) -> None:
    """Set parameters that the factory string cannot express, and limit the training of product quantizers."""
    faiss = import_faiss()
    inner = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    if hasattr(inner, "hnsw"):
        inner.hnsw.efConstruction = plan.parameters.get("efConstruction", 128)
    if hasattr(inner, "pq"):
        inner.pq.cp.niter = 10
        inner.pq.cp.max_points_per_centroid = 64
    if hasattr(inner, "do_polysemous_training"):
        inner.do_polysemous_training = False  # a second and more for each part, for a way of searching that is not used


def version() -> str:
    """Version of FAISS, as manifests record it."""
    faiss = import_faiss()
    return str(faiss.__version__)


class AnnIndex:
    """A FAISS index opened read-only and memory-mapped.

    Attributes:
        count: Number of vectors.
        dim: Components per vector.
        is_graph: Whether it is an HNSW graph, maybe over transformed vectors.
        outer: FAISS's index.
        inmost: The same, or the one that it hands transformed vectors to.
        transforms: Whether there is such a one.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        """Open the file; FAISS reads it on demand."""
        faiss = import_faiss()
        self._index = read_index(path, mapped=True)
        self._plan = plan
        self.count, self.dim = int(self._index.ntotal), int(self._index.d)
        # views into the index, which do not keep it alive
        self.outer = faiss.downcast_index(self._index)
        self.transforms = isinstance(self.outer, faiss.IndexPreTransform)
        self.inmost = faiss.downcast_index(self.outer.index) if self.transforms else self.outer
        self.is_graph = isinstance(self.inmost, faiss.IndexHNSW)

    def best(self, questions: Vectors, width: int, *, wide: int) -> list[Rows]:
        """Positions of many of the best for each question, from a graph.

        Args:
            questions: float32 [n, dim].
            width: How many.
            wide: Of how many the search keeps track.
        """
        faiss = import_faiss()
        wide = max(int(self._plan.parameters.get("efSearch", EF_SEARCH)), wide)
        # FAISS's bounded queue finds the same, but looks through all it holds at every step
        params = faiss.SearchParametersHNSW(efSearch=wide, bounded_queue=False)
        _, positions = self._index.search(questions, width, params=self._for_inmost(params))
        return [np.asarray(line[line >= 0], dtype=np.int64) for line in positions]

    def search(self, questions: Vectors, k: int, *, mask: npt.NDArray[np.uint8] | None, share: float) -> Rows | None:
        """Candidate positions for each question, shape [n, k], -1 where there are fewer.

        Args:
            questions: float32 [n, dim].
            k: Candidates per question.
            mask: Bitmap of the positions that may be returned, or None for all.
            share: Share of positions the mask keeps, in (0, 1]; the search widens as it falls.

        Returns:
            None where this index type cannot search under a mask.
        """
        faiss = import_faiss()
        selector = None if mask is None else faiss.IDSelectorBitmap(mask)
        try:
            _, positions = self._index.search(questions, k, params=self._parameters(selector, k, share))
        except RuntimeError:
            if mask is None:
                raise
            return None
        return np.asarray(positions, dtype=np.int64)

    def _parameters(self, selector: Any, k: int, share: float) -> Any:
        given = {"sel": selector} if selector is not None else {}
        return self._for_inmost(self._inner(self.inmost, given, k, share))

    def _for_inmost(self, params: Any) -> Any:
        faiss = import_faiss()
        return faiss.SearchParametersPreTransform(index_params=params) if self.transforms else params

    def _inner(self, index: Any, given: dict[str, Any], k: int, share: float) -> Any:
        faiss = import_faiss()
        plan = self._plan.parameters
        if isinstance(index, faiss.IndexIVFRaBitQ):
            return faiss.IVFRaBitQSearchParameters(nprobe=self._nprobe(index, share), **given)
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=self._nprobe(index, share), **given)
        if isinstance(index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(plan.get("efSearch", EF_SEARCH), k), **given)
        if isinstance(index, faiss.IndexRaBitQ):
            return faiss.RaBitQSearchParameters(**given)
        return faiss.SearchParameters(**given) if given else None

    def _nprobe(self, index: Any, share: float) -> int:
        # a FAISS index that nobody told otherwise would search one cluster
        probes = self._plan.parameters.get("nprobe", probed(index.nlist))
        return int(max(1, min(int(probes / share), index.nlist)))

"""Building a base segment: vectors to disk, then the index over them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import CHECKSUMS, Rows, SegmentDamagedError, file_checksum
from dpr_rag.encoder import Vectors
from dpr_rag.index import ann
from dpr_rag.index.kinds import Plan
from dpr_rag.index.matrix import Matrix, write_matrix
from dpr_rag.index.segments import FAISS, ROWS, SUMS, VECTORS, Manifest, norms_of
from dpr_rag.index.training import Source

_STICKING_OUT, _MOST, _MOST_LONG = 3, 0.99, 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """Row numbers and vectors of a segment that is being built, on disk."""

    rows: Rows
    matrix: Matrix | None
    norms: npt.NDArray[np.float64]

    @property
    def norm(self) -> float:
        """Largest Euclidean norm of a vector."""
        return float(self.norms.max(initial=0))

    def long(self) -> tuple[int, ...]:
        """Positions of vectors that are far longer than the others, if they are few.

        A scalar quantizer shares its 256 steps out between the smallest and the largest component: one vector a thousand
        times as long as the rest would leave them one step, and index recall fell from 1.0 to 0.26.
        """
        found = np.flatnonzero(self.norms > _STICKING_OUT * np.quantile(self.norms, _MOST))
        if not len(found) or len(found) > _MOST_LONG:
            return ()
        _log.warning(
            "%d of %d vectors are more than %d times as long as nearly all others, and come first for most questions; look at "
            "their texts and the encoder",
            len(found),
            len(self.norms),
            _STICKING_OUT,
        )
        return tuple(found.tolist())


def write_vectors(folder: Path, blocks: Iterable[tuple[Rows, Vectors]], *, dim: int, dtype: str) -> Written:
    """Stream (ascending row numbers, float32 vectors [n, dim]) into an existing empty folder.

    Args:
        folder: Where the files go.
        blocks: The whole segment.
        dim: Components per vector.
        dtype: How the vector matrix is stored.
    """
    rows: list[Rows] = [np.empty(0, np.int64)]
    norms: list[npt.NDArray[np.float64]] = [np.empty(0)]

    def vectors() -> Iterator[Vectors]:
        for numbers, block in blocks:
            rows.append(numbers)
            norms.append(norms_of(block))
            yield block

    sums = write_matrix(folder / VECTORS, vectors(), dim=dim, dtype=dtype)
    numbers = np.concatenate(rows)
    numbers.astype("<i8").tofile(folder / ROWS)
    sums.astype("<u8").tofile(folder / SUMS)
    matrix = Matrix(folder / VECTORS, sums, dim=dim, count=len(numbers), dtype=dtype) if len(numbers) else None
    return Written(numbers, matrix, np.concatenate(norms))


def finish_base(
    folder: Path, written: Written, plan: Plan, *, generation: int, dtype: str, beside: Sequence[str] = ()
) -> Manifest:
    """Build the index over written vectors and record the segment.

    Args:
        folder: Where the vectors were written.
        written: What :func:`write_vectors` returned, of at least one vector.
        plan: Index kind to build.
        generation: Generation that the vectors belong to.
        dtype: How the vector matrix is stored.
        beside: Names of further files in the folder that belong to the segment.

    Raises:
        IndexKindError: FAISS cannot build the index.
    """
    matrix = written.matrix
    if matrix is None:
        raise SegmentDamagedError(folder / VECTORS, "holds no vectors")
    names = [ROWS, SUMS, *beside]
    long: tuple[int, ...] = ()
    if plan.factory:
        long = written.long()
        ann.build(plan, Source(matrix, long), folder / FAISS, norm=written.norm)
        names.append(FAISS)
    files = {name: file_checksum(folder / name) for name in names}
    return Manifest(
        directory=folder.name,
        generation=generation,
        plan=plan,
        dim=matrix.dim,
        dtype=dtype,
        count=matrix.count,
        last_row=int(written.rows[-1]),
        norm=written.norm,
        files=files,
        checksums=CHECKSUMS,
        faiss=ann.version() if plan.factory else "",
        long=long,
    )

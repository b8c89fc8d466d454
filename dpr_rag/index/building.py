"""Building a base segment: vectors to disk, then the index over them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import CHECKSUMS, Rows, SegmentDamagedError, file_checksum, opening
from dpr_rag.encoder import Vectors
from dpr_rag.index import ann, compaction
from dpr_rag.index.kinds import Plan
from dpr_rag.index.library import read_index
from dpr_rag.index.matrix import Matrix, write_matrix
from dpr_rag.index.segments import FAISS, ROWS, SUMS, VECTORS, Base, Manifest, norms_of
from dpr_rag.index.training import Source, no_checkpoint

_STICKING_OUT, _MOST, _MOST_LONG = 3, 0.99, 1000
_BLOCK = 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """The row numbers and vectors of a segment under construction, written to disk."""

    rows: Rows
    matrix: Matrix | None
    norms: npt.NDArray[np.float64]

    @property
    def norm(self) -> float:
        """Largest Euclidean norm of a vector."""
        return float(self.norms.max(initial=0))

    def long(self, known: Sequence[int] = ()) -> tuple[int, ...]:
        """Positions of outliers, vectors more than 3 times as long as nearly all others, and of the ``known`` ones.

        A scalar quantizer shares its 256 steps out between the smallest and the largest component: one vector a thousand
        times as long as the rest would leave them one step, and index recall fell from 1.0 to 0.26.
        """
        positions = np.flatnonzero(self.norms > _STICKING_OUT * np.quantile(self.norms, _MOST))
        if not len(positions) or len(positions) > _MOST_LONG:
            return tuple(known)
        if not len(np.setdiff1d(positions, known)):
            return tuple(known)
        _log.warning(
            "%d of %d vectors are more than %d times as long as nearly all others, and come first for most questions; look at "
            "their texts and the encoder",
            len(positions),
            len(self.norms),
            _STICKING_OUT,
        )
        return tuple(np.union1d(positions, np.array(known, np.int64)).tolist())


@dataclass(frozen=True, slots=True)
class PreviousBase:
    """A base segment that an incremental compaction copies and extends.

    Attributes:
        base: The segment; it stays as it is.
        index: A copy of its FAISS index in memory, which is extended; None where it has none.
    """

    base: Base
    index: Any

    @staticmethod
    def of(base: Base, folder: Path) -> PreviousBase:
        """Read the index of a segment in a folder into memory.

        Raises:
            SegmentDamagedError: It cannot be read.
            StoreError: There are too many open files, or too little memory.
        """
        if base.ann is None:
            return PreviousBase(base, None)
        with opening(folder / FAISS):
            return PreviousBase(base, read_index(folder / FAISS))

    def fits(self, tail: Sequence[Vectors]) -> bool:
        """Whether the trained parts of the index suit further vectors, blocks of float32 [n, dim]; see ``compaction.fits``."""
        if self.index is None or not tail:
            return True
        new = np.concatenate(tail)
        old, drawn = (_spread(count, compaction.SAMPLE_SIZE) for count in (self.base.matrix.count, len(new)))
        return compaction.fits(self.index, self.base.take(old), new[drawn])

    def blocks(self) -> Iterator[tuple[Rows, Vectors]]:
        """Row numbers and vectors of the segment, in order."""
        for start in range(0, self.base.matrix.count, _BLOCK):
            positions = np.arange(start, min(start + _BLOCK, self.base.matrix.count))
            yield self.base.rows[positions], self.base.take(positions)


def _spread(count: int, most: int) -> Rows:
    """At most ``most`` positions, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


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
    folder: Path,
    written: Written,
    plan: Plan,
    *,
    generation: int,
    dtype: str,
    beside: Sequence[str] = (),
    previous: PreviousBase | None = None,
    checkpoint: Callable[[], object] = no_checkpoint,
) -> Manifest:
    """Build the index over written vectors, or extend the previous one by them, and return the segment's manifest.

    Args:
        folder: Where the vectors were written.
        written: What :func:`write_vectors` returned, of at least one vector.
        plan: Index kind to build.
        generation: Generation that the vectors belong to.
        dtype: How the vector matrix is stored.
        beside: Names of further files in the folder that belong to the segment.
        previous: The base segment to extend, whose vectors come first in ``written``; None to build the index anew.
        checkpoint: Called between two steps; an exception that it raises ends the work.

    Raises:
        IndexKindError: FAISS cannot build the index.
    """
    matrix = written.matrix
    if matrix is None:
        raise SegmentDamagedError(folder / VECTORS, "holds no vectors")
    names = [ROWS, SUMS, *beside]
    long: tuple[int, ...] = ()
    if plan.factory:
        long = written.long(() if previous is None else previous.base.manifest.long)
        source = Source(matrix, long, checkpoint)
        if previous is None:
            ann.build(plan, source, folder / FAISS, norm=written.norm)
        else:
            compaction.extend(previous.index, plan, source, folder / FAISS, norm=written.norm)
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

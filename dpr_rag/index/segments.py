"""Immutable segments of vectors: a large base on disk and a small exact tail in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import CHECKSUMS, Rows, SegmentDamagedError, file_checksum, refuse_unordered, verify_file
from dpr_rag.encoder import Vectors
from dpr_rag.index import ann, proving
from dpr_rag.index.kinds import Plan
from dpr_rag.index.matrix import Matrix, write_matrix

VECTORS, ROWS, SUMS, FAISS = "vectors", "rows", "sums", "faiss"
_TRAINING_SEED = 20_20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the store records of a base segment; its files are used only while they match it.

    Attributes:
        directory: Name of the segment's folder.
        generation: Generation of the passages it was built from.
        plan: Index kind in use.
        dim: Components per vector.
        dtype: ``float32`` or ``float16``.
        count: Number of vectors.
        last_row: Highest row number it covers.
        norm: Largest Euclidean norm of a vector.
        files: File name to (size in bytes, checksum).
        edits: How often metadata had been changed in place when it was built.
        checksums: How the files are checked; empty in formats before 5.
        faiss: Version of FAISS that wrote the index; another one proves a sample of it before it is used.
    """

    directory: str
    generation: int
    plan: Plan
    dim: int
    dtype: str
    count: int
    last_row: int
    norm: float
    files: Mapping[str, tuple[int, int]] = field(hash=False)
    edits: int = 0
    checksums: str = ""
    faiss: str = ""

    @property
    def is_current(self) -> bool:
        """Whether the files are checked as they are now; others are not used."""
        return self.checksums == CHECKSUMS

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Manifest:
        """Rebuild a manifest from what ``dataclasses.asdict`` made of it."""
        files = {name: (int(size), int(checksum)) for name, (size, checksum) in value["files"].items()}
        return Manifest(**{**value, "plan": Plan(**value["plan"]), "files": files})


class Base:
    """A base segment opened from disk: row numbers, vector matrix and, unless it is flat, a FAISS index."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Open and verify the files; the matrix is verified block by block when it is used.

        Raises:
            SegmentDamagedError: A file is missing or does not match the manifest.
        """
        self.manifest = manifest
        try:
            self._open(folder, manifest)
        except (OSError, ValueError, RuntimeError) as error:
            # another process may be removing the folder, or have written it with a FAISS that this one cannot read
            by = f" (written by FAISS {manifest.faiss}, this is {ann.version()})" if manifest.faiss else ""
            raise SegmentDamagedError(folder / ROWS, f"cannot be opened{by}: {error}") from error

    def _open(self, folder: Path, manifest: Manifest) -> None:
        _verify(folder, manifest)
        self.rows: Rows = np.fromfile(folder / ROWS, dtype="<i8")
        sums = np.fromfile(folder / SUMS, dtype="<u8").astype(np.uint64)
        self.matrix = Matrix(folder / VECTORS, sums, dim=manifest.dim, count=manifest.count, dtype=manifest.dtype)
        refuse_unordered(self.rows, folder / ROWS)
        if len(self.rows) != manifest.count or self.rows[-1] != manifest.last_row:
            raise SegmentDamagedError(folder / ROWS, f"holds {len(self.rows)} rows, expected {manifest.count}")
        self.ann = ann.AnnIndex(folder / FAISS, manifest.plan) if FAISS in manifest.files else None
        if self.ann is not None:
            self._check_index(self.ann, folder / FAISS, manifest)

    def _check_index(self, index: ann.AnnIndex, path: Path, manifest: Manifest) -> None:
        if (index.count, index.dim) != (manifest.count, manifest.dim):
            raise SegmentDamagedError(
                path,
                f"holds {index.count} vectors of {index.dim} dimensions, expected {manifest.count} of {manifest.dim}",
            )
        if manifest.faiss != ann.version() and not proving.holds(index, self.matrix, sampled=True):
            raise SegmentDamagedError(
                path, f"was written by FAISS {manifest.faiss}, which {ann.version()} reads otherwise"
            )

    @property
    def norm(self) -> float:
        """Largest Euclidean norm of a vector."""
        return self.manifest.norm

    def chunks(self) -> Iterator[tuple[int, Vectors]]:
        """Yield (first position, vectors) over the whole segment."""
        return self.matrix.chunks()

    def take(self, positions: Rows) -> Vectors:
        """Copy the vectors at some positions, as float32 [n, dim]."""
        return self.matrix.take(positions)


class Tail:
    """Vectors added since the base was built, held in memory and always searched exactly."""

    def __init__(self, dim: int) -> None:
        """Begin empty; :meth:`extended` makes longer ones."""
        self.rows: Rows = np.empty(0, np.int64)
        self.norm = 0.0
        self._buffer = np.empty((0, dim), np.float32)

    @property
    def matrix(self) -> Vectors:
        """The vectors as one array, float32 [n, dim]."""
        return self._buffer[: len(self.rows)]

    def chunks(self) -> Iterator[tuple[int, Vectors]]:
        """Yield (first position, vectors) over the whole tail."""
        yield 0, self.matrix

    def take(self, positions: Rows) -> Vectors:
        """Copy the vectors at some positions, as float32 [n, dim]."""
        return self.matrix[positions]

    def extended(self, rows: Rows, vectors: Vectors) -> Tail:
        """A tail with more rows at its end; this one stays as it is, and is not to be extended again.

        Both share a buffer that doubles when it is full, so that growing costs no copy of what is there.
        """
        count, total = len(self.rows), len(self.rows) + len(rows)
        longer = Tail(vectors.shape[1])
        longer._buffer = self._buffer
        if total > len(self._buffer):
            longer._buffer = np.empty((max(total, 2 * count), vectors.shape[1]), np.float32)
            if count:
                longer._buffer[:count] = self.matrix
        longer._buffer[count:total] = vectors
        longer.rows = np.concatenate([self.rows, rows])
        longer.norm = max(self.norm, largest_norm(vectors))
        return longer


def largest_norm(vectors: Vectors) -> float:
    """Largest Euclidean norm among the rows of a float32 [n, dim] array, 0 for none."""
    if not len(vectors):
        return 0.0
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max()))


@dataclass(frozen=True, slots=True)
class Written:
    """Row numbers and vectors of a segment that is being built, on disk."""

    rows: Rows
    matrix: Matrix | None
    norm: float


def write_vectors(folder: Path, blocks: Iterable[tuple[Rows, Vectors]], *, dim: int, dtype: str) -> Written:
    """Stream (ascending row numbers, float32 vectors [n, dim]) into an existing empty folder.

    Args:
        folder: Where the files go.
        blocks: The whole segment.
        dim: Components per vector.
        dtype: How the vector matrix is stored.
    """
    rows: list[Rows] = [np.empty(0, np.int64)]
    norms = [0.0]

    def vectors() -> Iterator[Vectors]:
        for numbers, block in blocks:
            rows.append(numbers)
            norms.append(largest_norm(block))
            yield block

    sums = write_matrix(folder / VECTORS, vectors(), dim=dim, dtype=dtype)
    numbers = np.concatenate(rows)
    numbers.astype("<i8").tofile(folder / ROWS)
    sums.astype("<u8").tofile(folder / SUMS)
    matrix = Matrix(folder / VECTORS, sums, dim=dim, count=len(numbers), dtype=dtype) if len(numbers) else None
    return Written(numbers, matrix, max(norms))


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
    if plan.factory:
        ann.build(plan, _sample(matrix), _parts(matrix), folder / FAISS, norm=written.norm)
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
    )


def verify_base(base: Base, folder: Path) -> None:
    """Check every byte of an opened base segment anew, and the index against the vectors.

    Raises:
        SegmentDamagedError: A file does not match the manifest.
    """
    _verify(folder, base.manifest)
    base.matrix.verify()
    if base.ann is not None and not proving.holds(base.ann, base.matrix):
        raise SegmentDamagedError(folder / FAISS, "holds other vectors than those beside it")


def _verify(folder: Path, manifest: Manifest) -> None:
    """Check the segment's own files; what was put beside them is for others to verify."""
    for name in (ROWS, SUMS, FAISS):
        if name in manifest.files:
            verify_file(folder / name, manifest.files[name])


def _sample(matrix: Matrix) -> Vectors:
    generator = np.random.default_rng(_TRAINING_SEED)
    chosen = generator.choice(matrix.count, min(matrix.count, ann.TRAINING_POINTS), replace=False)
    return matrix.take(np.sort(chosen))


def _parts(matrix: Matrix, rows: int = 16_384) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks small enough that an interrupt is noticed between two of them."""
    for start in range(0, matrix.count, rows):
        yield matrix.take(np.arange(start, min(start + rows, matrix.count)))

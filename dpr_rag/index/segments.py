"""Immutable segments of vectors: a large base on disk and a small exact tail in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import CHECKSUMS, Rows, SegmentDamagedError, opening, refuse_unordered, verify_file
from dpr_rag.encoder import Vectors
from dpr_rag.index import ann, proving
from dpr_rag.index.kinds import Plan
from dpr_rag.index.matrix import Matrix

VECTORS, ROWS, SUMS, FAISS = "vectors", "rows", "sums", "faiss"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The record of a base segment in the store's state; its files are used only while they match it.

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
        long: Positions of vectors that are far longer than the others, which every search looks at beside the index.
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
    long: tuple[int, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether the segment has this version's checksums; others are not used."""
        return self.checksums == CHECKSUMS

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Manifest:
        """Rebuild a manifest from what ``dataclasses.asdict`` made of it."""
        files = {name: (int(size), int(checksum)) for name, (size, checksum) in value["files"].items()}
        return Manifest(
            **{**value, "plan": Plan(**value["plan"]), "files": files, "long": tuple(value.get("long", ()))}
        )


class Base:
    """A base segment opened from disk: row numbers, vector matrix and, unless it is flat, a FAISS index."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Open and verify the files; the matrix is verified block by block when it is used.

        Raises:
            SegmentDamagedError: A file is missing or does not match the manifest.
        """
        self.manifest = manifest
        by = f" (written by FAISS {manifest.faiss}, this is {ann.version()})" if manifest.faiss else ""
        with opening(folder / ROWS, by=by):
            self._open(folder, manifest)

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
        self._buffer = np.empty((0, dim), np.float32)
        self._norms = np.empty(0)
        self.norm = 0.0

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
        norms = norms_of(vectors)
        longer._norms = np.concatenate([self._norms, norms])
        longer.norm = max(self.norm, float(norms.max(initial=0)))
        return longer

    def kept(self, mask: npt.NDArray[np.bool_]) -> Tail:
        """A tail of the rows where a mask of shape [n] is true; this one stays as it is, and is not to be extended again.

        Both share a buffer where the last rows are kept and are a quarter of it or more, as after most compactions while
        passages are added fast: copying half a million vectors would keep a search waiting for a second.
        """
        rest = Tail(self._buffer.shape[1])
        rest.rows, rest._norms = self.rows[mask], self._norms[mask]
        rest.norm = float(rest._norms.max(initial=0))
        start = len(self.rows) - len(rest.rows)
        whole = self._buffer if self._buffer.base is None else self._buffer.base
        shares = mask[start:].all() and 4 * len(rest.rows) >= len(whole)
        rest._buffer = self._buffer[start:] if shares else self.matrix[mask]
        return rest


def largest_norm(vectors: Vectors) -> float:
    """Largest Euclidean norm among the rows of a float32 [n, dim] array, 0 for none."""
    return float(norms_of(vectors).max(initial=0))


def norms_of(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Euclidean norms of the rows of a float32 [n, dim] array."""
    norms: npt.NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return norms


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
    """Verify the checksums of the segment's own files; further files in the folder are verified by their owners."""
    for name in (ROWS, SUMS, FAISS):
        if name in manifest.files:
            verify_file(folder / name, manifest.files[name])

"""The memory-mapped vector matrix of a segment, each block checked against its checksum before its first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import BLOCK_BYTES, Rows, SegmentDamagedError, checksum
from dpr_rag.encoder import Vectors

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class Matrix:
    """A read-only matrix of shape [n, dim] on disk, verified block by block as it is touched."""

    def __init__(self, path: Path, sums: npt.NDArray[np.uint64], *, dim: int, count: int, dtype: str) -> None:
        """Map the file without reading it.

        Raises:
            SegmentDamagedError: The file is missing or has another size than ``count`` rows.
        """
        kind = DTYPES[dtype]
        self.per_block = block_rows(dim, dtype)
        expected = count * dim * kind.itemsize
        if not path.is_file() or path.stat().st_size != expected or len(sums) != -(-count // self.per_block):
            raise SegmentDamagedError(path, f"is missing or not {expected} bytes long")
        self.path, self.count, self.dim = path, count, dim
        self._data = np.memmap(path, dtype=kind, mode="r", shape=(count, dim))
        self._sums = sums
        self._seen = np.zeros(len(sums), dtype=bool)

    def chunks(self, rows: int = 16_384) -> Iterator[tuple[int, Vectors]]:
        """Yield (first position, float32 vectors) over the whole matrix; float32 files are not copied."""
        self._verify(np.flatnonzero(~self._seen))
        step = self.count if self._data.dtype == np.float32 else rows
        for start in range(0, self.count, max(step, 1)):
            yield start, np.asarray(self._data[start : start + step], dtype=np.float32)

    def take(self, positions: Rows) -> Vectors:
        """Copy the vectors at some positions, as float32 [n, dim]."""
        blocks = np.unique(positions // self.per_block)
        self._verify(blocks[~self._seen[blocks]])
        return np.asarray(self._data[positions], dtype=np.float32)

    def verify(self) -> None:
        """Check every block anew, also those that were checked before.

        Raises:
            SegmentDamagedError: A block does not match its recorded sum.
        """
        self._verify(np.arange(len(self._sums)))

    def _verify(self, blocks: npt.NDArray[np.intp]) -> None:
        for block in blocks:
            part = self._data[block * self.per_block : (block + 1) * self.per_block]
            if checksum(part) != self._sums[block]:
                raise SegmentDamagedError(self.path, f"does not match its checksum in block {block}")
            self._seen[block] = True


def block_rows(dim: int, dtype: str) -> int:
    """Rows per checked block, about 64 KiB."""
    return max(1, BLOCK_BYTES // (dim * int(DTYPES[dtype].itemsize)))


def write_matrix(path: Path, blocks: Iterable[Vectors], *, dim: int, dtype: str) -> npt.NDArray[np.uint64]:
    """Stream float32 blocks of shape [n, dim] into a file and return the checksums of its blocks."""
    sums: list[int] = []
    size = block_rows(dim, dtype)
    waiting = np.empty((0, dim), DTYPES[dtype])
    with path.open("wb") as file:
        for block in blocks:
            waiting = np.concatenate([waiting, block.astype(DTYPES[dtype])])
            whole = len(waiting) - len(waiting) % size
            _write(file.write, waiting[:whole], size, sums)
            waiting = waiting[whole:]
        _write(file.write, waiting, size, sums)
    return np.array(sums, dtype=np.uint64)


def _write(write: Callable[[bytes], int], rows: npt.NDArray[np.generic], size: int, sums: list[int]) -> None:
    if len(rows):
        write(rows.tobytes())
        sums.extend(checksum(rows[at : at + size]) for at in range(0, len(rows), size))

"""Files that can be rebuilt from the stored passages: their checksums, and what is raised where one does not match."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
BLOCK_BYTES = 1 << 16
_PAD = 8


class SegmentDamagedError(Exception):
    """A derived file is missing or does not match its record; it can be rebuilt from the stored passages."""

    def __init__(self, path: Path, reason: str) -> None:
        """Name the file; ``directory`` is then the segment it belongs to."""
        super().__init__(f"{path} {reason}")
        self.directory = path.parent.name


def word_sum(data: npt.NDArray[np.uint8]) -> int:
    """Sum of a byte string's 64-bit words and of its length, modulo 2**64.

    Any single flipped bit changes it, and it runs at memory speed, which a table-driven CRC does not.
    """
    whole = data.size - data.size % _PAD
    total = int(np.add.reduce(data[:whole].view("<u8"), dtype=np.uint64))
    tail = int.from_bytes(data[whole:].tobytes(), "little")
    return (total + tail + data.size) % 2**64


def file_checksum(path: Path) -> tuple[int, int]:
    """Size in bytes of a file and a checksum that notices changed, moved and missing blocks."""
    size = os.path.getsize(path)
    if size == 0:
        return 0, 0
    data = np.memmap(path, dtype=np.uint8, mode="r")
    sums = [word_sum(data[start : start + BLOCK_BYTES]) for start in range(0, size, BLOCK_BYTES)]
    return size, zlib.crc32(np.array(sums, dtype="<u8").tobytes())


def verify_file(path: Path, expected: tuple[int, int]) -> None:
    """Hold a file against its recorded size and checksum.

    Raises:
        SegmentDamagedError: It is missing or does not match.
    """
    try:
        intact = path.is_file() and file_checksum(path) == expected
    except OSError as error:  # another process may be removing the folder
        raise SegmentDamagedError(path, f"cannot be opened: {error}") from error
    if not intact:
        raise SegmentDamagedError(path, "is missing or does not match its checksum")

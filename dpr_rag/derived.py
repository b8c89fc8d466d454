"""Checksums of files that can be rebuilt from the stored passages, and the error for a mismatch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dpr_rag.errors import LIMIT_ADVICE, StoreError

Rows = npt.NDArray[np.int64]
BLOCK_BYTES = 1 << 16
CHECKSUMS = "xxh3-64"
"""Name of the checksum, recorded with every sum, so that files with another kind of sum are not taken for damaged."""


class SegmentDamagedError(Exception):
    """A derived file is missing or does not match its record; it can be rebuilt from the stored passages."""

    def __init__(self, path: Path, reason: str) -> None:
        """Name the file; ``directory`` is then the segment it belongs to."""
        super().__init__(f"{path} {reason}")
        self.directory = path.parent.name


@contextmanager
def opening(path: Path, *errors: type[Exception], by: str = "") -> Iterator[None]:
    """Turn errors of opening derived files into damage; another process may be removing them.

    Args:
        path: The file that the message names.
        errors: What unexpected contents raise besides ``ValueError`` and ``RuntimeError``.
        by: What wrote the files, for the message.

    Raises:
        SegmentDamagedError: A file is missing, or its contents are not as expected.
        StoreError: There are too many open files, or too little memory; neither is damage.
    """
    handled: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, *errors)
    try:
        yield
    except handled as error:
        for number, advice in LIMIT_ADVICE.items():
            if getattr(error, "errno", None) == number or os.strerror(number) in str(
                error
            ):  # FAISS gives only the text
                raise StoreError(f"{path} cannot be opened: {os.strerror(number)}; {advice}") from error
        raise SegmentDamagedError(path, f"cannot be opened{by}: {error}") from error


def checksum(data: npt.NDArray[Any] | bytes, *, seed: int = 0) -> int:
    """XXH3 of the bytes of an array or a string, 64 bits (https://xxhash.com); it depends on order, and runs at memory speed."""
    return int(xxhash.xxh3_64_intdigest(data if isinstance(data, bytes) else data.data, seed))


def file_checksum(path: Path) -> tuple[int, int]:
    """Size in bytes of a file and the checksum of all of them."""
    size = os.path.getsize(path)
    return size, checksum(np.memmap(path, dtype=np.uint8, mode="r") if size else np.empty(0, np.uint8))


def verify_file(path: Path, expected: tuple[int, int]) -> None:
    """Compare a file with its recorded size and checksum.

    Raises:
        SegmentDamagedError: It is missing or does not match.
        StoreError: As for :func:`opening`.
    """
    if path.is_symlink() or path.parent.is_symlink():
        raise SegmentDamagedError(path, "is a link, or lies behind one; the parts of a store never are")
    with opening(path):
        intact = path.is_file() and file_checksum(path) == tuple(expected)
    if not intact:
        raise SegmentDamagedError(path, "is missing or does not match its checksum")


def refuse_unordered(rows: Rows, path: Path) -> None:
    """Refuse row numbers that do not ascend: positions would then belong to other passages.

    Raises:
        SegmentDamagedError: They do not ascend, or one is below 1.
    """
    if len(rows) and (rows[0] < 1 or not (rows[1:] > rows[:-1]).all()):
        raise SegmentDamagedError(path, "does not hold ascending row numbers")


def mixed(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Hash each number to 64 bits (the mixing function of splitmix64, Steele et al. 2014)."""
    hashes = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(31))

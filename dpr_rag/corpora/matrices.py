"""Reads the matrix of a ``.npy`` file in blocks of rows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from dpr_rag.corpora.lines import refuse_unopened, unopened
from dpr_rag.errors import CorpusError, UnreadableError


class Matrix:
    """A ``.npy`` file of floats of shape [n, dim].

    It is read, not mapped into memory, where a file that shrinks meanwhile would end the process.

    Attributes:
        rows: How many it has.
    """

    def __init__(self, file: Path) -> None:
        """Read the header.

        Args:
            file: The file.

        Raises:
            CorpusError: It is damaged, or holds something else.
        """
        self._file = file
        try:
            with file.open("rb") as opened:
                shape, self._fortran, self._dtype = read_header(opened)
                self._start = opened.tell()
                size = os.fstat(opened.fileno()).st_size - self._start
        except (ValueError, OSError, EOFError) as error:
            refuse_unopened(file, error)
            raise _damaged(file, error) from error
        if self._dtype.hasobject or min(shape, default=0) < 0 or size < math.prod(shape) * self._dtype.itemsize:
            raise _damaged(file, f"{size:,} bytes for {self._dtype} of shape {list(shape)}")
        if len(shape) != 2 or self._dtype.kind != "f":
            raise CorpusError(f"{file}: {self._dtype} of shape {list(shape)}, expected floats of shape [n, dim]")
        self.rows, self._dim = shape

    def blocks(self, block: int) -> Iterator[tuple[int, Any]]:
        """The rows in order, at most ``block`` at once, each time with the number of rows before them.

        Raises:
            CorpusError: The file has become shorter meanwhile, or cannot be read.
        """
        try:
            with self._file.open("rb") as opened:
                for start in range(0, self.rows, block):
                    yield start, self._read(opened, start, min(block, self.rows - start))
        except OSError as error:
            raise UnreadableError(f"{self._file}: {unopened(self._file, error)}") from error

    def _read(self, opened: BinaryIO, start: int, count: int) -> Any:
        if not self._fortran:
            return self._numbers(opened, start * self._dim, count * self._dim).reshape(count, self._dim)
        columns = [self._numbers(opened, at * self.rows + start, count) for at in range(self._dim)]
        return np.stack(columns, axis=1) if columns else np.empty((count, 0), self._dtype)

    def _numbers(self, opened: BinaryIO, start: int, count: int) -> Any:
        opened.seek(self._start + start * self._dtype.itemsize)
        data = opened.read(count * self._dtype.itemsize)
        if len(data) < count * self._dtype.itemsize:
            raise CorpusError(f"{self._file}: has become shorter while it was read; read it again when it is whole")
        return np.frombuffer(data, self._dtype)


def read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type of the array that begins here, behind its header then.

    Raises:
        ValueError: It is no header, or a damaged one.
        EOFError: It ends early.
    """
    try:
        version = npy.read_magic(opened)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of the format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(opened)
    except (SyntaxError, TokenError, TypeError, RecursionError, MemoryError) as error:  # of the header's Python
        raise ValueError(str(error)) from error
    return header


def _damaged(file: Path, why: object) -> CorpusError:
    return CorpusError(f"{file}: a damaged .npy file, or one of objects ({why}); write float32 anew")

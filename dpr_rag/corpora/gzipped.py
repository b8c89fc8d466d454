"""Opens binary files, plain or gzipped, with a limit on the size after decompression."""

from __future__ import annotations

import gzip
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dpr_rag.corpora.magic import GZIP, LENGTH, refuse_foreign
from dpr_rag.errors import CorpusError

ALWAYS, MOST = 256 << 20, 200
"""A file may unpack to so many bytes whatever its size, and otherwise to so many times its size; text comes to 3 to 20 times."""


@contextmanager
def unpacked(path: Path, raw: io.BufferedReader) -> Iterator[BinaryIO]:
    """The bytes of an open file, decompressed if its first two bytes are gzip's.

    Raises:
        UnreadableError: While it is read: what was packed is no text.
        CorpusError: While it is read: it unpacks to far more than text does.
    """
    if not raw.peek(len(GZIP)).startswith(GZIP):
        yield raw
        return
    with gzip.GzipFile(fileobj=raw) as packed, io.BufferedReader(_Bounded(path, raw, packed), 1 << 17) as file:
        yield file


def unpacked_name(path: Path) -> Path:
    """The path without gzip's ending, which says what is inside."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


class _Bounded(io.RawIOBase):
    def __init__(self, path: Path, raw: io.BufferedReader, packed: gzip.GzipFile) -> None:
        status = os.fstat(raw.fileno())
        self._path, self._packed, self._size = path, packed, status.st_size
        self._is_first = True
        # a pipe has no size
        self._left = max(ALWAYS, MOST * status.st_size) if stat.S_ISREG(status.st_mode) else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._packed.readinto(buffer)
        if self._is_first:
            self._is_first = False
            refuse_foreign(self._path, bytes(buffer[: min(count, LENGTH)]), is_packed=True)
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise CorpusError(
                    f"{self._path}: its {self._size:,} bytes unpack to more than {max(ALWAYS, MOST * self._size):,}, and "
                    f"text to no more than {MOST} times its packed size; if it is one all the same, unpack it with gunzip "
                    "and give that file"
                )
        return count

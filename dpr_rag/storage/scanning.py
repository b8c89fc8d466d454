"""Scans a damaged store file page by page for rows, without its B-trees, which may be damaged.

A page of rows begins with the byte 0x0D and points to its cells; a long row goes on along a chain of overflow pages. A deletion
leaves whole pages as they were and notes them on the freelist, and so pages noted there are passed over. Whether a row is whole
is told by its checksum, which the caller holds it against. (https://sqlite.org/fileformat.html, 1.5, 1.6, 2.1 and 4.)
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.storage.place import LOG

PAGE = 8192
"""Bytes of a page in every store."""
_MAGIC = b"SQLite format 3\0"
_LEAF, _HEADER, _LOG_HEADER, _FRAME_HEADER = 0x0D, 100, 32, 24
_MOST_LEAVES = PAGE // 4 - 2
_INTEGERS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}  # bytes, by type
_KINDS = {"IBI": "vector", "ITI": "state", "ITTTTI": "passage", "TTTI": "entry"}
_PLACE = PAGE.bit_length()
Record = tuple[Any, ...]


class Scan:
    """The rows on all pages in use of a store file.

    Attributes:
        knows_free: Whether the freelist is whole; where it is not, rows of long ago may be among those found.
    """

    def __init__(self, path: Path, until: ExitStack) -> None:
        """Read the file once; it stays open until the stack is closed."""
        self._pages = _Pages(path, until)
        trunks: dict[int, _Trunk] = {}
        lists_by_kind = {kind: (array("q"), array("q")) for kind in _KINDS.values()}
        for number in range(1, self._pages.count + 1):
            page = self._pages.read(number)
            if (trunk := _trunk(page, self._pages.count)) and trunk.leaves:
                trunks[number] = trunk
            for at, cell in _cells(page, _HEADER if number == 1 else 0):
                if kind := _KINDS.get("".join(map(_letter, cell.types))):
                    lists_by_kind[kind][0].append(cell.row)
                    lists_by_kind[kind][1].append((number << _PLACE) + at)
        free, self.knows_free = _freelist(self._pages, trunks)
        self._found = {kind: _in_use(*lists, free) for kind, lists in lists_by_kind.items()}

    def rows(self, kind: str) -> Rows:
        """Ascending row numbers of what was found: ``passage``, ``vector``, ``entry`` or ``state``."""
        return np.unique(self._found[kind][0])

    def records(self, kind: str, row: int) -> Iterator[Record]:
        """The records found with a row number, which is their first column; several where the freelist is damaged."""
        rows, places = self._found[kind]
        for place in places[np.searchsorted(rows, row) : np.searchsorted(rows, row, side="right")].tolist():
            page = self._pages.read(place >> _PLACE)
            cell = _cell(page, place & (1 << _PLACE) - 1)
            payload = None if cell is None else self._payload(page, cell)
            if cell is not None and payload is not None:
                values = list(_values(payload, cell))
                yield (row, *values) if kind == "entry" else (row, *values[1:])

    def _payload(self, page: bytes, cell: _Cell) -> bytes | None:
        """A row's bytes with those on overflow pages; None where their chain ends early or in a ring."""
        local = _local(cell.size)
        parts, left = [page[cell.at : cell.at + local]], cell.size - local
        following, seen = int.from_bytes(page[cell.at + local : cell.at + local + 4], "big"), set[int]()
        while left > 0:
            overflow = self._pages.read(following)
            if not overflow or following in seen:
                return None
            seen.add(following)
            following = int.from_bytes(overflow[:4], "big")
            parts.append(overflow[4 : 4 + left])
            left -= len(parts[-1])
        return b"".join(parts)


class _Pages:
    """The pages of a file, each in its newest committed version: from the write-ahead log or the file."""

    def __init__(self, path: Path, until: ExitStack) -> None:
        self._file = until.enter_context(path.open("rb"))
        self._log, self._logged, self.count = self._file, dict[int, int](), path.stat().st_size // PAGE
        if (log := path.with_name(LOG)).is_file():
            self._log = until.enter_context(log.open("rb"))
            self._read_log()

    def read(self, number: int) -> bytes:
        """A page, counted from 1; empty where there is none such."""
        if not 0 < number <= self.count:
            return b""
        logged = self._logged.get(number)
        file, at = (self._file, (number - 1) * PAGE) if logged is None else (self._log, logged)
        file.seek(at)
        page = file.read(PAGE)
        return page if len(page) == PAGE else b""

    def _read_log(self) -> None:
        """Note where the pages of whole commits lie in the log."""
        salt = self._log.read(_LOG_HEADER)[16:24]
        # a damaged frame may claim any number: there are no more pages than the file has and the log can add
        most = self.count + os.fstat(self._log.fileno()).st_size // (_FRAME_HEADER + PAGE)
        waiting: dict[int, int] = {}
        while len(frame := self._log.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salt:
            waiting[int.from_bytes(frame[:4], "big")] = self._log.tell()
            self._log.seek(PAGE, 1)
            if pages := int.from_bytes(frame[4:8], "big"):  # the size of the file, given by the last frame of a commit
                self._logged.update(waiting)
                self.count = min(pages, most)
                waiting.clear()


class _Trunk(NamedTuple):
    """A page of the freelist: the next such page, 0 after the last, and the empty pages that it lists."""

    following: int
    leaves: tuple[int, ...]


def _trunk(page: bytes, count: int) -> _Trunk | None:
    """Parse a page as a trunk of the freelist of a file with ``count`` pages; None if it cannot be one."""
    following, listed = int.from_bytes(page[:4], "big"), int.from_bytes(page[4:8], "big")
    if not page or following > count or listed > _MOST_LEAVES:
        return None
    leaves = tuple(np.frombuffer(page, ">u4", listed, 8).tolist())
    fits = len(set(leaves)) == listed and all(1 < leaf <= count for leaf in leaves)
    return _Trunk(following, leaves) if fits else None


def _freelist(pages: _Pages, trunks: dict[int, _Trunk]) -> tuple[set[int], bool]:
    """The free pages, and whether the list is complete: as long as the header says, or one chain if the header is damaged."""
    free = {leaf for trunk in trunks.values() for leaf in trunk.leaves} | trunks.keys()
    header = pages.read(1)
    heads = sorted(trunks.keys() - {trunk.following for trunk in trunks.values()})
    readable = header.startswith(_MAGIC)
    at = int.from_bytes(header[32:36], "big") if readable else next(iter(heads), 0)
    chain: set[int] = set()
    while at and at not in chain:
        trunk = _trunk(pages.read(at), pages.count)
        if trunk is None:
            return free, False
        chain |= {at, *trunk.leaves}
        at = trunk.following
    whole = len(chain) == int.from_bytes(header[36:40], "big") if readable else len(heads) < 2
    return free | chain, whole and free <= chain


def _in_use(rows: array[int], places: array[int], free: set[int]) -> tuple[Rows, Rows]:
    numbers, where = np.array(rows, np.int64), np.array(places, np.int64)
    used = ~np.isin(where >> _PLACE, np.fromiter(free, np.int64, len(free)))
    order = np.argsort(numbers[used], kind="stable")
    return numbers[used][order], where[used][order]


class _Cell(NamedTuple):
    """A row on its page: offset and size of its payload, row number, serial types of its columns, and offset of their values."""

    at: int
    size: int
    row: int
    types: tuple[int, ...]
    values: int


def _cells(page: bytes, start: int) -> Iterator[tuple[int, _Cell]]:
    """The cells of a leaf page with their offsets; none of a page of another kind."""
    if page[start : start + 1] != bytes([_LEAF]):
        return
    listed = int.from_bytes(page[start + 3 : start + 5], "big")
    pointers = page[start + 8 : start + 8 + 2 * listed]
    for at in np.frombuffer(pointers[: len(pointers) // 2 * 2], ">u2").tolist():
        if (cell := _cell(page, at)) is not None:
            yield at, cell


def _cell(page: bytes, at: int) -> _Cell | None:
    """Parse the cell at an offset of a page; None if it is no row."""
    try:
        size, at = _varint(page, at)
        row, at = _varint(page, at)
        length, behind = _varint(page, at)
        types = []
        while behind < at + length:
            kind, behind = _varint(page, behind)
            types.append(kind)
        return _Cell(at, size, row, tuple(types), length) if behind == at + length else None
    except IndexError:
        return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode a varint, SQLite's integer of one to nine bytes; returns it and its end."""
    value = 0
    for place in range(at, at + 8):
        value = (value << 7) | (data[place] & 0x7F)
        if data[place] < 0x80:
            return value, place + 1
    return (value << 8) | data[at + 8], at + 9


def _letter(kind: int) -> str:
    return "I" if kind in _INTEGERS else "?" if kind < 12 else "TB"[kind % 2 == 0]


def _local(size: int) -> int:
    """How many bytes of a payload lie on the page itself."""
    if size <= PAGE - 35:
        return size
    least = (PAGE - 12) * 32 // 255 - 23
    size_here = least + (size - least) % (PAGE - 4)
    return size_here if size_here <= PAGE - 35 else least


def _values(payload: bytes, cell: _Cell) -> Iterator[Any]:
    """The columns of a row; a damaged text fails its checksum, and not here."""
    at = cell.values
    for kind in cell.types:
        length = _INTEGERS[kind] if kind in _INTEGERS else (kind - 12) // 2
        data, at = payload[at : at + length], at + length
        if kind in _INTEGERS:
            yield (None if kind == 0 else kind - 8 if kind > 7 else int.from_bytes(data, "big", signed=True))
        else:
            yield data.decode("utf-8", "replace") if kind % 2 else data

"""Builds the columns of metadata (one per field, dictionary-encoded) that are kept beside a base segment."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np

from dpr_rag.filters.sorting import sort_key
from dpr_rag.passages import PRIVATE_KEY, SOURCE_KEY, Passage
from dpr_rag.storage.column_merging import Packed, merge_columns
from dpr_rag.storage.fields import CONTENTS, FIELDS, RULES, Fields, padded, seen_of
from dpr_rag.storage.records import JSON

MOST_FIELDS = 256
MOST_BYTES = 1 << 30
"""Memory that distinct values may take together while they are collected, reckoned with what Python adds to each."""
_EACH = 250
_UNSEEN = (PRIVATE_KEY, SOURCE_KEY)


class ColumnsBuilder:
    """A builder of metadata columns, to which passages are added in order.

    Where the distinct values of all fields take too much memory, the field with the most is left out, and so are fields
    beyond the first 256 and what users do not see.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _ColumnBuilder | None] = dict.fromkeys(_UNSEEN)
        self._count, self._bytes = 0, 0
        self._complete = True

    def add(self, passage: Passage) -> None:
        """Add the next passage."""
        for name, value in seen_of(passage).items():
            column = self._columns.get(name)
            if column is None and name not in self._columns:
                column = self._new_column(name)
            if column is not None:
                self._bytes += column.append(self._count, value)
                if self._bytes > MOST_BYTES:
                    self._leave_out_largest()
        self._count += 1

    def _new_column(self, name: str) -> _ColumnBuilder | None:
        if len(self._columns) - len(_UNSEEN) >= MOST_FIELDS:
            self._complete = False
            return None
        column = self._columns[name] = _ColumnBuilder()
        return column

    def _leave_out_largest(self) -> None:
        sizes = {name: column.bytes for name, column in self._columns.items() if column is not None}
        name = max(sizes, key=sizes.__getitem__)
        self._columns[name] = None
        self._bytes -= sizes[name]

    def skip(self, places: int) -> None:
        """Skip positions without fields: those of deleted passages."""
        self._count += places

    def write(self, folder: Path, after: Fields | None = None) -> tuple[str, str]:
        """Write the columns into an existing folder and return the names of the files; nothing can be added after that.

        Args:
            folder: Where.
            after: The columns of passages that come before those collected; they must be of the current rules.

        Raises:
            SegmentDamagedError: Those columns are damaged.
        """
        names = dict.fromkeys(name for name, column in self._columns.items() if column is not None)
        left_out = {name for name, column in self._columns.items() if column is None}
        complete, count = self._complete, self._count
        if after is not None:
            count, left_out = count + after.count, left_out | after.left_out
            names, left_out = self._names_with(after, left_out)
            complete = complete and after.complete and names.keys() >= self._columns.keys() - left_out
        packed = ((name, self._packed(name, after)) for name in names)
        _write(folder, packed, {"count": count, "complete": complete, "left_out": sorted(left_out)})
        return FIELDS, CONTENTS

    def _names_with(self, after: Fields, left_out: set[str]) -> tuple[dict[str, None], set[str]]:
        """The names of up to 256 fields that are kept, and of those left out; the largest are left out where memory is short."""
        sizes = {name: _EACH * len(column) + len(column.texts) for name, column in after.columns.items()}
        for name, column in self._columns.items():
            if column is not None and (name in sizes or len(sizes) < MOST_FIELDS):
                sizes[name] = sizes.get(name, 0) + column.bytes
        sizes = {name: size for name, size in sizes.items() if name not in left_out}
        while sum(sizes.values()) > MOST_BYTES:
            largest = max(sizes, key=sizes.__getitem__)
            left_out = left_out | {largest}
            del sizes[largest]
        return dict.fromkeys(sizes), left_out

    def _packed(self, name: str, after: Fields | None) -> Packed:
        column = self._columns.get(name)
        packed = Packed.missing(self._count) if column is None else column.finished(self._count)
        self._columns[name] = _ColumnBuilder()  # what is written need not be held any longer
        if after is None:
            return packed
        old = after.columns.get(name)
        if old is None:
            codes = np.concatenate([np.zeros(after.count, packed.codes.dtype), packed.codes])
            return Packed(codes, packed.starts, packed.texts)
        return merge_columns(old, packed)


def _write(folder: Path, packed: Iterable[tuple[str, Packed]], contents: Mapping[str, Any]) -> None:
    columns = {}
    with (folder / FIELDS).open("wb") as file:
        for name, (codes, starts, texts) in packed:
            columns[name] = {
                **{"at": file.tell(), "width": codes.itemsize},
                **{"values": len(starts) - 1, "size": len(texts)},
            }
            for part in (codes.tobytes(), starts.tobytes(), texts):
                file.write(part.ljust(padded(len(part)), b"\0"))
    told = {"rules": RULES, "unicode": unidata_version, **contents, "columns": columns}
    (folder / CONTENTS).write_text(json.dumps(told), encoding="utf-8")


class _ColumnBuilder:
    """A column under construction; values other than strings are identified by their JSON."""

    def __init__(self) -> None:
        self._codes = array("I")
        self._known: dict[str | tuple[str], int] = {}
        self.bytes = 0

    def append(self, position: int, value: Any) -> int:
        """Add the value of a passage, and return the memory that it takes, in bytes."""
        key = value if isinstance(value, str) else (JSON.encode(value),)
        code = self._known.get(key)
        added = 0
        if code is None:
            code = self._known[key] = len(self._known) + 1
            added = _EACH + len(key if isinstance(key, str) else key[0])
            self.bytes += added
        self._pad(position)
        self._codes.append(code)
        return added

    def finished(self, count: int) -> Packed:
        """The finished column, its distinct values sorted."""
        self._pad(count)
        values = [key if isinstance(key, str) else json.loads(key[0]) for key in self._known]
        order = sorted(range(len(values)), key=lambda at: sort_key(values[at]))
        place = np.zeros(len(order) + 1, np.uint32)
        place[np.array(order, np.int64) + 1] = np.arange(1, len(order) + 1)
        texts = [JSON.encode(values[at]).encode() for at in order]
        starts = np.cumsum([0, *map(len, texts)])
        return Packed.of(place[np.frombuffer(self._codes, np.uintc)], starts, b"".join(texts))

    def _pad(self, length: int) -> None:
        if missing := length - len(self._codes):
            self._codes.frombytes(bytes(missing * self._codes.itemsize))

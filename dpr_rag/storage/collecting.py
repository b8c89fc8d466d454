"""Collecting the metadata of passages by field, to be kept beside a base segment."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np
import numpy.typing as npt

from dpr_rag.filters.sorting import sort_key
from dpr_rag.passages import PRIVATE_KEY, SOURCE_KEY, Passage
from dpr_rag.storage.fields import CONTENTS, FIELDS, RULES, padded, seen_of
from dpr_rag.storage.records import JSON

MOST_FIELDS = 256
MOST_BYTES = 1 << 30
"""Memory that distinct values may take together while they are collected, reckoned with what Python adds to each."""
_EACH = 250
_UNSEEN = (PRIVATE_KEY, SOURCE_KEY)


class Collected:
    """The fields of passages that come in one after another.

    Where the distinct values of all fields take too much memory, the field with the most is left out, and so are fields
    beyond the first 256 and what users do not see.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Growing | None] = dict.fromkeys(_UNSEEN)
        self._count, self._bytes = 0, 0
        self._complete = True

    def add(self, passage: Passage) -> None:
        """Take in the next passage."""
        for name, value in seen_of(passage).items():
            column = self._columns.get(name)
            if column is None and name not in self._columns:
                column = self._begun(name)
            if column is not None:
                self._bytes += column.append(self._count, value)
                if self._bytes > MOST_BYTES:
                    self._leave_out_largest()
        self._count += 1

    def _begun(self, name: str) -> _Growing | None:
        if len(self._columns) - len(_UNSEEN) >= MOST_FIELDS:
            self._complete = False
            return None
        column = self._columns[name] = _Growing()
        return column

    def _leave_out_largest(self) -> None:
        sizes = {name: column.bytes for name, column in self._columns.items() if column is not None}
        name = max(sizes, key=sizes.__getitem__)
        self._columns[name] = None
        self._bytes -= sizes[name]

    def write(self, folder: Path) -> tuple[str, str]:
        """Write the columns into an existing folder and return the names of the files; nothing can be added after that."""
        columns = {}
        with (folder / FIELDS).open("wb") as file:
            for name, column in self._columns.items():
                if column is None:
                    continue
                codes, starts, texts = column.finished(self._count)
                columns[name] = {
                    **{"at": file.tell(), "width": codes.itemsize},
                    **{"values": len(starts) - 1, "size": len(texts)},
                }
                for part in (codes.tobytes(), starts.tobytes(), texts):
                    file.write(part.ljust(padded(len(part)), b"\0"))
                self._columns[name] = _Growing()  # what is written need not be held any longer
        left_out = [name for name, column in self._columns.items() if column is None]
        contents: Mapping[str, Any] = {
            **{"rules": RULES, "unicode": unidata_version, "count": self._count, "complete": self._complete},
            **{"left_out": left_out, "columns": columns},
        }
        (folder / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
        return FIELDS, CONTENTS


class _Growing:
    """A column while passages come in; values other than strings are known by their JSON."""

    def __init__(self) -> None:
        self._codes = array("I")
        self._known: dict[str | tuple[str], int] = {}
        self.bytes = 0

    def append(self, position: int, value: Any) -> int:
        """Note the value of a passage and return how much memory that takes."""
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

    def finished(self, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], bytes]:
        """Codes [n], starts [d + 1] and texts, see :class:`Column`."""
        self._pad(count)
        values = [key if isinstance(key, str) else json.loads(key[0]) for key in self._known]
        order = sorted(range(len(values)), key=lambda at: sort_key(values[at]))
        place = np.zeros(len(order) + 1, np.int64)
        place[np.array(order, np.int64) + 1] = np.arange(1, len(order) + 1)
        texts = [JSON.encode(values[at]).encode() for at in order]
        starts = np.cumsum([0, *map(len, texts)]).astype("<i8")
        width = 1 if len(order) < 1 << 8 else 2 if len(order) < 1 << 16 else 4
        return place[np.frombuffer(self._codes, np.uintc)].astype(f"<u{width}"), starts, b"".join(texts)

    def _pad(self, length: int) -> None:
        if missing := length - len(self._codes):
            self._codes.frombytes(bytes(missing * self._codes.itemsize))

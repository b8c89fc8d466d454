"""Metadata by field, kept beside a base segment: each field's distinct values in order, and which of them a passage has."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import SegmentDamagedError
from dpr_rag.filters import OPERATORS, Comparison, Filter
from dpr_rag.filters.evaluating import compared_fields, evaluate
from dpr_rag.filters.sorting import Key, sort_key
from dpr_rag.passages import PRIVATE_KEY, Passage

FIELDS, CONTENTS = "fields", "fields.json"
MOST_FIELDS = 256
MOST_VALUES = 4_000_000
MOST_BYTES = 1 << 28
Truth = npt.NDArray[np.bool_]
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def fields_of(passage: Passage) -> dict[str, Any]:
    """What filters see of a passage: its metadata, and its id and title unless the metadata has such keys."""
    return {"id": passage.id, "title": passage.title, **passage.metadata}


class Column:
    """One field: its distinct values in ascending order, and which of them each passage has."""

    def __init__(self, codes: npt.NDArray[Any], starts: npt.NDArray[np.int64], texts: npt.NDArray[np.uint8]) -> None:
        """Use mapped arrays.

        Args:
            codes: Unsigned [n]; 0 where the field is missing, else the place of the value, from 1.
            starts: Where each value's JSON begins in ``texts``; the last entry is their length, [d + 1].
            texts: The values' JSON in UTF-8, one after another.
        """
        self.codes, self._starts, self._texts = codes, starts, texts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def value(self, at: int) -> Any:
        """The distinct value at a place."""
        return json.loads(self._texts[self._starts[at] : self._starts[at + 1]].tobytes())

    def before(self, key: Key) -> int:
        """How many values have a lower key."""
        return bisect_left(range(len(self)), key, key=self._key)

    def through(self, key: Key) -> int:
        """How many values have this key or a lower one."""
        return bisect_right(range(len(self)), key, key=self._key)

    def compare(self, comparison: Comparison) -> Truth:
        """For which passages a comparison holds, [n]."""
        meant, operand = OPERATORS[comparison.operator], comparison.value
        holds = np.zeros(len(self) + 1, bool)
        if meant.spans is None:
            holds[1:] = [meant.holds(self.value(at), operand) for at in range(len(self))]
        else:
            for low, high in meant.spans(self, operand):
                holds[low + 1 : high + 1] = True
        truth: Truth = (~holds if meant.negated(operand) else holds)[self.codes]
        return truth

    def _key(self, at: int) -> Key:
        return sort_key(self.value(at))


class Fields:
    """All columns of a segment, mapped from its files."""

    def __init__(self, folder: Path) -> None:
        """Map what :func:`write_fields` wrote; its checksums are for the caller to verify.

        Raises:
            SegmentDamagedError: The files do not go together.
        """
        try:
            contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
            data = np.memmap(folder / FIELDS, dtype=np.uint8, mode="r")
            self._count = int(contents["count"])
            self._left_out = frozenset(contents["left_out"])
            self._complete = bool(contents["complete"])
            self._columns = {name: _column(data, self._count, **of) for name, of in contents["columns"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegmentDamagedError(folder / CONTENTS, f"cannot be opened: {error}") from error

    def know(self, where: Filter) -> bool:
        """Whether all fields that a filter asks about are here."""
        return all(
            name in self._columns or (self._complete and name not in self._left_out) for name in compared_fields(where)
        )

    def select(self, where: Filter) -> Truth:
        """Which passages a filter keeps, [n], in the order of the segment; its fields must be known."""
        found: Truth = evaluate(where, self._compare)
        return found

    def at(self, position: int) -> dict[str, Any]:
        """The fields of one passage, without those that are left out."""
        codes = ((name, column, int(column.codes[position])) for name, column in self._columns.items())
        return {name: column.value(code - 1) for name, column, code in codes if code}

    def fit(self, position: int, passage: Passage) -> bool:
        """Whether the columns say the same as a passage."""
        found = {name: value for name, value in fields_of(passage).items() if name in self._columns}
        return json.dumps(found, sort_keys=True) == json.dumps(self.at(position), sort_keys=True)

    def _compare(self, comparison: Comparison) -> Truth:
        column = self._columns.get(comparison.field)
        if column is None:
            return np.full(self._count, OPERATORS[comparison.operator].negated(comparison.value))
        return column.compare(comparison)


def _column(data: npt.NDArray[np.uint8], count: int, *, at: int, width: int, values: int, size: int) -> Column:
    starts, texts = at + _padded(count * width), at + _padded(count * width) + (values + 1) * 8
    if texts + size > len(data):
        raise ValueError(f"{FIELDS} is too short")
    return Column(
        data[at : at + count * width].view(f"<u{width}"),
        data[starts:texts].view("<i8"),
        data[texts : texts + size],
    )


def write_fields(folder: Path, passages: Iterable[Passage]) -> tuple[str, str]:
    """Write the columns of passages, in order, into an existing folder and return the names of the files.

    Fields with very many or very long distinct values, fields beyond the first 256, and what adapters keep for
    themselves are left out.
    """
    growing: dict[str, _Growing | None] = {PRIVATE_KEY: None}
    count, complete = 0, True
    for passage in passages:
        for name, value in fields_of(passage).items():
            column = growing.get(name)
            if column is None:
                if name in growing or len(growing) > MOST_FIELDS:
                    complete = complete and name in growing
                    continue
                column = growing[name] = _Growing()
            if not column.append(count, value):
                growing[name] = None
        count += 1
    columns = {}
    with (folder / FIELDS).open("wb") as file:
        for name, kept in growing.items():
            if kept is not None:
                at = file.tell()
                codes, starts, texts = kept.finished(count)
                for part in (codes.tobytes(), bytes(_padded(codes.nbytes) - codes.nbytes), starts.tobytes(), texts):
                    file.write(part)
                file.write(bytes(_padded(len(texts)) - len(texts)))
                columns[name] = {"at": at, "width": codes.itemsize, "values": len(starts) - 1, "size": len(texts)}
    left_out = [name for name, kept in growing.items() if kept is None]
    contents: Mapping[str, Any] = {"count": count, "complete": complete, "left_out": left_out, "columns": columns}
    (folder / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    return FIELDS, CONTENTS


class _Growing:
    """A column while passages come in."""

    def __init__(self) -> None:
        self._codes = array("I")
        self._known: dict[str | tuple[str], int] = {}
        self._values: list[Any] = []
        self._bytes = 0

    def append(self, position: int, value: Any) -> bool:
        """Note the value of a passage; False where there are too many to go on."""
        key = value if isinstance(value, str) else (_JSON.encode(value),)
        code = self._known.get(key)
        if code is None:
            self._values.append(value)
            code = self._known[key] = len(self._values)
            self._bytes += len(key if isinstance(key, str) else key[0])
        self._pad(position)
        self._codes.append(code)
        return code <= MOST_VALUES and self._bytes <= MOST_BYTES

    def finished(self, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], bytes]:
        """Codes [n], starts [d + 1] and texts, see :class:`Column`."""
        self._pad(count)
        order = sorted(range(len(self._values)), key=lambda at: sort_key(self._values[at]))
        place = np.zeros(len(order) + 1, np.int64)
        place[np.array(order) + 1] = np.arange(1, len(order) + 1)
        texts = [_JSON.encode(self._values[at]).encode() for at in order]
        starts = np.cumsum([0, *map(len, texts)]).astype("<i8")
        width = 1 if len(order) < 1 << 8 else 2 if len(order) < 1 << 16 else 4
        return place[np.frombuffer(self._codes, np.uintc)].astype(f"<u{width}"), starts, b"".join(texts)

    def _pad(self, length: int) -> None:
        if missing := length - len(self._codes):
            self._codes.frombytes(bytes(missing * self._codes.itemsize))


def _padded(size: int) -> int:
    return -(-size // 8) * 8

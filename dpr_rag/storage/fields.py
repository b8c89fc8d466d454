"""Columns of metadata beside a base segment: sorted distinct values per field, and a code per passage (dictionary encoding)."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import SegmentDamagedError, opening, verify_file
from dpr_rag.filters import OPERATORS, Comparison, Filter
from dpr_rag.filters.evaluating import compared_fields, evaluate
from dpr_rag.filters.fields import MISSING, fields_of, identifies, leads_to, looked_up
from dpr_rag.filters.normal import nfc
from dpr_rag.filters.sorting import Key, sort_key
from dpr_rag.passages import PRIVATE_KEY, SOURCE_KEY, Passage

FIELDS, CONTENTS = "fields", "fields.json"
RULES = 4
"""Number of the rules by which a passage has fields."""
_BEFORE_NORMAL_FORMS = 2
_IDS_IN_NORMAL_FORM = 3
Truth = npt.NDArray[np.bool_]


def seen_of(passage: Passage) -> dict[str, Any]:
    """The fields of a passage that filters see: metadata without reserved keys."""
    fields = fields_of(passage.id, passage.title, passage.metadata)
    return {name: value for name, value in fields.items() if name not in (PRIVATE_KEY, SOURCE_KEY)}


class Column:
    """One field: its distinct values in ascending order, and which of them each passage has."""

    def __init__(
        self, codes: npt.NDArray[Any], starts: npt.NDArray[np.int64], texts: npt.NDArray[np.uint8], path: Path
    ) -> None:
        """Use mapped arrays.

        Args:
            codes: Unsigned [n]; 0 where the field is missing, else the place of the value, from 1.
            starts: Where each value's JSON begins in ``texts``; the last entry is their length, [d + 1].
            texts: The values' JSON in UTF-8, one after another.
            path: The file they are mapped from.

        Raises:
            SegmentDamagedError: A code has no value, or the values do not follow each other.
        """
        self.codes, self.starts, self.texts, self.path = codes, starts, texts, path
        bounds = (int(codes.max(initial=0)) <= len(self), starts[0] == 0, starts[-1] == len(texts))
        if not all(bounds) or not (starts[1:] >= starts[:-1]).all():
            raise SegmentDamagedError(path, "does not fit together")

    def __len__(self) -> int:
        return len(self.starts) - 1

    def text(self, at: int) -> bytes:
        """The JSON of the distinct value at a place."""
        return self.texts[self.starts[at] : self.starts[at + 1]].tobytes()

    def value(self, at: int) -> Any:
        """The distinct value at a place.

        Raises:
            SegmentDamagedError: It is no JSON.
        """
        try:
            return json.loads(self.text(at))
        except (ValueError, RecursionError) as error:
            raise SegmentDamagedError(self.path, f"holds a value that is no JSON: {error}") from error

    def ascends(self) -> bool:
        """Whether the distinct values stand in order, each once."""
        keys = [sort_key(value) for value in self._values()]
        return all(key < following for key, following in pairwise(keys))

    def compare(self, comparison: Comparison) -> Truth:
        """For which passages a comparison holds, [n]; it does not hold where the field is missing."""
        meant, operand = OPERATORS[comparison.operator], comparison.value
        holds = np.zeros(len(self) + 1, bool)
        spans = meant.spans and not self._is_long(operand) and meant.spans(InOrder(self), operand)
        if isinstance(spans, list):
            for low, high in spans:
                holds[low + 1 : high + 1] = True
        else:
            holds[1:] = [comparison.test(value) for value in self._values()]
        if meant.negated(operand):
            holds = ~holds
        truth: Truth = holds[self.codes]
        return truth

    def within(self, path: str, comparison: Comparison) -> tuple[Truth, Truth]:
        """Two masks [n] for a path into nested objects: passages with a value there, and those for which the comparison holds."""
        values = [looked_up(value, path) if isinstance(value, dict) else MISSING for value in self._values()]
        negated = OPERATORS[comparison.operator].negated(comparison.value)
        has = np.array([False, *(value is not MISSING for value in values)])
        holds = np.array([False, *(value is not MISSING and comparison.test(value) is not negated for value in values)])
        return has[self.codes], holds[self.codes]

    def is_ascii(self) -> bool:
        """Whether all values are ASCII, and so equal in every Unicode normal form."""
        return int(self.texts.max(initial=0)) < 128

    def _values(self) -> Iterator[Any]:
        return (self.value(at) for at in range(len(self)))

    def _is_long(self, operand: object) -> bool:
        """Whether looking for every item of a list takes longer than asking every value about the list."""
        return isinstance(operand, tuple) and len(operand) * len(self).bit_length() > len(self)


class InOrder:
    """The sorted values of a column, parsed on first use."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._keys: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self._column)

    def key(self, at: int) -> Key:
        """What the value at a place is sorted by."""
        known = self._keys.get(at)
        if known is None:
            known = self._keys[at] = sort_key(self._column.value(at))
        return known

    def before(self, key: Key) -> int:
        """How many values have a lower key."""
        return bisect_left(range(len(self)), key, key=self.key)

    def through(self, key: Key) -> int:
        """How many values have this key or a lower one."""
        return bisect_right(range(len(self)), key, key=self.key)


class Fields:
    """All columns of a segment, mapped from its files.

    Attributes:
        count: Number of passages.
        columns: By field.
        left_out: Fields that are not here, though passages may have them.
        complete: Whether passages have no others.
        is_current: Whether they were collected by the rules of this version.
    """

    def __init__(self, folder: Path, files: Mapping[str, tuple[int, int]]) -> None:
        """Map what :meth:`ColumnsBuilder.write` wrote.

        Args:
            folder: Where.
            files: Size and checksum of each file.

        Raises:
            SegmentDamagedError: A file is missing or does not match its checksum.
        """
        for name in (FIELDS, CONTENTS):
            verify_file(folder / name, files[name])
        with opening(folder / CONTENTS, LookupError, TypeError, AttributeError):
            contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
            data = np.memmap(folder / FIELDS, dtype=np.uint8, mode="r")
            self.count = int(contents["count"])
            self.left_out = frozenset(contents["left_out"])
            # what was collected by other rules says other things, and is not asked
            rules, unicode = contents.get("rules"), contents.get("unicode")
            known = rules in (RULES, _IDS_IN_NORMAL_FORM, _BEFORE_NORMAL_FORMS)
            self.complete = bool(contents["complete"]) and known
            columns = contents["columns"] if known else {}
            opened = {name: _column(data, self.count, folder / FIELDS, **of) for name, of in columns.items()}
            self.is_current = rules == RULES and unicode == unidata_version
            normal = rules != _BEFORE_NORMAL_FORMS and unicode == unidata_version
            opened = {
                name: column
                for name, column in opened.items()
                if (rules == RULES if identifies(name) else normal) or (name.isascii() and column.is_ascii())
            }
            self.left_out |= {nfc(name) for name in columns.keys() - opened.keys()}
            self.columns = opened

    def know(self, where: Filter) -> bool:
        """Whether all fields of a filter are in these columns."""
        return all(self._knows(name) for name in compared_fields(where))

    def _knows(self, field: str) -> bool:
        if field in self.columns and "." not in field:
            return True
        return self.complete and not any(name == field or leads_to(name, field) for name in self.left_out)

    def select(self, where: Filter) -> Truth:
        """Mask [n] of the passages that a filter keeps, in the segment's order; its fields must be known."""
        kept: Truth = evaluate(where, self._compare, np.ones(self.count, bool))
        return kept

    def at(self, position: int) -> dict[str, Any]:
        """The fields of one passage, without those that are left out."""
        codes = ((name, column, int(column.codes[position])) for name, column in self.columns.items())
        return {name: column.value(code - 1) for name, column, code in codes if code}

    def fit(self, position: int, passage: Passage) -> bool:
        """Whether the columns hold exactly the fields of a passage, for ``check``."""
        fields = seen_of(passage)
        if self.complete and fields.keys() - self.columns.keys() - self.left_out:
            return False
        known = {name: value for name, value in fields.items() if name in self.columns}
        return json.dumps(known, sort_keys=True) == json.dumps(self.at(position), sort_keys=True)

    def ascend(self) -> bool:
        """Whether the distinct values of every field are sorted, as comparisons assume."""
        return all(column.ascends() for column in self.columns.values())

    def _compare(self, comparison: Comparison) -> Truth:
        field, truth = comparison.field, np.full(self.count, comparison.holds_without)
        for name in sorted(filter(lambda name: leads_to(name, field), self.columns), key=len):
            has, holds = self.columns[name].within(field[len(name) + 1 :], comparison)
            truth = np.where(has, holds, truth)
        if field in self.columns:
            column = self.columns[field]
            truth = np.where(column.codes > 0, column.compare(comparison), truth)
        return truth


def _column(
    data: npt.NDArray[np.uint8], count: int, path: Path, *, at: int, width: int, values: int, size: int
) -> Column:
    starts, texts = at + padded(count * width), at + padded(count * width) + (values + 1) * 8
    if min(at, count, values, size) < 0 or texts + size > len(data):
        raise ValueError(f"{FIELDS} is too short")
    return Column(
        data[at : at + count * width].view(f"<u{width}"),
        data[starts:texts].view("<i8"),
        data[texts : texts + size],
        path,
    )


def padded(size: int) -> int:
    """The size rounded up to a multiple of 8, the alignment of numbers."""
    return -(-size // 8) * 8

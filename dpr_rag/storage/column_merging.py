"""Merging metadata columns for compaction: the column of the base with that of the tail."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dpr_rag.storage.fields import Column, InOrder


class Packed(NamedTuple):
    """A column in the form of its file: dictionary-encoded.

    Attributes:
        codes: Unsigned [n]; 0 where the field is missing, else the place of the value, from 1.
        starts: Where each value's JSON begins in ``texts``; the last entry is their length, [d + 1].
        texts: The distinct values' JSON in UTF-8, in order, one after another.
    """

    codes: npt.NDArray[np.unsignedinteger]
    starts: npt.NDArray[np.int64]
    texts: bytes

    @staticmethod
    def of(codes: npt.NDArray[np.unsignedinteger], starts: npt.NDArray[np.int64], texts: bytes) -> Packed:
        """Take the narrowest type that holds the codes."""
        values = len(starts) - 1
        width = 1 if values < 1 << 8 else 2 if values < 1 << 16 else 4
        return Packed(codes.astype(f"<u{width}"), starts.astype("<i8"), texts)

    @staticmethod
    def missing(count: int) -> Packed:
        """A field that none of some passages has."""
        return Packed(np.zeros(count, "<u1"), np.zeros(1, "<i8"), b"")


def merge_columns(old: Column, new: Packed) -> Packed:
    """Append the column of further passages to a column; their distinct values are merged in order.

    Takes time in the number of new distinct values, each a binary search among the old ones, and in the bytes copied.

    Raises:
        SegmentDamagedError: A value of the old column is no JSON.
    """
    if not len(old):
        return Packed.of(np.concatenate([old.codes, new.codes]), new.starts, new.texts)
    added = Column(new.codes, new.starts, np.frombuffer(new.texts, np.uint8), old.path)
    places, is_new = _places(old, added)
    before = places[is_new]
    shifted = np.arange(len(old)) + np.searchsorted(before, np.arange(len(old)), "right")
    at = np.empty(len(added), np.int64)
    at[is_new] = before + np.arange(len(before))
    at[~is_new] = shifted[places[~is_new]]
    codes = [np.concatenate([[0], moved + 1])[of] for moved, of in ((shifted, old.codes), (at, new.codes))]
    lengths = np.insert(np.diff(old.starts), before, np.diff(new.starts)[is_new])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Packed.of(np.concatenate(codes).astype(np.uint32), starts, _texts(old, added, before, is_new))


def _places(old: Column, added: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """For each distinct value of ``added``: its position among the old ones, or where to insert it, and whether it is new."""
    known, coming = InOrder(old), InOrder(added)
    places, is_new = np.empty(len(added), np.int64), np.ones(len(added), bool)
    for number in range(len(added)):
        key = coming.key(number)
        # 1 and 1.0 are equal, and two values
        at = known.before(key)
        while at < len(old) and known.key(at) == key and old.text(at) != added.text(number):
            at += 1
        is_new[number] = at == len(old) or known.key(at) != key
        places[number] = at
    return places, is_new


def _texts(old: Column, added: Column, before: npt.NDArray[np.int64], is_new: npt.NDArray[np.bool_]) -> bytes:
    parts, last = [], 0
    for place, number in zip(before.tolist(), np.flatnonzero(is_new).tolist(), strict=True):
        cut = int(old.starts[place])
        parts += [old.texts[last:cut].tobytes(), added.text(number)]
        last = cut
    return b"".join([*parts, old.texts[last:].tobytes()])

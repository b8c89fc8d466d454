"""Immutable postings: the passages that hold each term, in memory or memory-mapped from a segment's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows, SegmentDamagedError, file_checksum, opening, refuse_unordered, verify_file
from dpr_rag.lexical.analysis import Analyzer, Counts, Terms
from dpr_rag.passages import Passage

Places = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int32]
Halves = npt.NDArray[np.uint32]
_BLOCK = 20_000
_KINDS = {
    **{"rows": "<i8", "lengths": "<i4", "terms": "<u8", "starts": "<i8", "places": "<i4", "counts": "<u2"},
    **{"begins": "<i8", "sequence": "<u4"},
}


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """An inverted index: for each term its passages and frequencies, and the terms of each passage in order.

    Attributes:
        rows: Ascending row numbers of the passages.
        lengths: Terms in each passage, int32 [n].
        terms: Ascending distinct terms, uint64 [t].
        starts: Where each term's postings begin; the last entry is their number, int64 [t + 1].
        places: Positions of passages, ascending within a term, int32 [p].
        counts: How often the term stands in the passage, uint16 [p].
        begins: Where each passage's terms begin in ``sequence``; the last entry is their number, int64 [n + 1].
        sequence: The lower halves of the terms, passage by passage in their order, uint32.
    """

    rows: Rows
    lengths: Lengths
    terms: Terms
    starts: Rows
    places: Places
    counts: Counts
    begins: Rows
    sequence: Halves

    @classmethod
    def of(cls, passages: Iterable[tuple[int, Passage]], analyzer: Analyzer) -> Self:
        """Index passages with their row numbers, which must ascend."""
        parts = []
        rows: list[int] = []
        lengths: list[int] = []
        block: list[tuple[Terms, Counts, Terms]] = []
        for row, passage in passages:
            block.append(analyzer.passage(passage))
            rows.append(row)
            lengths.append(len(block[-1][2]))
            if len(block) == _BLOCK:
                parts.append(_flat(block, len(rows) - len(block)))
                block = []
        parts.append(_flat(block, len(rows) - len(block)))
        flat = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls._sorted(np.array(rows, np.int64), np.array(lengths, np.int32), *flat)

    @classmethod
    def _sorted(
        cls, rows: Rows, lengths: Lengths, terms: Terms, places: Places, counts: Counts, sequence: Halves
    ) -> Self:
        """Postings of flat (term, place, count) columns whose places ascend, and of the sequence of all passages."""
        order = np.argsort(terms, kind="stable")
        terms = terms[order]
        begins = np.ones(len(terms), bool)
        begins[1:] = terms[1:] != terms[:-1]
        first = np.flatnonzero(begins)
        starts = np.append(first, len(terms)).astype(np.int64)
        begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return cls(rows, lengths, terms[first], starts, places[order], counts[order], begins, sequence)

    @classmethod
    def merged(cls, parts: Sequence[Self], alive: Rows | None = None) -> Self:
        """One segment of several in ascending order of rows; ``alive`` are the row numbers to keep, None keeps all."""
        if len(parts) == 1 and (alive is None or np.array_equal(parts[0].rows, alive)):
            return parts[0]
        offsets = np.cumsum([0, *(len(part.rows) for part in parts)])
        rows = np.concatenate([part.rows for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        terms = np.concatenate([np.repeat(part.terms, np.diff(part.starts)) for part in parts])
        places = np.concatenate([part.places + np.int32(at) for part, at in zip(parts, offsets, strict=False)])
        counts = np.concatenate([part.counts for part in parts])
        sequence = np.concatenate([part.sequence for part in parts])
        if alive is None:
            return cls._sorted(rows, lengths, terms, places, counts, sequence)
        kept = np.isin(rows, alive, assume_unique=True)
        renumbered = (np.cumsum(kept) - 1).astype(np.int32)
        left = kept[places]
        spoken = sequence[np.repeat(kept, lengths)]
        return cls._sorted(rows[kept], lengths[kept], terms[left], renumbered[places[left]], counts[left], spoken)

    def of_term(self, term: int) -> tuple[Places, Counts]:
        """The places and counts of a term; empty where no passage holds it."""
        at = int(np.searchsorted(self.terms, np.uint64(term)))
        if at == len(self.terms) or int(self.terms[at]) != term:
            return self.places[:0], self.counts[:0]
        part = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return self.places[part], self.counts[part]

    def sequences(self, places: Rows) -> tuple[Halves, Rows]:
        """The terms of some passages in their order, one after another, and how many each has."""
        begins, sizes = self.begins[places], self.lengths[places].astype(np.int64)
        ends = np.cumsum(sizes)
        return self.sequence[np.arange(int(sizes.sum())) + np.repeat(begins - (ends - sizes), sizes)], sizes

    def write(self, folder: Path) -> dict[str, tuple[int, int]]:
        """Write the columns into an existing folder and return their sizes and checksums by file name."""
        for name, kind in _KINDS.items():
            getattr(self, name).astype(kind).tofile(folder / name)
        return {name: file_checksum(folder / name) for name in _KINDS}

    @classmethod
    def open(cls, folder: Path, files: Mapping[str, Any]) -> Self:
        """Map what :meth:`write` wrote, after its checksums were verified.

        Raises:
            SegmentDamagedError: A file is missing or does not match its checksum.
        """
        for name in _KINDS:
            verify_file(folder / name, files.get(name, (-1, 0)))
        with opening(folder / "rows"):
            columns = {name: _mapped(folder / name, kind) for name, kind in _KINDS.items()}
        refuse_unordered(columns["rows"], folder / "rows")
        postings = cls(**columns)
        if not postings._fits_together():
            raise SegmentDamagedError(folder / "starts", "does not fit together with the files beside it")
        return postings

    def _fits_together(self) -> bool:
        """Whether all offsets into other columns are within bounds."""
        size = len(self.rows)
        return bool(
            len(self.lengths) == size
            and len(self.starts) == len(self.terms) + 1
            and len(self.begins) == size + 1
            and _leads_into(self.starts, len(self.places))
            and _leads_into(self.begins, len(self.sequence))
            and len(self.counts) == len(self.places)
            and (np.diff(self.begins) == self.lengths).all()
            and (self.terms[1:] > self.terms[:-1]).all()
            and (not len(self.places) or (self.places.min() >= 0 and self.places.max() < size))
        )


def _leads_into(bounds: Rows, size: int) -> bool:
    return bool(bounds[0] == 0 and bounds[-1] == size and (bounds[1:] >= bounds[:-1]).all())


def _mapped(path: Path, kind: str) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, kind)
    return np.memmap(path, dtype=kind, mode="r")


def _flat(passages: Sequence[tuple[Terms, Counts, Terms]], first: int) -> tuple[Terms, Places, Counts, Halves]:
    sizes = [len(passage[0]) for passage in passages]
    places = np.repeat(np.arange(first, first + len(passages), dtype=np.int32), sizes)
    terms = np.concatenate([np.empty(0, np.uint64), *(passage[0] for passage in passages)])
    counts = np.concatenate([np.empty(0, np.uint16), *(passage[1] for passage in passages)])
    sequence = np.concatenate([np.empty(0, np.uint64), *(passage[2] for passage in passages)])
    return terms, places, counts, halves(sequence)


def halves(terms: Terms) -> Halves:
    """The lower 32 bits of terms, enough for phrases."""
    return (terms & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def append_segment(parts: tuple[Postings, ...], added: Postings) -> tuple[Postings, ...]:
    """Append a segment to ``parts``; segments of similar size are merged, so that there are few (logarithmic merging).

    Each segment is at least twice as large as the one behind it, as in a log-structured merge tree.
    """
    if not len(added.rows):
        return parts
    *before, last = (*parts, added)
    while before and len(before[-1].rows) < 2 * len(last.rows):
        last = Postings.merged([before.pop(), last])
    return (*before, last)

"""``Lexicon``: the BM25 postings of one generation, the mask of stored passages, and masks of recent filters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.filters import Filter
from dpr_rag.lexical import Corpus, Postings
from dpr_rag.lexical.postings import append_segment
from dpr_rag.lexical.scoring import Mask
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.store.snapshot import Snapshot, positions_in

_KEPT_FILTERS = 32


class OutdatedError(Exception):
    """A transaction is older than the postings, which lack passages that the transaction still sees."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The postings of all passages of one generation, immutable; the next generation gets another one.

    Attributes:
        language: Language of the stemmer.
        directory: Name of the folder of the segment on disk, or empty.
        base: The segment on disk, or None.
        tail: Segments in memory behind it.
        last: Highest row number they cover.
        corpus: All postings, with the mask of the passages that are stored at this generation.
        generation: Its number.
        masks: Masks of the positions that recent filters keep.
    """

    language: str
    directory: str
    base: Postings | None
    tail: tuple[Postings, ...]
    last: int
    corpus: Corpus
    generation: int = -1
    masks: dict[Filter, Mask] = field(default_factory=dict)

    def with_added(self, added: Postings, last: int) -> Lexicon:
        """These postings and those of passages added since, up to a row number."""
        tail = append_segment(self.tail, added)
        return replace(self, tail=tail, last=last, corpus=Corpus(tail if self.base is None else (self.base, *tail)))

    def at(self, reader: StoreReader, snapshot: Snapshot) -> Lexicon:
        """The same postings, with the mask of the passages that are stored at a snapshot's generation.

        Raises:
            OutdatedError: They are newer, and in another language or without passages that were removed since.
            SegmentDamagedError: The segment on disk lacks passages.
            StoreCorrupted: The store itself does.
        """
        if self.language != snapshot.state.language:
            raise OutdatedError(f"the language is {self.language!r} now")
        rows, kept = self.corpus.rows, snapshot.kept(reader, None)
        places = positions_in(rows, kept)
        if len(places) < len(kept):
            raise self._lacking(reader, snapshot, np.setdiff1d(kept, rows))
        alive = None if len(places) == len(rows) else _mask(places, len(rows))
        return replace(self, corpus=self.corpus.at(alive), generation=snapshot.state.generation, masks={})

    def _lacking(self, reader: StoreReader, snapshot: Snapshot, rows: Rows) -> Exception:
        if self.generation > snapshot.state.generation:
            return OutdatedError(f"row {rows[0]} was removed after generation {snapshot.state.generation}")
        if self.directory:
            return SegmentDamagedError(Path(INDEX_FOLDER, self.directory, "rows"), f"lacks row {rows[0]}")
        return StoreCorrupted(f"{reader.path}: row {rows[0]} is indexed but missing; " + RESTORE)

    def alive(self, reader: StoreReader, snapshot: Snapshot, where: Condition | None) -> Mask | None:
        """Mask of the stored positions that a filter keeps; None for all. Masks of recent filters are cached."""
        if where is None:
            return None
        if not isinstance(where, Filter):
            return self._kept(reader, snapshot, where)
        mask = self.masks.get(where)
        if mask is None:
            mask = self._kept(reader, snapshot, where)
            known = tuple(self.masks)  # at once: other threads put in and take out
            for oldest in known[: max(0, len(known) + 1 - _KEPT_FILTERS)]:
                self.masks.pop(oldest, None)
            self.masks[where] = mask
        return mask

    def _kept(self, reader: StoreReader, snapshot: Snapshot, where: Condition) -> Mask:
        rows = self.corpus.rows
        return _mask(positions_in(rows, snapshot.kept(reader, where)), len(rows))


def _mask(places: Rows, size: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[places] = True
    return mask

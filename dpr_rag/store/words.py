"""The words of one generation of a store: its postings, which of them count, and what recent filters keep of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.filters import Filter
from dpr_rag.lexical import Corpus, Postings
from dpr_rag.lexical.postings import grown
from dpr_rag.lexical.scoring import Mask
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.store.snapshot import Snapshot, positions_in

_KEPT_FILTERS = 32


class OutdatedError(Exception):
    """A transaction is older than what was built meanwhile, which no longer knows all that the transaction sees."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The postings of all passages of one generation, immutable; the next generation gets another one.

    Attributes:
        language: Whose words they are.
        directory: Folder of the segment on disk, or empty.
        base: The segment on disk, or None.
        tail: Segments in memory behind it.
        last: Highest row number they cover.
        corpus: All of them, as they count at this generation.
        generation: Its number.
        masks: Positions that recent filters keep.
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
        tail = grown(self.tail, added)
        return replace(self, tail=tail, last=last, corpus=Corpus(tail if self.base is None else (self.base, *tail)))

    def at(self, reader: StoreReader, snapshot: Snapshot) -> Lexicon:
        """The same postings as they count at a snapshot's generation.

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
        """Which of the positions that count a filter keeps; None for all. Those of repeated filters are remembered."""
        if where is None:
            return None
        if not isinstance(where, Filter):
            return self._kept(reader, snapshot, where)
        mask = self.masks.get(where)
        if mask is None:
            mask = self._kept(reader, snapshot, where)
            known = tuple(self.masks)  # at once: other threads put in and take out
            for one in known[: max(0, len(known) + 1 - _KEPT_FILTERS)]:
                self.masks.pop(one, None)
            self.masks[where] = mask
        return mask

    def _kept(self, reader: StoreReader, snapshot: Snapshot, where: Condition) -> Mask:
        rows = self.corpus.rows
        return _mask(positions_in(rows, snapshot.kept(reader, where)), len(rows))


def _mask(places: Rows, size: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[places] = True
    return mask

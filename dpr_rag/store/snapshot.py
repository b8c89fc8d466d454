"""``Snapshot``: everything a search needs of one generation, immutable; a write makes the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.encoder import Vectors
from dpr_rag.errors import OPTIMIZE_BUILDS, RESTORE, StoreCorrupted
from dpr_rag.filters import Filter
from dpr_rag.forking import new_lock
from dpr_rag.index.search import Scores, Selection, inner_products, merged, search_segment
from dpr_rag.index.segments import Base, Manifest, Tail
from dpr_rag.storage.fields import FIELDS, Fields, Truth
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.storage.state import State, added
from dpr_rag.store.segment_folders import base_manifest

_KEPT_FILTERS = 32
_log = logging.getLogger(__name__)
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One generation of a store, ready to be searched by any number of threads.

    Attributes:
        state: The store's record at this generation.
        base: The segment on disk, or None.
        tail: Vectors added since the base was built, removed ones included.
        removed: Ascending row numbers that no longer count.
        fields: Metadata of the base by field, or None where it was built without or is unknown.
        selections: Positions of recent filters in base and tail; None is the absence of a filter.
        lock: Held while ``selections`` changes.
    """

    state: State
    base: Base | None
    tail: Tail
    removed: Rows
    fields: Fields | None = None
    selections: dict[Filter | None, tuple[Selection, Selection]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=new_lock)

    def search(
        self, reader: StoreReader, questions: Vectors, k: int, *, where: Condition | None, exact: bool = False
    ) -> list[tuple[Rows, Scores]]:
        """Row numbers and exact inner products of the top k for each question.

        Args:
            reader: The transaction this snapshot belongs to.
            questions: float32 [n, dim].
            k: Hits per question.
            where: Filter or predicate that selects before the top k, or None.
            exact: Do not use the approximate index.

        Raises:
            SegmentDamagedError: The base segment does not match its checksums.
        """
        in_base, in_tail = self.select(reader, where)
        of_tail = search_segment(self.tail, questions, k, in_tail)
        if self.base is None:
            return of_tail
        of_base = search_segment(self.base, questions, k, in_base, exact=exact)
        return [merged([left, right], k) for left, right in zip(of_base, of_tail, strict=True)]

    def products(self, question: Vectors, rows: Rows) -> Scores:
        """Exact inner products of a question, float32 [dim], with the passages at ascending row numbers.

        Raises:
            SegmentDamagedError: The base segment does not match its checksums.
        """
        cut = np.searchsorted(rows, self.last_row, "right")
        parts = zip((self.base, self.tail), (rows[:cut], rows[cut:]), strict=True)
        vectors = [segment.take(positions_in(segment.rows, some)) for segment, some in parts if segment is not None]
        return inner_products(question, np.concatenate(vectors))

    def select(self, reader: StoreReader, where: Condition | None) -> tuple[Selection, Selection]:
        """Positions in base and tail that a filter keeps; those of recent filters are cached, those of predicates not."""
        if where is not None and not isinstance(where, Filter):
            return self._selected(reader.rows_where(where))
        known = self.selections.get(where)
        if known is not None:
            return known
        fields = self._fields_for(where)
        if where is None or fields is None:
            chosen = self._selected(None if where is None else reader.rows_where(where))
        else:
            in_tail = reader.rows_where(where, after=self.last_row)
            chosen = self._in_base(fields.select(where)), self._positions(self.tail.rows, in_tail)
        with self.lock:
            if len(self.selections) >= _KEPT_FILTERS:
                del self.selections[next(key for key in self.selections if key is not None)]
            self.selections[where] = chosen
        return chosen

    def kept(self, reader: StoreReader, where: Condition | None) -> Rows:
        """Ascending row numbers of the passages that a filter keeps, or of all."""
        segments = zip((self.base, self.tail), self.select(reader, where), strict=True)
        kept = [(segment.rows, chosen.positions) for segment, chosen in segments if segment is not None]
        return np.concatenate([rows if positions is None else rows[positions] for rows, positions in kept])

    @property
    def last_row(self) -> int:
        """Highest row number that the base covers, 0 without one."""
        return 0 if self.base is None else self.base.manifest.last_row

    def knows(self, where: Condition) -> bool:
        """Whether the base has current columns of metadata for all fields of a filter."""
        return self._fields_for(where) is not None

    def _fields_for(self, where: Condition | None) -> Fields | None:
        current = self.base is not None and self.base.manifest.edits == self.state.edits
        if self.fields is None or not current or not isinstance(where, Filter) or not self.fields.know(where):
            return None
        return self.fields

    def _in_base(self, kept: Truth) -> Selection:
        if self.base is not None:
            kept[positions_in(self.base.rows, self.removed)] = False
        return Selection.of(np.flatnonzero(kept), len(kept))

    def _selected(self, allowed: Rows | None) -> tuple[Selection, Selection]:
        base_rows = _NONE if self.base is None else self.base.rows
        return self._positions(base_rows, allowed), self._positions(self.tail.rows, allowed)

    def _positions(self, rows: Rows, allowed: Rows | None) -> Selection:
        if allowed is not None:
            return Selection.of(positions_in(rows, allowed), len(rows))
        gone = positions_in(rows, self.removed)
        if not len(gone):
            return Selection.everything(len(rows))
        return Selection.of(np.delete(np.arange(len(rows)), gone), len(rows))


def positions_in(rows: Rows, wanted: Rows) -> Rows:
    """Where ascending ``wanted`` row numbers stand among ascending ``rows``; absent ones are left out."""
    if not len(rows) or not len(wanted):
        return _NONE
    wanted = wanted[wanted <= rows[-1]]
    at = np.searchsorted(rows, wanted)
    return np.asarray(at[rows[at] == wanted], dtype=np.int64)


def load(reader: StoreReader, folder: Path, old: Snapshot | None, *, unusable: Sequence[str] = ()) -> Snapshot:
    """Bring a snapshot to the generation of a transaction, reusing what has not changed.

    Args:
        reader: The open transaction.
        folder: The store's folder.
        old: The snapshot so far, or None.
        unusable: Names of base segments that were found damaged.

    Raises:
        SegmentDamagedError: The base segment is missing or damaged.
    """
    state = reader.state()
    if old is not None and old.state.generation == state.generation:
        return replace(old, state=state)  # records of adapters change without a new generation
    if old is None or old.state.folds != state.folds:
        return _load_all(reader, folder, state, unusable, old)
    gone, total = reader.removals(old.state.generation)
    tail = _grown(old.tail, reader, state, old.last_row)
    snapshot = Snapshot(state, old.base, tail, np.union1d(old.removed, gone), old.fields)
    if None in old.selections and not len(gone[gone <= old.last_row]):
        # what a base has not lost since is worth a glance at each of its rows only once
        snapshot.selections[None] = old.selections[None][0], snapshot._positions(tail.rows, None)
    return _complete(snapshot, reader, added(old.state.removed_sum, total))


def _load_all(
    reader: StoreReader, folder: Path, state: State, unusable: Sequence[str], old: Snapshot | None
) -> Snapshot:
    base = fields = None
    manifest = base_manifest(state)
    if manifest is not None and not manifest.is_current:
        _log.warning(
            "%s has an index of an earlier version, which is not used: questions are compared with every vector", folder
        )
    elif manifest is not None and manifest.directory not in unusable:
        place = folder / INDEX_FOLDER / manifest.directory
        base = _open_base(place, manifest, state)
        fields = open_fields(place, manifest)
    after = 0 if base is None else base.manifest.last_row
    tail = _grown(_kept(old, reader, state, after), reader, state, after)
    removed, total = reader.removals(-1)
    return _complete(Snapshot(state, base, tail, removed, fields), reader, total)


def _complete(snapshot: Snapshot, reader: StoreReader, removed_sum: int) -> Snapshot:
    """Verify that segments and removals add up to the passages that were committed."""
    state, removed = snapshot.state, snapshot.removed
    if not state.store:  # of a format before 5, which summed up the row numbers
        removed_sum = int(removed.sum())
    if (len(removed), removed_sum) != (state.removed, state.removed_sum):
        raise StoreCorrupted(f"{reader.path}: the record of removed passages is damaged; " + RESTORE)
    if sum(selection.count for selection in snapshot.select(reader, None)) != state.passages:
        raise StoreCorrupted(f"{reader.path}: some of {state.passages} passages have lost their vectors; " + RESTORE)
    return snapshot


def _open_base(folder: Path, manifest: Manifest, state: State) -> Base:
    if state.model is None or (manifest.dim, manifest.dtype) != (state.model.dim, state.dtype):
        raise SegmentDamagedError(folder / "vectors", "does not belong to the vectors in use")
    _log.debug("opening base segment %s", folder)
    return Base(folder, manifest)


def fields_of(folder: Path, manifest: Manifest) -> Fields | None:
    """The metadata by field that lies beside a base segment, or None where there is none.

    Raises:
        SegmentDamagedError: It does not match the manifest.
    """
    if FIELDS not in manifest.files:
        return None
    fields = Fields(folder, manifest.files)
    if fields.count != manifest.count:
        raise SegmentDamagedError(folder / FIELDS, f"is of {fields.count} passages, expected {manifest.count}")
    return fields


def open_fields(folder: Path, manifest: Manifest) -> Fields | None:
    """Like :func:`fields_of`, with None and a warning where the columns are damaged."""
    try:
        return fields_of(folder, manifest)
    except SegmentDamagedError as error:
        _log.warning("%s; filters ask the passages instead, until %s it anew", error, OPTIMIZE_BUILDS)
        return None


def _kept(old: Snapshot | None, reader: StoreReader, state: State, after: int) -> Tail:
    """The part of the old tail above a row number that is still stored."""
    if old is None or (old.state.table, old.state.model) != (state.table, state.model):
        return Tail(0 if state.model is None else state.model.dim)
    return old.tail.kept(np.isin(old.tail.rows, reader.rows_of(state.vectors, after=after)))


def _grown(tail: Tail, reader: StoreReader, state: State, after: int) -> Tail:
    """The tail extended by all later vectors; an empty one by those above a row number."""
    after = int(tail.rows[-1]) if len(tail.rows) else after
    for rows, vectors in reader.vectors(state, after):
        tail = tail.extended(rows, vectors)
    return tail

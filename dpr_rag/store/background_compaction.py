"""Background compaction: extends a copy of the base segment by the tail, or builds a new one, once the tail is too long.

The postings of BM25 are brought up by the same thread.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.errors import RESTORE, IndexKindError, StoreCorrupted
from dpr_rag.index.building import PreviousBase, finish_base, write_vectors
from dpr_rag.index.compaction import can_extend
from dpr_rag.index.kinds import Plan
from dpr_rag.index.segments import Base, Manifest
from dpr_rag.storage.collecting import ColumnsBuilder
from dpr_rag.storage.fields import Fields
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import State
from dpr_rag.store import lexicon
from dpr_rag.store.background import Checkpoint
from dpr_rag.store.compaction import aligned_passages, build_base, install_base, plan_of, with_checkpoints
from dpr_rag.store.engine import Engine
from dpr_rag.store.segment_folders import base_manifest, building
from dpr_rag.store.snapshot import open_fields

TAIL_LIMIT = 20_000
TAIL_SHARE = 0.05
REMOVED_SHARE = 0.25
_THROTTLING_RATIO = 2  # of the tail to its limit
_MAX_WAIT_PER_CALL, _MAX_WAIT_PER_PASSAGE = 1.5, 0.0005  # seconds
_POLL_INTERVAL = 0.05  # seconds
_log = logging.getLogger(__name__)


def catch_up(engine: Engine) -> None:
    """Start the background work where postings are due, or the tail is longer than max(20,000, 5 % of the base).

    Nothing waits for it, and no error of it is raised: what was changed is committed, and searches look through the tail.
    """
    if engine.database.read_only:
        return
    with engine.background.recorded():
        state = engine.state()
        if _is_due(engine, state) or lexicon.is_due(engine, state):
            engine.background.start(partial(_catch_up, engine))


class Backpressure:
    """Slows a call that adds passages down where compaction does not keep up.

    Searches compare with every vector of the tail, so that its growth is slowed; and a call is to wait hardly longer than it
    works.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began = time.monotonic()
        self._passages, self._waited = 0, 0.0

    def after_commit(self, passages: int) -> None:
        """Start the background work if there is any, and wait a while where the tail is longer than twice its limit.

        Args:
            passages: How many were committed since the last time.
        """
        catch_up(self._engine)
        self._passages += passages
        worked = time.monotonic() - self._began - self._waited
        allowed = max(min(_MAX_WAIT_PER_CALL, self._passages * _MAX_WAIT_PER_PASSAGE), worked / 2) - self._waited
        before = time.monotonic()
        with self._engine.background.recorded():
            while (left := before + allowed - time.monotonic()) > 0 and self._is_needed():
                self._engine.background.wait(min(left, _POLL_INTERVAL))
        self._waited += time.monotonic() - before

    def _is_needed(self) -> bool:
        return self._engine.background.is_running and _tail_ratio(self._engine.state()) > _THROTTLING_RATIO


def _tail_ratio(state: State) -> float:
    """Length of the tail, removed passages included, over its limit."""
    count = 0 if state.base is None else int(state.base["count"])
    return (state.passages + state.removed - count) / max(TAIL_LIMIT, TAIL_SHARE * count)


def _is_due(engine: Engine, state: State) -> bool:
    """Whether the tail or the removals are beyond their limits, or the base was found damaged."""
    base = base_manifest(state)
    if base is not None and base.directory in engine.unusable:
        return True
    return _tail_ratio(state) > 1 or _has_many_removals(state, 0 if base is None else base.count)


def _has_many_removals(state: State, count: int) -> bool:
    """Whether so many of the ``count`` passages of a base were removed that it is to be built anew."""
    return state.removed > max(TAIL_LIMIT, REMOVED_SHARE * count)


def _catch_up(engine: Engine, checkpoint: Checkpoint) -> bool:
    """Write postings and compact as far as that is still due, and return whether it was."""
    # first, as an index that cannot be built fails again and again
    has_written = lexicon.write_if_due(engine, checkpoint)
    return _compact_tail(engine, checkpoint) or has_written


def _compact_tail(engine: Engine, checkpoint: Checkpoint) -> bool:
    """Compact if that is still due, and return whether it was."""
    with engine.compaction_lock:
        state = engine.state()
        if not _is_due(engine, state):
            return False
        with building(engine.folder) as folder:
            if not _extend_base(engine, state, folder, checkpoint):
                build_base(engine, None, folder, checkpoint)
    return True


def _extend_base(engine: Engine, state: State, folder: Path, checkpoint: Checkpoint) -> bool:
    """Install a copy of the base, extended by the tail.

    Returns:
        False where a new base is to be built instead: there is none, it is damaged, or its index does not suit the tail.
    """
    old, wanted = base_manifest(state), plan_of(state, state.index)
    if old is None or wanted is None or not old.is_current or old.directory in engine.unusable:
        return False
    if not can_extend(old.plan, wanted) or _has_many_removals(state, old.count):
        return False
    old_folder = engine.folder / INDEX_FOLDER / old.directory
    try:
        previous = PreviousBase.of(Base(old_folder, old), old_folder)
        return _install_extended(engine, state, wanted, previous, open_fields(old_folder, old), folder, checkpoint)
    except SegmentDamagedError as error:
        engine.set_aside(error)
    except IndexKindError as error:
        _log.warning("%s; building it anew", error)
    for file in folder.iterdir():
        file.unlink()
    return engine.state().folds != state.folds  # another process has compacted


def _install_extended(
    engine: Engine,
    state: State,
    wanted: Plan,
    previous: PreviousBase,
    fields: Fields | None,
    folder: Path,
    checkpoint: Checkpoint,
) -> bool:
    old = previous.base.manifest
    with engine.reading() as reader:
        if reader.state().folds != state.folds:
            return True  # another process has compacted
        state = reader.state()
        tail = list(with_checkpoints(reader.vectors(state, old.last_row), checkpoint))
        if not previous.fits([vectors for _, vectors in tail]):
            _log.info("%s was trained with other vectors than those that came since; building it anew", old.plan.name)
            return False
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in tail)])
        _check_complete(reader, state, old, rows)
        if fields is not None and not (fields.is_current and old.edits == state.edits):
            fields = None
        collected = _collect_fields(reader, previous.base, fields, rows, checkpoint)
    plan = replace(old.plan, reason=wanted.reason)
    _log.info("extending %s by %d passages (%s)", plan.name, len(rows), plan.reason)
    blocks = with_checkpoints(chain(previous.blocks(), tail), checkpoint)
    written = write_vectors(folder, blocks, dim=old.dim, dtype=old.dtype)
    beside = collected.write(folder, fields)
    options: dict[str, Any] = {"generation": state.generation, "dtype": old.dtype, "beside": beside}
    manifest = finish_base(folder, written, plan, **options, previous=previous, checkpoint=checkpoint)
    install_base(engine, state, state.index, folder, manifest, checkpoint, removed_kept_up_to=old.last_row)
    return True


def _check_complete(reader: StoreReader, state: State, old: Manifest, tail: Rows) -> None:
    """Prove that base and tail are all that was committed.

    What the base holds was proven when it was built, and a row's title, text and vector are never written twice; what has
    gone of it is on record. So nothing can be missing, or back, without the numbers telling.
    """
    removed, total = reader.removals(-1)
    if (len(removed), total) != (state.removed, state.removed_sum):
        raise StoreCorrupted(f"{reader.path}: the record of removed passages is damaged; " + RESTORE)
    count = old.count - int((removed <= old.last_row).sum()) + len(tail)
    if count != state.passages or np.isin(tail, removed).any():
        raise StoreCorrupted(f"{reader.path}: {count} vectors for {state.passages} passages, or others; " + RESTORE)


def _collect_fields(
    reader: StoreReader, base: Base, fields: Fields | None, tail: Rows, checkpoint: Checkpoint
) -> ColumnsBuilder:
    """Metadata by field: of the tail alone where the base has usable ``fields``, else of base and tail."""
    collected = ColumnsBuilder()
    if fields is not None:
        for passage in aligned_passages(reader, tail, checkpoint, after=base.manifest.last_row):
            collected.add(passage)
        return collected
    rows = np.concatenate([base.rows, tail])
    is_stored = np.isin(rows, reader.removed(-1), invert=True)
    passages = aligned_passages(reader, rows[is_stored], checkpoint)
    gaps = np.diff(np.flatnonzero(is_stored), prepend=-1) - 1
    for passage, gone in zip(passages, gaps.tolist(), strict=True):
        collected.skip(gone)
        collected.add(passage)
    collected.skip(int(is_stored[::-1].argmax()))
    return collected

"""Keeping a base segment in step with what is added: a copy of it, extended by the tail, or a new one where that is due."""

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
from dpr_rag.index.building import Grown, finish_base, write_vectors
from dpr_rag.index.extending import continues
from dpr_rag.index.kinds import Plan
from dpr_rag.index.segments import Base, Manifest
from dpr_rag.storage.collecting import Collected
from dpr_rag.storage.fields import Fields
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import Reader
from dpr_rag.storage.state import State
from dpr_rag.store.background import Between
from dpr_rag.store.engine import Engine
from dpr_rag.store.folding import build, in_step, plan_of, put_in_place, stepwise
from dpr_rag.store.segment_folders import building
from dpr_rag.store.snapshot import open_fields

TAIL_LIMIT = 20_000
TAIL_SHARE = 0.05
GONE_SHARE = 0.25
_PRESSING = 2
_A_CALL, _A_ROW = 1.5, 0.0005  # seconds
_LOOK = 0.05
_log = logging.getLogger(__name__)


def fold_if_due(engine: Engine) -> None:
    """See to it that the tail is folded in the background where it has outgrown max(20,000, 5 % of the base).

    What was added is committed and searched already, so that nothing waits for it.
    """
    if not engine.database.read_only and _is_due(engine, engine.state()):
        engine.background.begin(partial(_fold_tail, engine))


class Pace:
    """How long a call that adds waits for the fold, where that does not keep up.

    Searches look through the tail, so that it must not grow without end; and a call is to wait hardly longer than it works.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began = time.monotonic()
        self._rows, self._waited = 0, 0.0

    def keep(self, rows: int) -> None:
        """Fold what is due, and wait a while where the tail is twice as long as it should be, after so many rows were added."""
        fold_if_due(self._engine)
        self._rows += rows
        worked = time.monotonic() - self._began - self._waited
        allowed = max(min(_A_CALL, self._rows * _A_ROW), worked / 2) - self._waited
        before = time.monotonic()
        while (left := before + allowed - time.monotonic()) > 0 and self._is_pressing():
            self._engine.background.wait(min(left, _LOOK))
        self._waited += time.monotonic() - before

    def _is_pressing(self) -> bool:
        return self._engine.background.is_running and _excess(self._engine.state()) > _PRESSING


def _excess(state: State) -> float:
    """How long the tail is, those that were removed from it included, as a share of what it may be."""
    count = 0 if state.base is None else int(state.base["count"])
    return (state.passages + state.removed - count) / max(TAIL_LIMIT, TAIL_SHARE * count)


def _is_due(engine: Engine, state: State) -> bool:
    """Whether tail or removals have outgrown the base, or it was found damaged."""
    base = _base_of(state)
    if base is not None and base.directory in engine.unusable:
        return True
    return _excess(state) > 1 or _is_worn(state, 0 if base is None else base.count)


def _is_worn(state: State, count: int) -> bool:
    """Whether so much has gone from a base that it is to be built anew."""
    return state.removed > max(TAIL_LIMIT, GONE_SHARE * count)


def _base_of(state: State) -> Manifest | None:
    return None if state.base is None else Manifest.from_json(state.base)


def _fold_tail(engine: Engine, between: Between) -> bool:
    """Fold if that is due still, and say whether it was."""
    with engine.folding:
        state = engine.state()
        if not _is_due(engine, state):
            return False
        with building(engine.folder) as folder:
            if not _is_extended(engine, state, folder, between):
                build(engine, None, folder, between)
    return True


def _is_extended(engine: Engine, state: State, folder: Path, between: Between) -> bool:
    """Extend a copy of the base by the tail, unless a new one is to be built."""
    old, fresh = _base_of(state), plan_of(state, state.index)
    if old is None or fresh is None or not old.is_current or old.directory in engine.unusable:
        return False
    if not continues(old.plan, fresh) or _is_worn(state, old.count):
        return False
    place = engine.folder / INDEX_FOLDER / old.directory
    try:
        grown = Grown.of(Base(place, old), place)
        return _extended(engine, state, fresh, grown, open_fields(place, old), folder, between)
    except SegmentDamagedError as error:
        engine.set_aside(error)
    except IndexKindError as error:
        _log.warning("%s; building it anew", error)
    for left in folder.iterdir():
        left.unlink()
    return engine.state().folds != state.folds  # another process has folded


def _extended(
    engine: Engine,
    state: State,
    fresh: Plan,
    grown: Grown,
    fields: Fields | None,
    folder: Path,
    between: Between,
) -> bool:
    old = grown.base.manifest
    with engine.reading() as reader:
        if reader.state().folds != state.folds:
            return True  # another process has folded
        state = reader.state()
        tail = list(stepwise(reader.vectors(state, old.last_row), between))
        if not grown.suits([vectors for _, vectors in tail]):
            _log.info("%s was trained with other vectors than those that came since; building it anew", old.plan.name)
            return False
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in tail)])
        _check_complete(reader, state, old, rows)
        if fields is not None and not (fields.is_current and old.edits == state.edits):
            fields = None
        collected = _collected(reader, grown.base, fields, rows, between)
    plan = replace(old.plan, reason=fresh.reason)
    _log.info("extending %s by %d passages (%s)", plan.name, len(rows), plan.reason)
    blocks = stepwise(chain(grown.blocks(), tail), between)
    written = write_vectors(folder, blocks, dim=old.dim, dtype=old.dtype)
    beside = collected.write(folder, fields)
    how: dict[str, Any] = {"generation": state.generation, "dtype": old.dtype, "beside": beside}
    manifest = finish_base(folder, written, plan, **how, grown=grown, between=between)
    put_in_place(engine, state, state.index, folder, manifest, between, still_there=old.last_row)
    return True


def _check_complete(reader: Reader, state: State, old: Manifest, rows: Rows) -> None:
    """Prove that base and tail are all that was committed.

    What the base holds was proven when it was built, and a row's title, text and vector are never written twice; what has
    gone of it is on record. So nothing can be missing, or back, without the numbers telling.
    """
    removed, total = reader.removals(-1)
    if (len(removed), total) != (state.removed, state.removed_sum):
        raise StoreCorrupted(f"{reader.path}: the record of removed passages is damaged; " + RESTORE)
    found = old.count - int((removed <= old.last_row).sum()) + len(rows)
    if found != state.passages or np.isin(rows, removed).any():
        raise StoreCorrupted(f"{reader.path}: {found} vectors for {state.passages} passages, or others; " + RESTORE)


def _collected(reader: Reader, base: Base, fields: Fields | None, tail: Rows, between: Between) -> Collected:
    """The metadata by field of the tail, or, where what the base has of it is of no use, of all."""
    collected = Collected()
    if fields is not None:
        for passage in in_step(reader, tail, between, after=base.manifest.last_row):
            collected.add(passage)
        return collected
    rows = np.concatenate([base.rows, tail])
    there = np.isin(rows, reader.removed(-1), invert=True)
    passages = in_step(reader, rows[there], between)
    gaps = np.diff(np.flatnonzero(there), prepend=-1) - 1
    for passage, gone in zip(passages, gaps.tolist(), strict=True):
        collected.skip(gone)
        collected.add(passage)
    collected.skip(int(there[::-1].argmax()))
    return collected

"""Folding: building a new base segment from the stored vectors and putting it into place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from dpr_rag.derived import Rows
from dpr_rag.errors import RESTORE, IndexKindError, StoreCorrupted, StoreError, StoreReplacedError
from dpr_rag.index import ann, kinds
from dpr_rag.index.building import finish_base, write_vectors
from dpr_rag.index.segments import Manifest
from dpr_rag.passages import Passage
from dpr_rag.storage import shrinking
from dpr_rag.storage.collecting import Collected
from dpr_rag.storage.reader import Reader
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine
from dpr_rag.store.segment_folders import building, new_name, remove_all_but

TAIL_LIMIT = 20_000
TAIL_SHARE = 0.2
_POLITE = 1.0  # seconds; who writes now will leave more empty pages
_log = logging.getLogger(__name__)


def fold_if_due(engine: Engine) -> None:
    """Fold when the tail has outgrown max(20,000, 20 % of the base), or when the base was found damaged.

    The tail is counted with the rows that were removed from it, since searches pass them too. What was added is committed
    and searched already: where the segment cannot be built or written now, that is said, and tried again by the next call.
    """
    state = engine.state()
    base = None if state.base is None else Manifest.from_json(state.base)
    count, last = (0, 0) if base is None else (base.count, base.last_row)
    damaged = base is not None and base.directory in engine.unusable
    if damaged or state.next_row - 1 - last > max(TAIL_LIMIT, TAIL_SHARE * count):
        try:
            fold(engine, None)
        except IndexKindError as error:
            _log.warning("%s; until optimize(index=...) names another one, what was added is searched exactly", error)
        except (StoreCorrupted, StoreReplacedError):
            raise
        except StoreError as error:
            _log.warning("no new base segment could be written now, what was added is searched exactly: %s", error)


def fold(engine: Engine, index: str | None) -> None:
    """Build a base segment over everything stored; see ``PassageStore.optimize``."""
    engine.database.refuse_read_only()
    if index is not None:
        kinds.parse(index)
    engine.state()  # refuses a closed store before anything is made in its folder
    with engine.folding, building(engine.folder) as folder:
        _fold_in(engine, index, folder)


def shrink(engine: Engine) -> None:
    """Give what superseded passages, vectors and segments took back to the disk."""
    shrinking.shrink(engine.database, wait=_POLITE)


def _fold_in(engine: Engine, index: str | None, folder: Path) -> None:
    """Copy the vectors within one transaction, and build the index after it, however long that takes."""
    with engine.reading() as reader:
        state = reader.state()
        wanted = state.index if index is None else index
        plan = _plan(state, wanted)
        written, fields = None, Collected()
        if plan is not None and state.model is not None:
            written = write_vectors(folder, reader.vectors(state), dim=state.model.dim, dtype=state.dtype)
            _check_complete(reader, state, len(written.rows))
            for passage in _in_step(reader, written.rows):
                fields.add(passage)
    manifest = None
    if plan is not None and written is not None:
        _log.info("building %s over %d passages (%s)", plan.name, state.passages, plan.reason)
        manifest = finish_base(
            folder, written, plan, generation=state.generation, dtype=state.dtype, beside=fields.write(folder)
        )
        manifest = replace(manifest, directory=new_name("base", state.generation), edits=state.edits)
    _put_in_place(engine, state, wanted, folder, manifest)


def _plan(state: State, wanted: str) -> kinds.Plan | None:
    if state.model is None or not state.passages:
        return None
    plan = kinds.plan(wanted, passages=state.passages, dim=state.model.dim)
    if plan.factory and plan.name not in kinds.KINDS:
        ann.check_factory(plan.factory, state.model.dim)
    return plan


def _check_complete(reader: Reader, state: State, found: int) -> None:
    """Prove that the records, each of them intact, are those that were committed: filters and deletions trust a segment."""
    if found != state.passages:
        raise StoreCorrupted(f"{reader.path}: {found} vectors for {state.passages} passages; {RESTORE}")
    sums = reader.checksum_of("passage"), reader.checksum_of(state.vectors)
    if sums != (state.passage_sum, state.vector_sum):
        raise StoreCorrupted(f"{reader.path} holds passages or vectors of an earlier commit; {RESTORE}")


def _in_step(reader: Reader, rows: Rows) -> Iterator[Passage]:
    """All passages, each the one whose vector stands at its place."""
    place = -1
    for place, (row, passage) in enumerate(reader.every()):
        if place == len(rows) or row != rows[place]:
            raise StoreCorrupted(f"{reader.path}: row {row} has lost its vector; {RESTORE}")
        yield passage
    if place + 1 != len(rows):
        raise StoreCorrupted(f"{reader.path}: row {rows[place + 1]} is indexed but missing; {RESTORE}")


def _put_in_place(engine: Engine, built_from: State, wanted: str, folder: Path, manifest: Manifest | None) -> None:
    """Record the segment, unless another process has put one in place meanwhile."""
    with engine.writing() as writer:
        if writer.now.folds != built_from.folds:
            _log.info("another process has built a base segment meanwhile; keeping that one")
            return
        if manifest is not None:
            folder.rename(folder.with_name(manifest.directory))
        record = None if manifest is None else asdict(manifest)
        writer.set_base(record, built_from=built_from.generation, index=wanted)
        writer.commit_state()
    _say_changed_kind(built_from, manifest)
    clean(engine)


def _say_changed_kind(before: State, manifest: Manifest | None) -> None:
    if before.base is None or manifest is None:
        return
    old = before.base["plan"]["name"]
    if old != manifest.plan.name:
        _log.info("the index is now %s instead of %s (%s)", manifest.plan.name, old, manifest.plan.reason)


def clean(engine: Engine, *, wait: float | None = None) -> None:
    """Remove superseded segments and the remains of builds whose process is gone; ``wait`` as for ``Database.writing``."""
    with engine.writing(wait=wait) as writer:
        current = {record["directory"] for record in (writer.now.base, writer.now.lexical) if record is not None}
        remove_all_but(engine.folder, current)

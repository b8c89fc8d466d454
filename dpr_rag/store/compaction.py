"""Compaction: building a base segment from all stored vectors, tail included, and installing it in place of the old one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from dpr_rag.derived import Rows
from dpr_rag.errors import RESTORE, StoreCorrupted, StoreLocked
from dpr_rag.index import ann, kinds
from dpr_rag.index.building import finish_base, write_vectors
from dpr_rag.index.segments import Manifest
from dpr_rag.index.training import no_checkpoint
from dpr_rag.passages import Passage
from dpr_rag.storage import shrinking
from dpr_rag.storage.collecting import ColumnsBuilder
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import State
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store.background import Checkpoint
from dpr_rag.store.engine import Engine
from dpr_rag.store.segment_folders import base_manifest, building, new_name, remove_all_but

_LOCK_TIMEOUT = 1.0  # seconds
_LOCK_TRIES = 30
CHECKPOINT_EVERY = 64  # passages
_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


def check(engine: Engine, index: str | None) -> None:
    """Refuse what :func:`compact` cannot do, before it stops any work and makes anything in the store's folder."""
    engine.database.refuse_read_only()
    if index is not None:
        kinds.parse(index)
    engine.state()  # of a closed store


def compact(engine: Engine, index: str | None) -> None:
    """Build a base segment over everything stored; see ``PassageStore.optimize``."""
    with engine.compaction_lock, building(engine.folder) as folder:
        build_base(engine, index, folder)
        engine.background.record_success()


def shrink(engine: Engine) -> None:
    """Vacuum the database file, to return the space of deleted and replaced passages to the disk."""
    shrinking.shrink(engine.database, wait=_LOCK_TIMEOUT)  # who writes now will leave more empty pages


def build_base(engine: Engine, index: str | None, folder: Path, checkpoint: Checkpoint = no_checkpoint) -> None:
    """Build a base segment over all stored vectors, and install it.

    The vectors are copied within one read transaction; the index is built after it, however long that takes.

    Args:
        engine: The store.
        index: Another kind of index, or None to keep it.
        folder: An empty folder to build in.
        checkpoint: Called between two steps; an exception that it raises ends the work.
    """
    with engine.reading() as reader:
        state = reader.state()
        wanted = state.index if index is None else index
        plan = plan_of(state, wanted)
        written, fields = None, ColumnsBuilder()
        if plan is not None and state.model is not None:
            blocks = with_checkpoints(reader.vectors(state), checkpoint)
            written = write_vectors(folder, blocks, dim=state.model.dim, dtype=state.dtype)
            _check_complete(reader, state, len(written.rows))
            for passage in aligned_passages(reader, written.rows, checkpoint):
                fields.add(passage)
    manifest = None
    if plan is not None and written is not None:
        _log.info("building %s over %d passages (%s)", plan.name, state.passages, plan.reason)
        beside = fields.write(folder)
        finish = partial(
            finish_base,
            folder,
            written,
            generation=state.generation,
            dtype=state.dtype,
            beside=beside,
            checkpoint=checkpoint,
        )
        try:
            manifest = finish(plan)
        except ann.UntrainedError as error:
            if index is not None or _was_trained(state, plan):
                raise
            reason = f"{state.passages:,} passages are too few to train {plan.name}: exact until there are more"
            _log.warning("%s; %s", error, reason)
            manifest = finish(kinds.exact(reason))
    install_base(engine, state, wanted, folder, manifest, checkpoint)


def _was_trained(state: State, plan: kinds.Plan) -> bool:
    """Whether the base has that index, trained with no more passages than there are: then these are not too few."""
    base = base_manifest(state)
    return base is not None and base.plan.factory == plan.factory and base.count <= state.passages


def plan_of(state: State, wanted: str) -> kinds.Plan | None:
    """The plan of the index that ``wanted`` means for a store of this state; None where it has no passages."""
    if state.model is None or not state.passages:
        return None
    plan = kinds.plan(wanted, passages=state.passages, dim=state.model.dim)
    if plan.factory and plan.name not in kinds.KINDS:
        ann.check_factory(plan.factory, state.model.dim)
    return plan


def with_checkpoints(items: Iterable[_Item], checkpoint: Checkpoint, *, every: int = 1) -> Iterator[_Item]:
    """The same items; ``checkpoint`` is called before each, or before each of ``every`` so many."""
    for at, item in enumerate(items):
        if at % every == 0:
            checkpoint()
        yield item


def _check_complete(reader: StoreReader, state: State, count: int) -> None:
    """Verify that passages and vectors, each intact, are those that were committed: filters and deletions trust a segment."""
    if count != state.passages:
        raise StoreCorrupted(f"{reader.path}: {count} vectors for {state.passages} passages; " + RESTORE)
    sums = reader.checksum_of("passage"), reader.checksum_of(state.vectors)
    if sums != (state.passage_sum, state.vector_sum):
        raise StoreCorrupted(f"{reader.path} holds passages or vectors of an earlier commit; " + RESTORE)


def aligned_passages(reader: StoreReader, rows: Rows, checkpoint: Checkpoint, *, after: int = 0) -> Iterator[Passage]:
    """All passages above a row number, in the order of the vectors that were read.

    Args:
        reader: The transaction that the vectors were read in.
        rows: Row numbers of those vectors, ascending.
        checkpoint: Called every 64 passages.
        after: The row number.

    Raises:
        StoreCorrupted: A passage has no vector, or a vector no passage.
    """
    place = -1
    stored = with_checkpoints(reader.every(after=after), checkpoint, every=CHECKPOINT_EVERY)
    for place, (row, passage) in enumerate(stored):
        if place == len(rows) or row != rows[place]:
            raise StoreCorrupted(f"{reader.path}: row {row} has lost its vector; " + RESTORE)
        yield passage
    if place + 1 != len(rows):
        raise StoreCorrupted(f"{reader.path}: row {rows[place + 1]} is indexed but missing; " + RESTORE)


def install_base(
    engine: Engine,
    built_from: State,
    wanted: str,
    folder: Path,
    manifest: Manifest | None,
    checkpoint: Checkpoint = no_checkpoint,
    *,
    removed_kept_up_to: int = 0,
) -> None:
    """Make a built segment the base, in one commit, unless another process has installed one meanwhile.

    Args:
        engine: The store.
        built_from: The state it was built from.
        wanted: The index asked for.
        folder: Where it was built.
        manifest: The segment's, or None where there is nothing to search.
        checkpoint: Called between two tries to get the write lock.
        removed_kept_up_to: As for ``StoreWriter.set_base``.
    """
    if manifest is not None:
        manifest = replace(manifest, directory=new_name("base", built_from.generation), edits=built_from.edits)
    with write_transaction(engine, checkpoint) as writer:
        if writer.now.folds != built_from.folds:
            _log.info("another process has built a base segment meanwhile; keeping that one")
            return
        if manifest is not None:
            folder.rename(folder.with_name(manifest.directory))
        record = None if manifest is None else asdict(manifest)
        writer.set_base(record, built_from=built_from.generation, index=wanted, removed_kept_up_to=removed_kept_up_to)
        writer.commit_state()
    _log_changed_kind(built_from, manifest)
    remove_superseded(engine, checkpoint)


@contextmanager
def write_transaction(
    engine: Engine, checkpoint: Checkpoint = no_checkpoint, *, wait: float | None = None
) -> Iterator[StoreWriter]:
    """A write transaction; a background task waits for the lock in steps, with a checkpoint before each.

    Args:
        engine: The store.
        checkpoint: That of the background task; without it, the wait is as for ``Database.writing``.
        wait: As for ``Database.writing``.
    """
    with ExitStack() as stack:
        for step in (wait,) if checkpoint is no_checkpoint else (_LOCK_TIMEOUT,) * _LOCK_TRIES:
            checkpoint()
            try:
                writer = stack.enter_context(engine.writing(wait=step))
                break
            except StoreLocked as error:
                locked = error
        else:
            raise locked
        yield writer


def _log_changed_kind(before: State, manifest: Manifest | None) -> None:
    if before.base is None or manifest is None:
        return
    old = before.base["plan"]["name"]
    if old != manifest.plan.name:
        _log.info("the index is now %s instead of %s (%s)", manifest.plan.name, old, manifest.plan.reason)


def remove_superseded(engine: Engine, checkpoint: Checkpoint = no_checkpoint, *, wait: float | None = None) -> None:
    """Remove superseded segments and the remains of builds whose process is gone; see :func:`write_transaction`."""
    with write_transaction(engine, checkpoint, wait=wait) as writer:
        remove_all_but(engine.folder, _segments_in_use(writer.now))


def _segments_in_use(state: State) -> set[str]:
    return {record["directory"] for record in (state.base, state.lexical) if record is not None}

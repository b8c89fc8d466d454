"""Folding: making a new base segment of the stored vectors, or of the old one and the tail, and putting it into place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.errors import RESTORE, StoreCorrupted, StoreLocked
from dpr_rag.index import ann, kinds
from dpr_rag.index.building import finish_base, write_vectors
from dpr_rag.index.segments import Manifest
from dpr_rag.index.training import nothing
from dpr_rag.passages import Passage
from dpr_rag.storage import shrinking
from dpr_rag.storage.collecting import Collected
from dpr_rag.storage.reader import Reader
from dpr_rag.storage.state import State
from dpr_rag.storage.writer import Writer
from dpr_rag.store.background import Between
from dpr_rag.store.engine import Engine
from dpr_rag.store.segment_folders import building, new_name, remove_all_but

_POLITE = 1.0
_TRIES = (_POLITE,) * 30
_STEP = 64
_log = logging.getLogger(__name__)


def fold(engine: Engine, index: str | None) -> None:
    """Build a base segment over everything stored; see ``PassageStore.optimize``."""
    engine.database.refuse_read_only()
    if index is not None:
        kinds.parse(index)
    engine.state()  # refuses a closed store before anything is made in its folder
    with engine.background.held_up(), engine.folding, building(engine.folder) as folder:
        build(engine, index, folder)
        engine.background.succeeded()


def shrink(engine: Engine) -> None:
    """Give what superseded passages, vectors and segments took back to the disk."""
    shrinking.shrink(engine.database, wait=_POLITE)  # who writes now will leave more empty pages


def build(engine: Engine, index: str | None, folder: Path, between: Between = nothing) -> None:
    """Copy the vectors within one transaction, and build the index after it, however long that takes.

    Args:
        engine: The store.
        index: Another kind of index, or None to keep it.
        folder: Where to build.
        between: Called between two steps of the work, which ends where it raises.
    """
    with engine.reading() as reader:
        state = reader.state()
        wanted = state.index if index is None else index
        plan = plan_of(state, wanted)
        written, fields = None, Collected()
        if plan is not None and state.model is not None:
            blocks = stepwise(reader.vectors(state), between)
            written = write_vectors(folder, blocks, dim=state.model.dim, dtype=state.dtype)
            _check_complete(reader, state, len(written.rows))
            for passage in in_step(reader, written.rows, between):
                fields.add(passage)
    manifest = None
    if plan is not None and written is not None:
        _log.info("building %s over %d passages (%s)", plan.name, state.passages, plan.reason)
        beside = fields.write(folder)
        manifest = finish_base(
            folder, written, plan, generation=state.generation, dtype=state.dtype, beside=beside, between=between
        )
    put_in_place(engine, state, wanted, folder, manifest, between)


def plan_of(state: State, wanted: str) -> kinds.Plan | None:
    """The index that a store gets, or None for one without passages."""
    if state.model is None or not state.passages:
        return None
    plan = kinds.plan(wanted, passages=state.passages, dim=state.model.dim)
    if plan.factory and plan.name not in kinds.KINDS:
        ann.check_factory(plan.factory, state.model.dim)
    return plan


def stepwise(blocks: Iterable[tuple[Rows, Vectors]], between: Between) -> Iterator[tuple[Rows, Vectors]]:
    """Blocks of row numbers and vectors, with something to be called between them."""
    for block in blocks:
        between()
        yield block


def _check_complete(reader: Reader, state: State, found: int) -> None:
    """Prove that the records, each of them intact, are those that were committed: filters and deletions trust a segment."""
    if found != state.passages:
        raise StoreCorrupted(f"{reader.path}: {found} vectors for {state.passages} passages; " + RESTORE)
    sums = reader.checksum_of("passage"), reader.checksum_of(state.vectors)
    if sums != (state.passage_sum, state.vector_sum):
        raise StoreCorrupted(f"{reader.path} holds passages or vectors of an earlier commit; " + RESTORE)


def in_step(reader: Reader, rows: Rows, between: Between, *, after: int = 0) -> Iterator[Passage]:
    """All passages above a row number, each the one whose vector stands at its place."""
    place = -1
    for place, (row, passage) in enumerate(reader.every(after=after)):
        if place == len(rows) or row != rows[place]:
            raise StoreCorrupted(f"{reader.path}: row {row} has lost its vector; " + RESTORE)
        if place % _STEP == 0:
            between()
        yield passage
    if place + 1 != len(rows):
        raise StoreCorrupted(f"{reader.path}: row {rows[place + 1]} is indexed but missing; " + RESTORE)


def put_in_place(
    engine: Engine,
    built_from: State,
    wanted: str,
    folder: Path,
    manifest: Manifest | None,
    between: Between = nothing,
    *,
    still_there: int = 0,
) -> None:
    """Record the segment, unless another process has put one in place meanwhile.

    Args:
        engine: The store.
        built_from: What it was built from.
        wanted: The index asked for.
        folder: Where it was built.
        manifest: The segment's, or None where there is nothing to search.
        between: Called while another writer is waited for.
        still_there: As for ``Writer.set_base``.
    """
    if manifest is not None:
        manifest = replace(manifest, directory=new_name("base", built_from.generation), edits=built_from.edits)
    with _writing(engine, between) as writer:
        if writer.now.folds != built_from.folds:
            _log.info("another process has built a base segment meanwhile; keeping that one")
            return
        if manifest is not None:
            folder.rename(folder.with_name(manifest.directory))
        record = None if manifest is None else asdict(manifest)
        writer.set_base(record, built_from=built_from.generation, index=wanted, still_there=still_there)
        writer.commit_state()
    _say_changed_kind(built_from, manifest)
    with _writing(engine, between) as writer:
        remove_all_but(engine.folder, _named(writer.now))


@contextmanager
def _writing(engine: Engine, between: Between) -> Iterator[Writer]:
    """A write transaction; who waits for it in the background looks up between tries."""
    with ExitStack() as stack:
        for wait in (None,) if between is nothing else _TRIES:
            between()
            try:
                writer = stack.enter_context(engine.writing(wait=wait))
                break
            except StoreLocked as error:
                locked = error
        else:
            raise locked
        yield writer


def _say_changed_kind(before: State, manifest: Manifest | None) -> None:
    if before.base is None or manifest is None:
        return
    old = before.base["plan"]["name"]
    if old != manifest.plan.name:
        _log.info("the index is now %s instead of %s (%s)", manifest.plan.name, old, manifest.plan.reason)


def clean(engine: Engine, *, wait: float | None = None) -> None:
    """Remove superseded segments and the remains of builds whose process is gone; ``wait`` as for ``Database.writing``."""
    with engine.writing(wait=wait) as writer:
        remove_all_but(engine.folder, _named(writer.now))


def _named(state: State) -> set[str]:
    return {record["directory"] for record in (state.base, state.lexical) if record is not None}

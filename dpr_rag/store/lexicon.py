"""BM25 postings of a store: loaded by the first search that needs them, extended by what is added, written when due."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr_rag.derived import Rows
from dpr_rag.errors import StoreCorrupted, StoreError, StoreLocked
from dpr_rag.index.training import no_checkpoint
from dpr_rag.lexical import Analyzer, Corpus, Postings, analysis_of
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import State
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store.background import Checkpoint
from dpr_rag.store.compaction import CHECKPOINT_EVERY, remove_superseded, with_checkpoints, write_transaction
from dpr_rag.store.engine import Engine
from dpr_rag.store.segment_folders import building, new_name
from dpr_rag.store.snapshot import Snapshot
from dpr_rag.store.words import Lexicon

MIN_PASSAGES_TO_WRITE = 2_000
TAIL_SHARE = 0.2
_log = logging.getLogger(__name__)


def analyzer_of(engine: Engine, state: State) -> Analyzer:
    """The analyzer for the store's language; it remembers words."""
    known = engine.analyzer
    if known is None or known.language != state.language:
        known = engine.analyzer = Analyzer(state.language)
    return known


def lexicon(engine: Engine, reader: StoreReader, snapshot: Snapshot, checkpoint: Checkpoint = no_checkpoint) -> Lexicon:
    """The postings of a snapshot's generation: those in memory or on disk, extended by what was added since.

    Args:
        engine: The store.
        reader: The snapshot's transaction.
        snapshot: The snapshot.
        checkpoint: Called every 64 passages that were added; an exception that it raises ends the work.

    Raises:
        OutdatedError: The transaction is older than the postings, which another thread has extended.
        SegmentDamagedError: The segment on disk is missing or damaged.
    """
    state = snapshot.state
    if (known := _cached(engine, state)) is not None and known.generation == state.generation:
        return known
    with engine.lexicon_lock:
        newest = engine.lexicon
        if newest is not None and newest.generation > state.generation:
            return newest.at(reader, snapshot)
        known = _cached(engine, state) or _opened(engine, state)
        if known.generation != state.generation:
            known = engine.lexicon = _extended(engine, reader, state, known, checkpoint).at(reader, snapshot)
        return known


def _cached(engine: Engine, state: State) -> Lexicon | None:
    """The lexicon in memory, if it is of this language and of the segment on disk."""
    known = engine.lexicon
    if known is None or known.language != state.language:
        return None
    named = _directory(engine, state)
    if known.directory == named:
        return known
    if _has_other_analysis(state) and known.directory not in engine.unusable:
        return replace(known, directory="")  # a process of another version replaced their folder; they are right still
    return None


def _directory(engine: Engine, state: State) -> str:
    """Folder of the segment on disk; empty if there is none, or if it is damaged or of another analysis."""
    if state.lexical is None or _has_other_analysis(state):
        return ""
    named = str(state.lexical["directory"])
    return "" if named in engine.unusable else named


def _opened(engine: Engine, state: State) -> Lexicon:
    directory = _directory(engine, state)
    _warn_of_other_analysis(engine, state)
    if not directory or state.lexical is None:
        return Lexicon(state.language, "", None, (), 0, Corpus(()))
    base = Postings.open(engine.folder / INDEX_FOLDER / directory, state.lexical["files"])
    return Lexicon(state.language, directory, base, (), int(state.lexical["last_row"]), Corpus((base,)))


def _has_other_analysis(state: State) -> bool:
    """Whether the segment on disk was made with another text analysis: other versions of stemmer, Unicode or this code."""
    return state.lexical is not None and state.lexical.get("analysis") != analysis_of(state.language)


def _warn_of_other_analysis(engine: Engine, state: State) -> None:
    if state.lexical is not None and _has_other_analysis(state):
        text = "the BM25 postings of %s were made with %s, and are built anew with %s"
        _log.warning(text, engine.folder, state.lexical.get("analysis"), analysis_of(state.language))


def _extended(engine: Engine, reader: StoreReader, state: State, known: Lexicon, checkpoint: Checkpoint) -> Lexicon:
    if known.last >= state.next_row - 1:
        return known
    passages = with_checkpoints(reader.every(after=known.last), checkpoint, every=CHECKPOINT_EVERY)
    added = Postings.of(passages, analyzer_of(engine, state))
    return known.with_added(added, state.next_row - 1)


def write_first(engine: Engine) -> None:
    """Write the postings that a search needs, if there are none on disk or those are far behind.

    It waits for no other writer. Where they cannot be written, searches use those in memory, and writing is tried again once
    the store has changed.
    """
    state = engine.state()
    if engine.database.read_only or engine.unwritable_generation == state.generation:
        return
    try:
        write_if_due(engine, first=True, wait=0.0)
    except StoreCorrupted:
        raise
    except (StoreError, OSError) as error:
        engine.unwritable_generation = state.generation
        level = logging.INFO if isinstance(error, StoreLocked) else logging.WARNING
        _log.log(level, "the BM25 postings stay in memory, as they cannot be written now: %s", error)


def write_if_due(
    engine: Engine, checkpoint: Checkpoint = no_checkpoint, *, first: bool = False, wait: float | None = None
) -> bool:
    """Write the postings if they are due and no other thread is writing them, and return whether this call wrote them.

    Args:
        engine: The store.
        checkpoint: Called between two steps; an exception that it raises ends the work.
        first: Whether a search needs them, see :func:`is_due`.
        wait: As for ``write_transaction``.
    """
    if not is_due(engine, engine.state(), first=first) or not engine.postings_lock.acquire(blocking=False):
        return False  # or another thread writes them
    try:
        if not is_due(engine, engine.state(), first=first):
            return False
        _write(engine, checkpoint=checkpoint, wait=wait)
    finally:
        engine.postings_lock.release()
    return True


def is_due(engine: Engine, state: State, *, first: bool = False) -> bool:
    """Whether the segment is unusable, or over max(2,000, 20 %) of its passages have been added or have gone.

    Args:
        engine: The store.
        state: Its state.
        first: Whether a search needs postings, so that missing ones are due, too, unless there are few passages.
    """
    known = state.lexical
    if known is None:
        return first and state.next_row - 1 > MIN_PASSAGES_TO_WRITE
    if _has_other_analysis(state):
        return not engine.has_replaced_postings  # once: two processes of different versions would do nothing else
    added = state.next_row - 1 - known["last_row"]
    gone = known["count"] + added - state.passages
    return not _directory(engine, state) or max(added, gone) > max(MIN_PASSAGES_TO_WRITE, TAIL_SHARE * known["count"])


def write_postings(engine: Engine, language: str | None = None) -> None:
    """Build the postings of everything stored from the texts and write them to disk as one segment.

    Args:
        engine: The store.
        language: Whose words they are from now on, which takes the same commit; None keeps the language.
    """
    with engine.postings_lock:
        _write(engine, language=language or engine.state().language)


def _write(
    engine: Engine,
    *,
    wait: float | None = None,
    language: str | None = None,
    checkpoint: Checkpoint = no_checkpoint,
) -> None:
    """Write the postings as one segment: merged from those there are, or made from the texts if a language is given."""
    with building(engine.folder) as folder:
        state, merged = _all_postings(engine, language, checkpoint)
        manifest: dict[str, Any] = {
            "directory": new_name("words", state.generation),
            "analysis": analysis_of(language or state.language),
            "count": len(merged.rows),
            "last_row": state.next_row - 1,
            "files": merged.write(folder),
        }
        transaction = write_transaction(engine, checkpoint, wait=wait)
        _install(engine, transaction, state, folder, manifest, language or state.language)
    remove_superseded(engine, checkpoint, wait=wait)


def _install(
    engine: Engine,
    transaction: AbstractContextManager[StoreWriter],
    built_from: State,
    folder: Path,
    manifest: dict[str, Any],
    language: str,
) -> None:
    """Record the segment, unless another process has written one meanwhile."""
    placed = folder.with_name(manifest["directory"])
    try:
        with transaction as writer:
            now = writer.now
            if _name(now) != _name(built_from) or now.language != built_from.language:
                return
            folder.rename(placed)
            writer.now = replace(now, lexical=manifest, language=language)
            writer.commit_state()
            engine.has_replaced_postings |= _has_other_analysis(built_from)
    except (StoreError, OSError):
        shutil.rmtree(placed, ignore_errors=True)  # no commit names it
        raise


def _name(state: State) -> object:
    return None if state.lexical is None else state.lexical["directory"]


def _all_postings(engine: Engine, language: str | None, checkpoint: Checkpoint) -> tuple[State, Postings]:
    """The postings of everything stored: of the segments there are, without what was deleted, or of the texts in a language."""

    def read(reader: StoreReader, snapshot: Snapshot) -> tuple[State, Sequence[Postings], Rows | None]:
        state = snapshot.state
        if state.passages > MIN_PASSAGES_TO_WRITE:
            _log.info("building BM25 postings over %d passages (%s)", state.passages, language or state.language)
        parts = () if language else lexicon(engine, reader, snapshot, checkpoint).corpus.parts
        if not parts:
            return state, [Postings.of(reader.every(), Analyzer(language or state.language))], None
        return state, parts, snapshot.kept(reader, None)

    state, parts, kept = engine.with_snapshot(read)
    checkpoint()
    return state, Postings.merged(parts, kept)


def rebuild(engine: Engine, language: str | None) -> None:
    """Write the postings anew where BM25 was ever used; with a language, switch the store to it."""
    state = engine.state()
    if state.lexical is not None or engine.lexicon is not None:
        write_postings(engine, language)
    elif language not in (None, state.language):
        with engine.writing() as writer:
            writer.now = replace(writer.now, language=str(language))
            writer.commit_state()

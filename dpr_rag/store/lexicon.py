"""BM25 postings of a store: loaded by the first search that needs them, extended by what is added, written to disk when due."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr_rag.errors import StoreCorrupted, StoreError, StoreLocked
from dpr_rag.lexical import Analyzer, Corpus, Postings, analysis_of
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import State
from dpr_rag.store.compaction import remove_superseded
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


def lexicon(engine: Engine, reader: StoreReader, snapshot: Snapshot) -> Lexicon:
    """The postings of a snapshot's generation: those in memory or on disk, extended by what was added since.

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
            known = engine.lexicon = _extended(engine, reader, state, known).at(reader, snapshot)
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


def _extended(engine: Engine, reader: StoreReader, state: State, known: Lexicon) -> Lexicon:
    if known.last >= state.next_row - 1:
        return known
    added = Postings.of(reader.every(after=known.last), analyzer_of(engine, state))
    return known.with_added(added, state.next_row - 1)


def write_if_due(engine: Engine, *, first: bool = False) -> None:
    """Write the postings to disk once many passages were added or deleted, in stores where BM25 is used.

    Where they cannot be written, searches use those in memory, and writing is tried again once the store has changed.

    Args:
        engine: The store.
        first: A search needs postings, maybe the first one; it waits for no other writer.
    """
    state = engine.state()
    if (
        engine.database.read_only
        or engine.unwritable_generation == state.generation
        or not _is_due(engine, state, first=first)
    ):
        return
    if not engine.postings_lock.acquire(blocking=not first):
        return  # another thread writes them
    try:
        if _is_due(engine, engine.state(), first=first):
            _write(engine, wait=0.0 if first else None)
    except StoreCorrupted:
        raise
    except (StoreError, OSError) as error:
        engine.unwritable_generation = state.generation
        level = logging.INFO if isinstance(error, StoreLocked) else logging.WARNING
        _log.log(level, "the BM25 postings stay in memory, as they cannot be written now: %s", error)
    finally:
        engine.postings_lock.release()


def _is_due(engine: Engine, state: State, *, first: bool) -> bool:
    """Whether the segment is missing, unusable, or over max(2,000, 20 %) of its passages have been added or have gone."""
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
        _write(engine, wait=None, language=language or engine.state().language)


def _write(engine: Engine, *, wait: float | None, language: str | None = None) -> None:
    """Write the postings as one segment: merged from those there are, or made from the texts if a language is given."""
    with building(engine.folder) as folder:
        state, merged = _all_postings(engine, language)
        manifest: dict[str, Any] = {
            "directory": new_name("words", state.generation),
            "analysis": analysis_of(language or state.language),
            "count": len(merged.rows),
            "last_row": state.next_row - 1,
            "files": merged.write(folder),
        }
        _install(engine, state, folder, manifest, language or state.language, wait=wait)
    remove_superseded(engine, wait=wait)


def _install(
    engine: Engine, built_from: State, folder: Path, manifest: dict[str, Any], language: str, *, wait: float | None
) -> None:
    """Record the segment, unless another process has written one meanwhile."""
    placed = folder.with_name(manifest["directory"])
    try:
        with engine.writing(wait=wait) as writer:
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


def _all_postings(engine: Engine, language: str | None) -> tuple[State, Postings]:
    """The postings of everything stored: of the segments there are, without what was deleted, or of the texts in a language."""

    def read(reader: StoreReader, snapshot: Snapshot) -> tuple[State, Postings]:
        state = snapshot.state
        if state.passages > MIN_PASSAGES_TO_WRITE:
            _log.info("building BM25 postings over %d passages (%s)", state.passages, language or state.language)
        parts = () if language else lexicon(engine, reader, snapshot).corpus.parts
        if not parts:
            return state, Postings.of(reader.every(), Analyzer(language or state.language))
        return state, Postings.merged(parts, snapshot.kept(reader, None))

    return engine.with_snapshot(read)


def rebuild(engine: Engine, language: str | None) -> None:
    """Write the postings anew where BM25 was ever used; with a language, switch the store to it."""
    state = engine.state()
    if state.lexical is not None or engine.lexicon is not None:
        write_postings(engine, language)
    elif language not in (None, state.language):
        with engine.writing() as writer:
            writer.now = replace(writer.now, language=str(language))
            writer.commit_state()

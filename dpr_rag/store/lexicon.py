"""The postings of a store: loaded when words are first asked for, grown with what is added, and kept on disk once built."""

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

WORTH_KEEPING = 2_000
TAIL_SHARE = 0.2
_log = logging.getLogger(__name__)


def analyzer_of(engine: Engine, state: State) -> Analyzer:
    """The analyzer for the store's language; it remembers words."""
    known = engine.analyzer
    if known is None or known.language != state.language:
        known = engine.analyzer = Analyzer(state.language)
    return known


def lexicon(engine: Engine, reader: StoreReader, snapshot: Snapshot) -> Lexicon:
    """The postings of a snapshot's generation: those known so far, with what was added since.

    Raises:
        OutdatedError: The transaction is too old for the postings that other threads have brought further meanwhile.
        SegmentDamagedError: The segment on disk is missing or damaged.
    """
    state = snapshot.state
    if (known := _known(engine, state)) is not None and known.generation == state.generation:
        return known
    with engine.lexicon_lock:
        newest = engine.lexicon
        if newest is not None and newest.generation > state.generation:
            return newest.at(reader, snapshot)
        known = _known(engine, state) or _opened(engine, state)
        if known.generation != state.generation:
            known = engine.lexicon = _grown(engine, reader, state, known).at(reader, snapshot)
        return known


def _known(engine: Engine, state: State) -> Lexicon | None:
    known = engine.lexicon
    if known is None or known.language != state.language:
        return None
    named = _directory(engine, state)
    if known.directory == named:
        return known
    if _made_otherwise(state) and known.directory not in engine.unusable:
        return replace(known, directory="")  # a process of another version replaced their folder; they are right still
    return None


def _directory(engine: Engine, state: State) -> str:
    """Folder of the segment on disk, or empty where there is none, or one that is damaged or of another analysis."""
    if state.lexical is None or _made_otherwise(state):
        return ""
    named = str(state.lexical["directory"])
    return "" if named in engine.unusable else named


def _opened(engine: Engine, state: State) -> Lexicon:
    directory = _directory(engine, state)
    _say_made_otherwise(engine, state)
    if not directory or state.lexical is None:
        return Lexicon(state.language, "", None, (), 0, Corpus(()))
    base = Postings.open(engine.folder / INDEX_FOLDER / directory, state.lexical["files"])
    return Lexicon(state.language, directory, base, (), int(state.lexical["last_row"]), Corpus((base,)))


def _made_otherwise(state: State) -> bool:
    """Whether the segment on disk has other terms than this process makes of the same texts."""
    return state.lexical is not None and state.lexical.get("analysis") != analysis_of(state.language)


def _say_made_otherwise(engine: Engine, state: State) -> None:
    if state.lexical is not None and _made_otherwise(state):
        text = "the BM25 postings of %s were made with %s, and are built anew with %s"
        _log.warning(text, engine.folder, state.lexical.get("analysis"), analysis_of(state.language))


def _grown(engine: Engine, reader: StoreReader, state: State, known: Lexicon) -> Lexicon:
    if known.last >= state.next_row - 1:
        return known
    added = Postings.of(reader.every(after=known.last), analyzer_of(engine, state))
    return known.with_added(added, state.next_row - 1)


def keep_if_due(engine: Engine, *, first: bool = False) -> None:
    """Write the postings to disk when much has come or gone since they last were, where words are asked for at all.

    They are derived: what needs them goes on with those in memory where they cannot be written, and they are tried
    again when the store has changed.

    Args:
        engine: The store.
        first: Words are being asked for, maybe for the first time; a question waits for no other writer.
    """
    state = engine.state()
    if engine.database.read_only or engine.unkept == state.generation or not _is_due(engine, state, first=first):
        return
    if not engine.postings_lock.acquire(blocking=not first):
        return  # another thread writes them
    try:
        if _is_due(engine, engine.state(), first=first):
            _keep(engine, wait=0.0 if first else None)
    except StoreCorrupted:
        raise
    except (StoreError, OSError) as error:
        engine.unkept = state.generation
        level = logging.INFO if isinstance(error, StoreLocked) else logging.WARNING
        _log.log(level, "the BM25 postings stay in memory, as they cannot be written now: %s", error)
    finally:
        engine.postings_lock.release()


def _is_due(engine: Engine, state: State, *, first: bool) -> bool:
    """Whether the segment is missing, unusable, or over max(2,000, 20 %) of its passages have been added or have gone."""
    known = state.lexical
    if known is None:
        return first and state.next_row - 1 > WORTH_KEEPING
    if _made_otherwise(state):
        return not engine.has_displaced  # once: two processes of different versions would do nothing else
    added = state.next_row - 1 - known["last_row"]
    gone = known["count"] + added - state.passages
    return not _directory(engine, state) or max(added, gone) > max(WORTH_KEEPING, TAIL_SHARE * known["count"])


def keep(engine: Engine, language: str | None = None) -> None:
    """Build the postings of everything stored from the texts and write them to disk as one segment.

    Args:
        engine: The store.
        language: Whose words they are from now on, which takes the same commit; None keeps the language.
    """
    with engine.postings_lock:
        _keep(engine, wait=None, language=language or engine.state().language)


def _keep(engine: Engine, *, wait: float | None, language: str | None = None) -> None:
    """Write the postings: those there are, merged, or, where a language is given, those of the texts."""
    with building(engine.folder) as folder:
        state, merged = _gathered(engine, language)
        manifest: dict[str, Any] = {
            "directory": new_name("words", state.generation),
            "analysis": analysis_of(language or state.language),
            "count": len(merged.rows),
            "last_row": state.next_row - 1,
            "files": merged.write(folder),
        }
        _put_in_place(engine, state, folder, manifest, language or state.language, wait=wait)
    remove_superseded(engine, wait=wait)


def _put_in_place(
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
            engine.has_displaced |= _made_otherwise(built_from)
    except (StoreError, OSError):
        shutil.rmtree(placed, ignore_errors=True)  # no commit names it
        raise


def _name(state: State) -> object:
    return None if state.lexical is None else state.lexical["directory"]


def _gathered(engine: Engine, language: str | None) -> tuple[State, Postings]:
    """The postings of everything stored: of the segments there are, without what was deleted, or of the texts in a language."""

    def gathered(reader: StoreReader, snapshot: Snapshot) -> tuple[State, Postings]:
        state = snapshot.state
        if state.passages > WORTH_KEEPING:
            _log.info("building BM25 postings over %d passages (%s)", state.passages, language or state.language)
        parts = () if language else lexicon(engine, reader, snapshot).corpus.parts
        if not parts:
            return state, Postings.of(reader.every(), Analyzer(language or state.language))
        return state, Postings.merged(parts, snapshot.kept(reader, None))

    return engine.with_snapshot(gathered)


def renew(engine: Engine, language: str | None) -> None:
    """Write the postings anew where words were ever asked for, and take them as those of another language if one is named."""
    state = engine.state()
    if state.lexical is not None or engine.lexicon is not None:
        keep(engine, language)
    elif language not in (None, state.language):
        with engine.writing() as writer:
            writer.now = replace(writer.now, language=str(language))
            writer.commit_state()

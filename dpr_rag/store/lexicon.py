"""The postings of a store: loaded when words are first asked for, grown with what is added, and kept on disk once built."""

from __future__ import annotations

import logging
import secrets
import shutil
from dataclasses import replace
from typing import Any

import numpy as np

from dpr_rag.derived import SegmentDamagedError
from dpr_rag.lexical import Analyzer, Corpus, Postings
from dpr_rag.storage.reader import Reader
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine
from dpr_rag.store.folding import clean, new_folder
from dpr_rag.store.snapshot import INDEX_FOLDER, Snapshot
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


def lexicon(engine: Engine, reader: Reader, snapshot: Snapshot) -> Lexicon:
    """The postings of a snapshot's generation: those known so far, with what was added since.

    Raises:
        OutdatedError: The transaction is too old for the postings that other threads have brought further meanwhile.
        SegmentDamagedError: The segment on disk is missing or damaged.
    """
    state = snapshot.state
    if (known := _known(engine, state)) is not None and known.generation == state.generation:
        return known
    with engine.wording:
        newest = engine.lexicon
        if newest is not None and newest.generation > state.generation:
            return newest.at(reader, snapshot)
        known = _known(engine, state) or _opened(engine, state)
        if known.generation != state.generation:
            known = engine.lexicon = _grown(engine, reader, state, known).at(reader, snapshot)
        return known


def _known(engine: Engine, state: State) -> Lexicon | None:
    known = engine.lexicon
    if known is None or (known.language, known.directory) != (state.language, _directory(engine, state)):
        return None
    return known


def _directory(engine: Engine, state: State) -> str:
    named = "" if state.lexical is None else str(state.lexical["directory"])
    return "" if named in engine.unusable else named


def _opened(engine: Engine, state: State) -> Lexicon:
    directory = _directory(engine, state)
    if not directory or state.lexical is None:
        return Lexicon(state.language, "", None, (), 0, Corpus(()))
    base = Postings.open(engine.folder / INDEX_FOLDER / directory, state.lexical["files"])
    return Lexicon(state.language, directory, base, (), int(state.lexical["last_row"]), Corpus((base,)))


def _grown(engine: Engine, reader: Reader, state: State, known: Lexicon) -> Lexicon:
    if known.last >= state.next_row - 1:
        return known
    added = Postings.of(reader.every(after=known.last), analyzer_of(engine, state))
    return known.with_added(added, state.next_row - 1)


def keep_if_due(engine: Engine, *, first: bool = False) -> None:
    """Write the postings to disk when enough has come since they last were, where words are asked for at all.

    Args:
        engine: The store.
        first: Words are being asked for, maybe for the first time.
    """
    state = engine.state()
    if engine.database.read_only or (state.lexical is None and not first):
        return
    count, last = (0, 0) if state.lexical is None else (state.lexical["count"], state.lexical["last_row"])
    damaged = state.lexical is not None and state.lexical["directory"] in engine.unusable
    if damaged or state.next_row - 1 - last > max(WORTH_KEEPING, TAIL_SHARE * count):
        keep(engine)


def keep(engine: Engine) -> None:
    """Write the postings of everything stored to disk as one segment, without what was deleted."""
    with engine.folding:
        folder = new_folder(engine.folder / INDEX_FOLDER)
        try:
            state, merged = _gathered(engine)
            manifest: dict[str, Any] = {
                "directory": f"words-{state.generation}-{secrets.token_hex(4)}",
                "count": len(merged.rows),
                "last_row": state.next_row - 1,
                "files": merged.write(folder),
            }
            with engine.writing() as writer:
                now = writer.now
                if _name(now) != _name(state) or now.language != state.language:
                    return  # another process has written one meanwhile
                folder.rename(folder.with_name(manifest["directory"]))
                writer.now = replace(now, lexical=manifest)
                writer.commit_state()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    clean(engine)


def _name(state: State) -> object:
    return None if state.lexical is None else state.lexical["directory"]


def _gathered(engine: Engine) -> tuple[State, Postings]:
    def gathered(reader: Reader, snapshot: Snapshot) -> tuple[State, Postings]:
        state = snapshot.state
        if state.passages > WORTH_KEEPING:
            _log.info("building BM25 postings over %d passages (%s)", state.passages, state.language)
        parts = lexicon(engine, reader, snapshot).corpus.parts or (Postings.of((), analyzer_of(engine, state)),)
        return state, Postings.merged(parts, snapshot.kept(reader, None))

    return engine.with_snapshot(gathered)


def verify(engine: Engine, reader: Reader, state: State, problems: list[str]) -> None:
    """Hold the segment on disk against the stored texts."""
    if state.lexical is None:
        return
    try:
        base = Postings.open(engine.folder / INDEX_FOLDER / state.lexical["directory"], state.lexical["files"])
    except SegmentDamagedError as error:
        problems.append(f"{error}; optimize() builds the BM25 postings anew")
        return
    current = Postings.of(reader.every(), Analyzer(state.language))
    expected = Postings.merged([current], base.rows)
    found = Postings.merged([base], current.rows)
    columns = ("rows", "lengths", "terms", "starts", "places", "counts")
    if not all(np.array_equal(getattr(expected, name), getattr(found, name)) for name in columns):
        problems.append("the BM25 postings hold other words than the passages; optimize() builds them anew")


def set_language(engine: Engine, language: str | None) -> None:
    """Take the words as those of another language from now on; what was built for the old one no longer counts.

    Raises:
        IndexKindError: The language is unknown.
    """
    if language is None or language == engine.state().language:
        return
    Analyzer(language)
    with engine.writing() as writer:
        writer.now = replace(writer.now, language=language, lexical=None)
        writer.commit_state()
    engine.lexicon = None

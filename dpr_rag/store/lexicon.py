"""The postings of a store: loaded when words are first asked for, grown with what is added, and kept on disk once built."""

from __future__ import annotations

import logging
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.filters import Filter
from dpr_rag.lexical import Analyzer, Corpus, Postings
from dpr_rag.lexical.postings import grown
from dpr_rag.storage.reader import Condition, Reader
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine
from dpr_rag.store.folding import clean, new_folder
from dpr_rag.store.snapshot import INDEX_FOLDER, Snapshot, positions_in

WORTH_KEEPING = 2_000
TAIL_SHARE = 0.2
_KEPT_FILTERS = 32
_log = logging.getLogger(__name__)
Alive = npt.NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The postings of all passages up to a row number.

    Attributes:
        language: Whose words they are.
        directory: Folder of the segment on disk, or empty.
        base: The segment on disk, or None.
        tail: Segments in memory behind it.
        last: Highest row number they cover.
        corpus: All of them.
        masks: Positions that recent filters keep, by generation and filter.
    """

    language: str
    directory: str
    base: Postings | None
    tail: tuple[Postings, ...]
    last: int
    corpus: Corpus
    masks: dict[tuple[int, Filter | None], Alive] = field(default_factory=dict)

    def alive(self, reader: Reader, snapshot: Snapshot, where: Condition | None) -> Alive:
        """Which positions a search may return; None for all."""
        if where is not None and not isinstance(where, Filter):
            return self._mask(snapshot.kept(reader, where))
        key = (snapshot.state.generation, where)
        with suppress(KeyError):
            return self.masks[key]
        mask = self._mask(snapshot.kept(reader, where))
        past = [one for one in tuple(self.masks) if one[0] != key[0]]
        for one in past if len(self.masks) < _KEPT_FILTERS else tuple(self.masks):
            self.masks.pop(one, None)  # another thread may have removed it already
        self.masks[key] = mask
        return mask

    def _mask(self, kept: Rows) -> Alive:
        places = positions_in(self.corpus.rows, kept)
        if len(places) == len(self.corpus.rows):
            return None
        mask = np.zeros(len(self.corpus.rows), dtype=bool)
        mask[places] = True
        return mask


def analyzer_of(engine: Engine, state: State) -> Analyzer:
    """The analyzer for the store's language; it remembers words."""
    known = engine.analyzer
    if not isinstance(known, Analyzer) or known.language != state.language:
        known = engine.analyzer = Analyzer(state.language)
    return known


def lexicon(engine: Engine, reader: Reader, state: State) -> Lexicon:
    """The postings for a transaction, extended by what was added since they were last asked for.

    Raises:
        SegmentDamagedError: The segment on disk is missing or damaged.
    """
    known = _known(engine, state)
    if known is not None and known.last >= state.next_row - 1:
        return known
    with engine.wording:
        known = _known(engine, state) or _opened(engine, state)
        if known.last < state.next_row - 1:
            # rows of a later generation than this transaction's are not seen yet, and come with the next one
            added = Postings.of(reader.every(after=known.last), analyzer_of(engine, state))
            last = max(known.last, int(added.rows[-1]) if len(added.rows) else 0, state.next_row - 1)
            tail = grown(known.tail, added)
            known = Lexicon(state.language, known.directory, known.base, tail, last, _corpus(known.base, tail))
        engine.lexicon = known
        return known


def _known(engine: Engine, state: State) -> Lexicon | None:
    known = engine.lexicon
    fits = isinstance(known, Lexicon) and (known.language, known.directory) == (
        state.language,
        _directory(engine, state),
    )
    return known if fits and isinstance(known, Lexicon) else None


def _directory(engine: Engine, state: State) -> str:
    named = "" if state.lexical is None else str(state.lexical["directory"])
    return "" if named in engine.unusable else named


def _opened(engine: Engine, state: State) -> Lexicon:
    directory = _directory(engine, state)
    if not directory or state.lexical is None:
        return Lexicon(state.language, "", None, (), 0, Corpus(()))
    base = Postings.open(engine.folder / INDEX_FOLDER / directory, state.lexical["files"])
    return Lexicon(state.language, directory, base, (), int(state.lexical["last_row"]), Corpus((base,)))


def _corpus(base: Postings | None, tail: tuple[Postings, ...]) -> Corpus:
    return Corpus(tail if base is None else (base, *tail))


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
        parts = lexicon(engine, reader, state).corpus.parts or (Postings.of((), analyzer_of(engine, state)),)
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

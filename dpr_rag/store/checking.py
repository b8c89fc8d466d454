"""Reading a whole store: iteration, ``check``, index recall and ``info``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import numpy as np

from dpr_rag.arguments import check_count
from dpr_rag.derived import Rows, SegmentDamagedError
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import OPTIMIZE_BUILDS, RESTORE, StoreCorrupted, StoreError, VectorError
from dpr_rag.faces import each_face, message_of
from dpr_rag.index.segments import Base, largest_norm, verify_base
from dpr_rag.lexical import Analyzer, Postings, analysis_of
from dpr_rag.passages import Passage
from dpr_rag.storage import entries
from dpr_rag.storage.fields import Fields
from dpr_rag.storage.place import INDEX_FOLDER
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import State, added
from dpr_rag.store import choosing, recording
from dpr_rag.store.engine import Engine
from dpr_rag.store.ranking import RankingQuery, search
from dpr_rag.store.reports import CheckReport, StoreInfo
from dpr_rag.store.segment_folders import base_manifest
from dpr_rag.store.snapshot import fields_of, positions_in

_PAGE = 1000


def iterate(engine: Engine, *, page: int) -> Iterator[Passage]:
    """All passages in order of insertion; each page is read in a transaction of its own, and none is open in between."""
    for passages, _ in _pages(engine, page, vectors=False):
        yield from passages


def pages(engine: Engine, *, page: int) -> Iterator[tuple[list[Passage], Vectors]]:
    """The same with their vectors; see ``PassageStore.batches``."""
    for passages, vectors in _pages(engine, page, vectors=True):
        yield passages, np.array(vectors, np.float32)


def _pages(engine: Engine, page: int, *, vectors: bool) -> Iterator[tuple[list[Passage], list[Vectors]]]:
    with engine.reading() as reader:
        before = reader.current_state()
    last = seen = total = 0
    while last < before.next_row:
        with engine.reading() as reader:
            records, part = reader.page_after(last, page)
            now = reader.current_state()
            if vectors and now.model != before.model and before.model is not None:
                raise StoreError(f"{engine.folder} was encoded anew meanwhile; read it again from the start")
            rows = [row for row, _ in records if row < before.next_row]  # added since: replacing what comes must end
            held = reader.vectors_of(now, rows) if vectors else {}
        total, seen = added(total, part), seen + len(rows)
        if rows:
            yield [passage for row, passage in records if row < before.next_row], [held[row] for row in rows if vectors]
        if len(rows) < len(records):
            return
        if len(records) < page:
            break
        last = rows[-1]
    if now.generation == before.generation and total != now.passage_sum:
        raise StoreCorrupted(f"{engine.folder} lists {seen} of {now.passages} passages, or others; " + RESTORE)


def check(engine: Engine) -> CheckReport:
    """Verify everything; see ``PassageStore.check``."""
    with engine.reading() as reader:
        state = reader.state()
        problems = [*reader.problems(), *entries.problems(reader)]
        try:
            reader.prove_ids()
        except StoreCorrupted as error:
            problems.append(message_of(error))
        rows = _check_passages(reader, state, problems)
        _check_vectors(reader, state, rows, problems)
        _check_words(engine.folder / INDEX_FOLDER, reader, state, rows, problems)
        indexed = _check_base(engine.folder / INDEX_FOLDER, reader, state, rows, problems)
    if problems:
        raise StoreCorrupted(f"{engine.folder}: " + each_face(_listed, *problems))
    return CheckReport(state.passages, state.generation, indexed)


def _listed(*problems: str) -> str:
    return "; ".join(problems)


def _check_passages(reader: StoreReader, state: State, problems: list[str]) -> Rows:
    """Read every passage, and return the row numbers."""
    rows: list[int] = []
    while page := reader.after(rows[-1] if rows else 0, _PAGE):
        rows.extend(row for row, _ in page)
    if len(rows) != state.passages or reader.checksum_of("passage") != state.passage_sum:
        problems.append(f"{len(rows)} passages where {state.passages} were committed, or others; " + RESTORE)
    if rows and rows[-1] >= state.next_row:
        problems.append(f"row {rows[-1]} is beyond the last one given out; " + RESTORE)
    return np.array(rows, dtype=np.int64)


def _check_vectors(reader: StoreReader, state: State, rows: Rows, problems: list[str]) -> None:
    numbers = np.concatenate([np.empty(0, np.int64), *(block for block, _ in reader.vectors(state))])
    if not np.array_equal(numbers, rows) or reader.checksum_of(state.vectors) != state.vector_sum:
        problems.append("the vectors do not belong to the passages; " + RESTORE)


def _check_base(parent: Path, reader: StoreReader, state: State, rows: Rows, problems: list[str]) -> int:
    """Hold the base segment against the stored vectors, and return how many passages it holds."""
    manifest = base_manifest(state)
    if manifest is None or not manifest.is_current:  # of an earlier version, and not used
        return 0
    try:
        base = Base(parent / manifest.directory, manifest)
        verify_base(base, parent / manifest.directory)
        fields = fields_of(parent / manifest.directory, manifest)
    except SegmentDamagedError as error:
        problems.append(message_of(error) + "; " + OPTIMIZE_BUILDS + " a new index from the stored vectors")
        return 0
    covered = rows[rows <= manifest.last_row]
    alive = base.rows[np.isin(base.rows, reader.removed(-1), invert=True)]
    try:
        if not np.array_equal(alive, covered) or not _same_vectors(base, reader, state):
            problems.append("the base segment holds other passages than the store; " + OPTIMIZE_BUILDS + " a new index")
        elif fields is not None and manifest.edits == state.edits and not _same_fields(base, fields, reader):
            problems.append("the base segment holds other metadata than the store; " + OPTIMIZE_BUILDS + " a new index")
    except SegmentDamagedError as error:
        problems.append(message_of(error) + "; " + OPTIMIZE_BUILDS + " a new index from the stored vectors")
    return len(alive)


def _same_vectors(base: Base, reader: StoreReader, state: State) -> bool:
    for numbers, vectors in reader.vectors(state):
        at = positions_in(base.rows, numbers)
        kept = vectors[positions_in(numbers, base.rows[at])]
        if not np.array_equal(base.take(at), kept) or largest_norm(kept) > base.norm:
            return False
    return True


def _same_fields(base: Base, fields: Fields, reader: StoreReader) -> bool:
    covered = takewhile(lambda pair: pair[0] <= base.manifest.last_row, reader.every())
    places = np.delete(np.arange(len(base.rows)), positions_in(base.rows, reader.removed(-1)))
    fit = all(fields.fit(int(at), passage) for at, (_, passage) in zip(places, covered, strict=True))
    return fit and fields.ascend()


def _check_words(parent: Path, reader: StoreReader, state: State, rows: Rows, problems: list[str]) -> None:
    """Hold the postings on disk against those of the stored texts: the same passages, and in each the same words."""
    if state.lexical is None or state.lexical.get("analysis") != analysis_of(
        state.language
    ):  # made otherwise, not used
        return
    try:
        base = Postings.open(parent / state.lexical["directory"], state.lexical["files"])
    except SegmentDamagedError as error:
        problems.append(message_of(error) + "; " + OPTIMIZE_BUILDS + " the BM25 postings anew")
        return
    covered = rows[rows <= state.lexical["last_row"]]
    stored = Postings.merged([base], covered)
    expected = Postings.merged([Postings.of(reader.every(), Analyzer(state.language))], covered)
    columns = ("rows", "lengths", "terms", "starts", "places", "counts", "sequence")
    if not all(np.array_equal(getattr(expected, name), getattr(stored, name)) for name in columns):
        problems.append("the BM25 postings hold other words than the passages; " + OPTIMIZE_BUILDS + " them anew")


def index_recall(engine: Engine, sample: int | Vectors, k: int) -> float:
    """Overlap of the index's with the exact top k; see ``PassageStore.measure_index_recall``."""
    k = check_count("k", k, VectorError)
    questions = engine.sample(sample)[2] if isinstance(sample, int | np.integer) else check_vectors(sample)
    if not len(questions) or not engine.state().passages:
        return 1.0
    approximate, exact = (
        [{hit.passage.id for hit in hits} for hits in search(engine, RankingQuery(k, questions, exact=is_exact))]
        for is_exact in (False, True)
    )
    shares = [len(ids & best) / max(len(best), 1) for ids, best in zip(approximate, exact, strict=True)]
    return sum(shares) / len(shares)


def info(engine: Engine) -> StoreInfo:
    """Settings, counts and sizes; see ``PassageStore.info``."""
    with engine.reading() as reader:
        state = reader.state()
        base = base_manifest(state)
        last = 0 if base is None else base.last_row
        removed = reader.removed(-1)
        tail, number = reader.count_after(last), reader.format()
    plan = None if base is None else base.plan
    waiting = "no base segment yet: everything is searched exactly; " + OPTIMIZE_BUILDS + " one"
    if not state.passages:
        waiting = "there are no passages yet"
    return StoreInfo(
        path=str(engine.folder),
        format=number,
        passages=state.passages,
        dim=None if state.model is None else state.model.dim,
        dtype=state.dtype,
        fingerprint="" if state.model is None else state.model.fingerprint,
        source="" if state.model is None else state.model.source,
        profile=recording.profile_in(state.model),
        filled=recording.runs_in(state.model),
        generation=state.generation,
        index=state.index,
        kind="flat" if plan is None else plan.name,
        parameters={} if plan is None else dict(plan.parameters),
        reason=waiting if plan is None else plan.reason,
        base=0 if base is None else base.count,
        tail=tail,
        deleted=int((removed <= last).sum()),
        ranking=choosing.description(engine, state),
        language=state.language,
        words=0 if state.lexical is None else int(state.lexical["count"]),
        bytes_on_disk=_size(engine.folder),
        compaction="running" if engine.background.is_running else engine.background.last_error,
    )


def _size(folder: Path) -> int:
    """Bytes in a folder; files that a writer removes meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total

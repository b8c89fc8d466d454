"""Moves vectors without encoding: parts into a store, a store into parts, several stores into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.arguments import check_callable, check_count, iterated
from dpr_rag.corpora.parts import Folders, Mark, parts_of, read_mark, read_part, write_part
from dpr_rag.derived import checksum
from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.errors import CorpusError, EncoderMismatchError, PassageError, StoreError
from dpr_rag.faces import ByFace
from dpr_rag.filters import And, Filter, parse_filter
from dpr_rag.handed_over import contents
from dpr_rag.passages import SOURCE_KEY, Passage
from dpr_rag.scaling.cutting import ROWS, parts
from dpr_rag.scaling.encoding import Encoded
from dpr_rag.scaling.part_marks import Elsewhere, folder_of_parts, is_there, marked
from dpr_rag.scaling.resuming import going_on
from dpr_rag.store import AddReport
from dpr_rag.store.recording import EARLIER, joined
from dpr_rag.stores import WholeStore, is_store, whole

Progress = Callable[[int], None]
_BATCH = 512


def encoder_of_parts(folders: Folders) -> Encoder:
    """What stands for the encoder of parts: a store that is opened with it takes them, and no others.

    Raises:
        CorpusError: See :func:`~dpr_rag.corpora.parts.parts_of`.
        EncoderMismatchError: The parts do not say which encoder made them.
    """
    found = parts_of(folders)
    mark = found[0][1]
    if not mark.fingerprint:
        raise EncoderMismatchError(
            f"{found[0][0]}: does not say which encoder made the vectors; "
            + ByFace("pass encoder=, the one that did", cli="name it with --model")
        )
    return Elsewhere(mark, _runs_of_parts(found))


def _runs_of_parts(found: Iterable[tuple[Path, Mark]]) -> dict[str, str]:
    """What ran the encoder of parts: as the store says that they were exported from, or each machine that encoded some."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    every = [
        {f"{mark.runtime or 'a runtime that the encoder does not name'}, elsewhere": now}
        if mark.filled is None
        else mark.filled
        for _, mark in found
    ]
    return joined(*every)


def load(
    folders: Folders, store: WholeStore, *, batch_size: int = _BATCH, progress: Progress | None = None
) -> AddReport:
    """Add the passages and vectors of an encoded corpus to a store.

    Nothing is added before all parts were found. To resume a killed call, call it again; what it had added stays.

    Args:
        folders: The folder of the parts, or several.
        store: The store; empty, or filled with the same encoder.
        batch_size: Passages per commit.
        progress: Called with the number of passages done.

    Raises:
        CorpusError: Parts are missing, duplicated or damaged, or belong to several corpora or encoders.
        EncoderMismatchError: The store was filled with another encoder.
    """
    check_callable("progress", progress)
    store, found = whole(store), parts_of(folders)
    refuse_other(store, found[0][1].fingerprint, str(found[0][0].parent))
    total, of = AddReport(), sum(mark.passages for _, mark in found)
    for file, _ in found:
        passages, vectors = read_part(file)
        with going_on(store, total, of):
            total += store.add(passages, vectors=vectors, batch_size=batch_size)
        if progress is not None:
            progress(total.total)
    if not isinstance(store.encoder, Elsewhere):
        store.note_filled(_runs_of_parts(found))
    return total


def refuse_other(store: WholeStore, fingerprint: str, place: str) -> None:
    """Refuse vectors that another encoder made than the one that filled a store, or that it was opened with.

    Raises:
        EncoderMismatchError: They are of another one.
    """
    known = store.info().fingerprint or ("" if store.encoder is None else store.encoder.fingerprint)
    if known and fingerprint and known != fingerprint:
        raise EncoderMismatchError(
            f"{place} holds vectors of the encoder {fingerprint!r}, {store.path} those of {known!r}; encode them with one"
        )


def export(
    store: WholeStore,
    out: str | Path,
    *,
    filter: Mapping[str, Any] | Filter | None = None,
    rows: int = ROWS,
    progress: Progress | None = None,
) -> Encoded:
    """Write the passages and vectors of a store as parts, as :func:`~dpr_rag.scaling.encode` does.

    Args:
        store: The store; it should not change during the export.
        out: The folder; parts that an earlier call wrote of the same passages are kept.
        filter: Exports only the passages that match; None for all.
        rows: The largest number of passages in a part.
        progress: Called with the number of passages done.

    Raises:
        CorpusError: The folder cannot be written, or holds parts of other passages.
        StoreError: The store is empty.
        MissingExtraError: pyarrow is not installed.
    """
    rows = check_count("rows", rows, StoreError)
    check_callable("progress", progress)
    store, out = whole(store), folder_of_parts(out)
    condition = None if filter is None else parse_filter(filter)
    seen = store if condition is None or _keeps_all(condition) else store.restricted(condition)
    kept: list[Vectors] = []  # of the passages that the cutting has taken, and not yet given back
    done = Encoded()
    encoder = _encoder_of(store)
    for part in parts(_noting(seen, kept), rows):
        count = len(part.passages)
        mark = marked(part, encoder)
        vectors, kept[:] = np.array(kept[:count], np.float32), kept[count:]
        fresh = not is_there(out, mark)
        if fresh:
            write_part(out, mark, part.passages, vectors)
        elif read_mark(out / mark.name).vectors != checksum(vectors):
            raise CorpusError(f"{out / mark.name}: holds other vectors of the same passages; export to a new folder")
        done = done.with_part(count, fresh=fresh)
        if progress is not None:
            progress(done.passages)
    if not done.passages:
        what = "no passage" if filter is None else "no passage that the filter keeps"
        raise StoreError(f"{store.path} holds {what}; there is nothing to export")
    return done


def _keeps_all(condition: Filter) -> bool:
    """Whether a filter is ``{}``, which matches everything, and of which no view is made."""
    return condition == And(())


def recorded(store: WholeStore) -> Encoder | None:
    """What stands for the encoder that a store was filled with, without loading it; None where nobody said which it was."""
    return _encoder_of(store) if whole(store).made_by().fingerprint else None


def _encoder_of(store: WholeStore) -> Elsewhere:
    info = store.made_by()
    mark = Mark(0, 0, 0, 0, False, info.dim or 1, info.fingerprint, info.source, info.profile)
    return Elsewhere(mark, runs_in(store))


def runs_in(store: WholeStore) -> dict[str, str]:
    """What made the vectors of a store, as :meth:`WholeStore.note_filled` takes it."""
    filled = store.made_by().filled
    return {EARLIER: ""} if filled is None else dict(filled)


def _noting(store: WholeStore, kept: list[Vectors]) -> Iterator[Passage]:
    for passages, vectors in store.batches(_BATCH):
        for passage, vector in zip(passages, vectors, strict=True):
            kept.append(vector)
            yield passage


def merge(
    sources: Sequence[WholeStore], target: WholeStore, *, batch_size: int = _BATCH, progress: Progress | None = None
) -> AddReport:
    """Add the passages and vectors of several stores to one store, without encoding.

    Data that an adapter keeps beside the passages, such as LlamaIndex's document store, are not copied; nor by :func:`export`.

    Args:
        sources: Stores, or views, that were filled with the same encoder; equal passages with the same id are added once.
        target: The store to add to. To resume a killed call, call it again; what it had added stays.
        batch_size: Passages per commit.
        progress: Called with the number of passages done.

    Raises:
        EncoderMismatchError: The stores were filled with different encoders.
        PassageError: An id occurs in two stores with different contents; what was added before stays.
    """
    batch_size = check_count("batch_size", batch_size, StoreError)
    check_callable("progress", progress)
    advice = "give [store] for one"
    given = [sources] if is_store(sources) else sources  # a store is iterable, and so are its passages
    sources = [
        whole(one) for one in iterated("sources", given, "a list of open stores", error=StoreError, advice=advice)
    ]
    target = whole(target)
    refuse_several(sources, target)
    total, of = AddReport(), sum(source.count() for source in sources)
    for source in sources:
        batches = source.batches(batch_size)
        while True:
            with going_on(target, total, of):
                batch = next(batches, None)
                if batch is None:
                    break
                total += _merged(source, target, *batch)
            if progress is not None:
                progress(total.total)
        if source.count():
            target.note_filled(runs_in(source))
    return total


def refuse_several(sources: Sequence[WholeStore], target: WholeStore | None = None) -> None:
    """Refuse to merge stores of several encoders.

    Args:
        sources: The stores.
        target: Where they are to be merged; None where it is not there yet.

    Raises:
        EncoderMismatchError: They were filled with different encoders, or the target was.
    """
    known = {str(source.path): source.made_by().fingerprint for source in sources if source.count()}
    facts = None if target is None else target.info()  # not of a view, which keeps no record of what fills it
    if target is not None and facts is not None and (target.count() or target.encoder is not None):
        known[str(target.path)] = facts.fingerprint or ("" if target.encoder is None else target.encoder.fingerprint)
    if len(set(known.values())) > 1:
        told = ", ".join(f"{place} of {one or 'an encoder that nobody named'}" for place, one in known.items())
        raise EncoderMismatchError(f"the stores hold vectors of several encoders: {told:.600}; encode them with one")


def _merged(source: WholeStore, target: WholeStore, passages: Sequence[Passage], vectors: Vectors) -> AddReport:
    there = _there(source, target, passages)
    new = [row for row, passage in enumerate(passages) if passage.id not in there]
    added = target.add([passages[row] for row in new], vectors=vectors[new], batch_size=len(passages))
    return AddReport(unchanged=len(there)) + added


def _there(source: WholeStore, target: WholeStore, passages: Sequence[Passage]) -> set[str]:
    """Ids of the passages that the target has from elsewhere: of another file on another machine, but the same to a reader.

    Raises:
        PassageError: One has other contents there.
    """
    stored = {passage.id: passage for passage in target.get([passage.id for passage in passages])}
    found = set[str]()
    for passage in passages:
        other = stored.get(passage.id)
        if other is None:
            continue
        # the file that a passage was read from lies elsewhere on each machine
        if contents(other, without=SOURCE_KEY) != contents(passage, without=SOURCE_KEY):
            raise PassageError(
                f"{passage.id!r:.120} is another passage in {source.path} than in {target.path}; delete one of the two, or "
                + ByFace("begin the ids of one with a prefix", cli="index one corpus with --prefix")
            )
        if other.metadata != passage.metadata:
            found.add(passage.id)
    return found

"""Adding passages in batches; each is encoded before its transaction, and committed in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np

from dpr_rag.arguments import check_callable, check_count, is_blank, iterated, kind
from dpr_rag.encoder import Vectors, check_encoded, check_given
from dpr_rag.errors import EncoderMismatchError, PassageError, StoreError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage
from dpr_rag.storage.fields import seen_of
from dpr_rag.storage.records import to_stored
from dpr_rag.storage.state import Model
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store import recording
from dpr_rag.store.background_compaction import Backpressure
from dpr_rag.store.engine import Engine
from dpr_rag.store.repeats import SeenIds, check_against, check_repeats, without_twins
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import WHOLE, Scope, admitted
from dpr_rag.store.sources import Replace, check_replace, split_by_source, with_private, without_source

Progress = Callable[[AddReport], None]
_AS_A_PASSAGE = "a dpr_rag.Passage(id=…, text=…)"
_Known = dict[str, tuple[int, Passage]]


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch of passages with distinct ids, their given vectors if any, and the ids that earlier batches held, too.

    Attributes:
        twins: What became of the other passages with an id of these.
    """

    passages: Sequence[Passage]
    given: Vectors | None
    again: Sequence[str]
    twins: AddReport

    @staticmethod
    def of(passages: Sequence[Passage], given: Vectors | None, seen: SeenIds, policy: Replace) -> _Batch:
        """Make a batch, keeping one of the passages that share an id."""
        kept, twins = without_twins(passages, given, policy)
        chosen = [passages[at] for at in kept]
        again = seen.again([passage.id for passage in chosen])
        return _Batch(chosen, None if given is None else given[kept], again, twins)


def add(
    engine: Engine,
    passages: Iterable[Passage],
    vectors: Iterable[Any] | None,
    *,
    batch_size: int,
    progress: Progress | None = None,
    replace: Replace = "any",
    instead: Mapping[str, Sequence[str]] = MappingProxyType({}),
    scope: Scope = WHOLE,
) -> AddReport:
    """Add a stream of passages, see ``PassageStore.add``; for ``instead``, see ``Private.add``."""
    batch_size = check_count("batch_size", batch_size, StoreError)
    check_replace(replace)
    check_callable("progress", progress)
    engine.database.refuse_read_only()
    _check_lengths(passages, vectors)
    report, passages, backpressure = AddReport(), admitted(scope, passages), Backpressure(engine)
    if isinstance(passages, Sequence):
        for passage in passages:
            _refuse_blank(passage)
        check_repeats(passages)
    for batch in _batches(passages, vectors, batch_size, replace):
        report += _add_batch(engine, batch, replace, instead, scope) + batch.twins
        backpressure.after_commit(len(batch.passages))
        if progress is not None:
            progress(report)
    return report


def _refuse_blank(passage: object) -> None:
    """Refuse a passage without a word: its vector means nothing, and would come up for many questions."""
    if isinstance(passage, Passage) and is_blank(passage.text) and is_blank(passage.title):
        raise PassageError(
            f"passage {passage.id!r:.120}: text and title are blank, expected a word; leave it out, or fill it in"
        )


def _check_lengths(passages: Iterable[Passage], vectors: Iterable[Any] | None) -> None:
    if isinstance(passages, Passage):
        raise PassageError("passages is one Passage, expected several; wrap it in a list")
    if isinstance(passages, Sized) and isinstance(vectors, Sized) and len(passages) != len(vectors):
        raise VectorError(f"{len(vectors)} vectors were given for {len(passages)} passages; give one vector each")


def _batches(
    passages: Iterable[Passage], vectors: Iterable[Any] | None, size: int, policy: Replace
) -> Iterator[_Batch]:
    """Cut both streams into batches; they have to end together."""
    seen = SeenIds()
    items = iterated(
        "passages", passages, "a list of passages", error=PassageError, advice=f"give {_AS_A_PASSAGE}, in a list"
    )
    given_rows = "one vector of numbers for each passage"
    rows = (
        None if vectors is None else iterated("vectors", vectors, given_rows, error=VectorError, advice="give a list")
    )
    while batch := list(islice(items, size)):
        for item in batch:
            if not isinstance(item, Passage):
                raise PassageError(f"{kind(item)} is no passage; give {_AS_A_PASSAGE}")
            _refuse_blank(item)
        given = None
        if rows is not None:
            given = check_given(islice(rows, len(batch)), [item.id for item in batch])
        yield _Batch.of(batch, given, seen, policy)
    if rows is not None and next(rows, None) is not None:
        raise VectorError("there are more vectors than passages; give one vector each")


def _add_batch(
    engine: Engine, batch: _Batch, policy: Replace, instead: Mapping[str, Sequence[str]], scope: Scope
) -> AddReport:
    """Encode and commit one batch; starts over when another writer changed its passages in between."""
    while True:
        with engine.reading() as reader:
            known = reader.by_ids(passage.id for passage in batch.passages)
            if len(known) < len(batch.passages):
                engine.prove_ids(reader)  # while others may still write
        scope.refuse_taken(known)
        ready, _ = split_by_source(batch.passages, known, policy)
        check_against(known, ready, batch.again)
        needed = batch.passages if batch.given is not None else [p for p in ready if _is_new_text(known.get(p.id), p)]
        vectors = _vectors(engine, batch, needed)
        with engine.writing() as writer:
            model = _model(engine, writer, vectors, given=batch.given is not None)
            known = engine.known(writer, (passage.id for passage in batch.passages))
            scope.refuse_taken(known)
            ready, owners = split_by_source(batch.passages, known, policy)
            encoded = {p.id: vector for p, vector in zip(needed, vectors, strict=True)}
            if all(p.id in encoded or not _is_new_text(known.get(p.id), p) for p in ready):
                gone = _succeeded(writer, batch.passages, ready, instead, scope)
                return _write(writer, model, ready, known, encoded, gone) + AddReport(owners=owners)


def _succeeded(
    writer: StoreWriter,
    batch: Sequence[Passage],
    ready: Sequence[Passage],
    instead: Mapping[str, Sequence[str]],
    scope: Scope,
) -> list[int]:
    """Row numbers of the passages that the batch replaces by ``instead``: seen by the view, of the same text, not in it."""
    successors = {old: passage for passage in ready for old in instead.get(passage.id, ())}
    wanted = successors.keys() - {passage.id for passage in batch}
    stored = writer.by_ids(wanted) if wanted else {}
    return [
        row
        for passage_id, (row, old) in stored.items()
        if scope.holds(old) and not _is_new_text((row, old), successors[passage_id])
    ]


def _is_new_text(known: tuple[int, Passage] | None, passage: Passage) -> bool:
    return known is None or (known[1].title, known[1].text) != (passage.title, passage.text)


def _vectors(engine: Engine, batch: _Batch, needed: Sequence[Passage]) -> Vectors:
    """The vectors of the needed passages, given or encoded."""
    if batch.given is not None:
        return batch.given
    if engine.encoder is None:
        raise EncoderMismatchError(
            f"{engine.folder} was opened without an encoder; "
            + ByFace("pass encoder= to PassageStore.open, or vectors= to add", cli="name one with --model")
        )
    if not needed:
        return np.empty((0, engine.encoder.dim), np.float32)
    names = [passage.id for passage in needed]
    made = engine.encoder.encode_passages(needed)
    shape: dict[str, Any] = {"rows": len(needed), "dim": engine.encoder.dim, "names": names}
    return check_encoded(engine.encoder, "encode_passages", made, **shape)


def _model(engine: Engine, writer: StoreWriter, vectors: Vectors, *, given: bool) -> Model:
    """The store's model, or the one that its first vectors give it, with the run that made these vectors."""
    engine.check_model(writer.now)
    dim = vectors.shape[1]
    model = writer.now.model
    if model is None:
        model = Model(dim) if engine.encoder is None else engine.model_of(engine.encoder)
        model = recording.described(model, engine.encoder)
    if dim != model.dim:
        raise VectorError(
            f"vectors have {dim} dimensions, {engine.folder} holds {model.dim}; use the encoder that filled it"
        )
    return recording.noted(model, engine.encoder, given=given) if len(vectors) else model


def _write(
    writer: StoreWriter,
    model: Model,
    passages: Sequence[Passage],
    known: _Known,
    vectors: dict[str, Vectors],
    succeeded: Sequence[int],
) -> AddReport:
    """Write what differs from the store, and return the counts."""
    stored = writer.vectors_of(writer.now, [row for row, _ in known.values() if vectors]) if known else {}
    inserted, updated, removed, named = [], [], list(succeeded), 0
    for given in passages:
        row, old = known.get(given.id, (0, None))
        passage = with_private(given, old)
        same_vector = passage.id not in vectors or _equal(stored.get(row), vectors[passage.id], writer.now.dtype)
        if old is None or _is_new_text((row, old), passage) or not same_vector:
            inserted.append(passage)
            removed.extend([] if old is None else [row])
        elif old.metadata != passage.metadata or repr(old.metadata) != repr(passage.metadata):
            updated.append((row, passage, repr(seen_of(old)) != repr(seen_of(passage))))
            named += without_source(old) == without_source(passage)
    if inserted or updated or removed:
        writer.now = replace(writer.now, model=model)
        if removed:
            writer.remove(removed)
        for row, passage, seen in updated:
            writer.update_metadata(row, passage, seen=seen)
        if inserted:
            writer.insert(inserted, np.stack([vectors[passage.id] for passage in inserted]))
        writer.commit_state()
    replaced = len(removed) + len(updated) - named
    return AddReport(len(inserted) - len(removed), replaced, len(passages) - len(inserted) - len(updated) + named)


def _equal(stored: Vectors | None, given: Vectors, dtype: str) -> bool:
    return stored is not None and bool((to_stored(given, dtype).astype(np.float32) == stored).all())

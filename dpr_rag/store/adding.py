"""Adding passages in batches; each is encoded before its transaction, and committed in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from dpr_rag.arguments import check_callable
from dpr_rag.encoder import Vectors, check_encoded
from dpr_rag.errors import EncoderMismatchError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage
from dpr_rag.storage.fields import seen_of
from dpr_rag.storage.records import to_stored
from dpr_rag.storage.state import Model
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store import recording
from dpr_rag.store.background_compaction import Backpressure
from dpr_rag.store.batching import Batch, Known, batches, is_new_text, lacks_vector
from dpr_rag.store.engine import Engine
from dpr_rag.store.repeats import check_against
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import WHOLE, Scope
from dpr_rag.store.sources import Replace, split_by_source, with_private, without_source

Progress = Callable[[AddReport], None]


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
    check_callable("progress", progress)
    engine.database.refuse_read_only()
    report, backpressure = AddReport(), Backpressure(engine)
    for batch in batches(passages, vectors, size=batch_size, replace=replace, scope=scope):
        report += _add_batch(engine, batch, replace, instead, scope) + batch.twins
        backpressure.after_commit(len(batch.passages))
        if progress is not None:
            progress(report)
    return report


def _add_batch(
    engine: Engine, batch: Batch, policy: Replace, instead: Mapping[str, Sequence[str]], scope: Scope
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
        needed = batch.passages if batch.given is not None else [p for p in ready if lacks_vector(known, p)]
        vectors = _vectors(engine, batch, needed)
        with engine.writing() as writer:
            model = _model(engine, writer, vectors, given=batch.given is not None)
            known = engine.known(writer, (passage.id for passage in batch.passages))
            scope.refuse_taken(known)
            ready, owners = split_by_source(batch.passages, known, policy)
            encoded = {p.id: vector for p, vector in zip(needed, vectors, strict=True)}
            if all(p.id in encoded or not lacks_vector(known, p) for p in ready):
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
        if scope.holds(old) and not is_new_text(old, successors[passage_id])
    ]


def _vectors(engine: Engine, batch: Batch, needed: Sequence[Passage]) -> Vectors:
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
    known: Known,
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
        if old is None or is_new_text(old, passage) or not same_vector:
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

"""Adding passages to a collection: batch by batch, each encoded, sent under the message limit, and acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpr_rag.arguments import check_callable
from dpr_rag.encoder import Encoder, Vectors, check_encoded, check_vectors
from dpr_rag.errors import (
    EncoderMismatchError,
    NotAcknowledgedError,
    ServiceError,
    ServiceUnavailableError,
)
from dpr_rag.faces import ByFace, message_of
from dpr_rag.milvus import origin
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.identity import refuse_other
from dpr_rag.milvus.kinds import Kind
from dpr_rag.milvus.records import Rows, StoredPassage, key_of, record_of, size_of
from dpr_rag.passages import Passage
from dpr_rag.store import recording
from dpr_rag.store.batching import Batch, Known, batches, is_new_text, lacks_vector
from dpr_rag.store.repeats import check_against
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import Scope
from dpr_rag.store.sources import Replace, split_by_source, with_private

Progress = Callable[[AddReport], None]
_MESSAGE_BYTES = 16 << 20
"""Largest size of one request; Milvus takes 64 MiB."""
_MOST_NAMED = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """The collection that passages are added to, with encoder and scope.

    Attributes:
        collection: The collection.
        encoder: Encodes them, or None.
        kind: Index of a collection that is created.
        scope: The view through which passages are added.
        rows: The source of row numbers.
        parted_by: Partition key of a collection that is created, or None.
    """

    collection: Collection
    encoder: Encoder | None
    kind: Kind
    scope: Scope
    rows: Rows
    parted_by: str | None = None

    def make(self, dim: int) -> None:
        """Create the collection.

        Raises:
            EncoderMismatchError: Another client created it meanwhile, for another encoder.
        """
        self.collection.create(dim, self.encoder, self.kind, self.parted_by)
        refuse_other(self.collection, self.encoder)


def add(
    target: Target,
    passages: Iterable[Passage],
    vectors: Iterable[Any] | None,
    *,
    batch_size: int = 512,
    progress: Progress | None = None,
    replace: Replace = "any",
) -> AddReport:
    """Add a stream of passages, see ``MilvusStore.add``."""
    check_callable("progress", progress)
    report = AddReport()
    for batch in batches(passages, vectors, size=batch_size, replace=replace, scope=target.scope):
        with _naming_unsent([passage.id for passage in batch.passages], report.total):
            report += _add_batch(target, batch, replace, report.total) + batch.twins
        if progress is not None:
            progress(report)
    return report


def _add_batch(target: Target, batch: Batch, replace: Replace, before: int) -> AddReport:
    if not target.collection.exists:  # another client may have created it since
        target.collection.refresh()
        refuse_other(target.collection, target.encoder)
    by_id = {stored.passage.id: stored for stored in _stored(target.collection, batch.passages).values()}
    stored_rows = {passage_id: (stored.row, stored.passage) for passage_id, stored in by_id.items()}
    target.scope.refuse_taken(stored_rows)
    ready, owners = split_by_source(batch.passages, stored_rows, replace)
    check_against(stored_rows, ready, batch.again)
    vectors = _vectors(target, batch, ready, stored_rows)
    if not target.collection.exists and vectors:
        target.make(len(next(iter(vectors.values()))))
    records, report = [], AddReport(owners=owners)
    for passage in ready:
        old = by_id.get(passage.id)
        record, outcome = _changed_record(target, passage, old, vectors.get(passage.id))
        report += outcome
        records += [] if record is None else [record]
    _send(target.collection, records, before + report.unchanged)
    if records:
        origin.note_filled(target.collection, recording.runs_of(target.encoder, given=batch.given is not None))
    return report


def _stored(collection: Collection, batch: Sequence[Passage]) -> dict[str, StoredPassage]:
    return collection.by_keys([key_of(passage.id) for passage in batch], vectors=True)


def _vectors(target: Target, batch: Batch, ready: Sequence[Passage], stored_rows: Known) -> dict[str, Vectors]:
    """A vector for each passage that needs one, by id."""
    if batch.given is not None:
        names = [passage.id for passage in batch.passages]
        return dict(zip(names, check_vectors(batch.given, dim=target.collection.dim, names=names), strict=True))
    needed = [passage for passage in ready if lacks_vector(stored_rows, passage)]
    encoder = target.encoder
    if encoder is None:
        raise EncoderMismatchError(
            f"{target.collection.address.shown} was opened without an encoder; "
            + ByFace("pass encoder= to open_store, or vectors= to add", cli="name one with --model")
        )
    if not needed:
        return {}
    encoded = encoder.encode_passages(needed)
    names = [passage.id for passage in needed]
    checked = check_encoded(encoder, "encode_passages", encoded, rows=len(needed), dim=encoder.dim, names=names)
    return dict(zip(names, checked, strict=True))


def _changed_record(
    target: Target, new_passage: Passage, old: StoredPassage | None, vector: Vectors | None
) -> tuple[dict[str, Any] | None, AddReport]:
    """The row to write, or None if the stored one equals it; and the passage's part of the report."""
    description = target.collection.description
    options: Any = {"words": description.words, "parted_by": description.parted_by}
    if old is None:
        assert vector is not None  # noqa: S101 - new texts have one
        return record_of(new_passage, vector, target.rows.next(), **options), AddReport(added=1)
    passage = with_private(new_passage, old.passage)
    has_changed = is_new_text(old.passage, passage) or (vector is not None and not np.array_equal(vector, old.vector))
    if not has_changed and repr(passage.metadata) == repr(old.passage.metadata):
        return None, AddReport(unchanged=1)
    stored_vector = old.vector if vector is None else vector
    row = target.rows.next() if has_changed else old.row
    return record_of(passage, stored_vector, row, **options), AddReport(replaced=1)


def _send(collection: Collection, records: Sequence[dict[str, Any]], before: int) -> None:
    """Write rows in requests that Milvus accepts; the rows of an acknowledged one are durable.

    Raises:
        NotAcknowledgedError: A request was refused, or the engine became unavailable.
    """
    sent = 0
    for message in _messages(records):
        try:
            collection.upsert(message)
        except ServiceError as error:
            raise _not_acknowledged(error, [record["id"] for record in records[sent:]], before + sent) from error
        sent += len(message)


@contextmanager
def _naming_unsent(ids: Sequence[str], before: int) -> Iterator[None]:
    """Turn an unavailable engine, before a batch was sent, into an error that names the ids that were not stored."""
    try:
        yield
    except NotAcknowledgedError:
        raise
    except ServiceUnavailableError as error:
        raise _not_acknowledged(error, ids, before) from error


def _not_acknowledged(error: ServiceError, lacking: Sequence[str], acknowledged: int) -> NotAcknowledgedError:
    text = (
        message_of(error)
        + f"; {acknowledged:,} passages of this call were acknowledged, and those from {lacking[0]!r:.120} on "
        f"({len(lacking):,} of this batch, and what follows) were not: add them again"
    )
    return NotAcknowledgedError(text, tuple(lacking[:_MOST_NAMED]), acknowledged)


def _messages(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    message: list[dict[str, Any]] = []
    message_size = 0
    for record in records:
        size = size_of(record)
        if message and message_size + size > _MESSAGE_BYTES:
            yield message
            message, message_size = [], 0
        message.append(record)
        message_size += size
    if message:
        yield message

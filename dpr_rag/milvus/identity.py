"""Counts and settings of a collection, and checks that its encoder and partition key fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.errors import EncoderMismatchError, StoreError
from dpr_rag.faces import ByFace
from dpr_rag.milvus import tuning
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.conditions import ALL
from dpr_rag.milvus.origin import origin_of

_LEAVE_OUT = ByFace("leave partition_key out", cli="leave out --partition-key")


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A collection in figures.

    Attributes:
        path: Its address, without what opens it.
        engine: Version of the engine.
        passages: How many there are.
        dim: Components per vector, or None while there is no collection.
        dtype: How vectors are stored.
        fingerprint: Of the encoder; empty where vectors came without one.
        source: Where the encoder's weights came from, for people to read.
        profile: How the encoder turns texts into vectors, as it says itself; None where that is not recorded.
        filled: What ran the encoder, and since when, the earliest first; None where that is not recorded.
        kind: Index, as the engine calls it; and what was asked for, where it builds another one.
        parameters: Its parameters.
        words: Whether the engine ranks by words too.
        partition_key: The field by whose values passages lie in partitions, or None.
        language: ``none``: the engine's BM25 stems no words.
        ranking: How it ranks where a call does not say.
    """

    path: str
    engine: str
    passages: int
    dim: int | None
    dtype: str
    fingerprint: str
    source: str
    profile: dict[str, Any] | None
    filled: dict[str, str] | None
    kind: str
    parameters: dict[str, int]
    words: bool
    partition_key: str | None
    language: str
    ranking: str


def info_of(collection: Collection) -> EngineInfo:
    """A collection in figures."""
    made, filled = collection.described.made_by, origin_of(collection).filled
    return EngineInfo(
        path=collection.address.shown,
        engine=f"Milvus {collection.version}",
        passages=collection.counted(ALL),
        dim=collection.dim,
        dtype="float32",
        fingerprint=collection.described.fingerprint,
        source=str(made.get("source", "")),
        profile=made.get("profile"),
        filled=None if filled is None else dict(filled),
        kind=collection.kind.told,
        parameters=dict(collection.kind.parameters),
        words=collection.has_words,
        partition_key=collection.described.parted_by,
        language=tuning.LANGUAGE,
        ranking=tuning.told(collection),
    )


def refuse_other(collection: Collection, encoder: Encoder | None) -> None:
    """Refuse an encoder that did not fill a collection.

    Raises:
        EncoderMismatchError: Another one did.
    """
    if encoder is None or not collection.exists:
        return
    known, dim = collection.described.fingerprint, collection.dim
    if (encoder.fingerprint, int(encoder.dim)) != (known, dim):
        whose = f"the encoder {known!r}" if known else "vectors that came without an encoder"
        remedy = "open it with that encoder" if known else "open it with none"
        raise EncoderMismatchError(
            f"{collection.address.shown} was filled with {whose} ({dim} dimensions), not with {encoder.fingerprint!r} "
            f"({encoder.dim} dimensions); {remedy}, or fill another collection"
        )


def refuse_partition_key(collection: Collection, wanted: str | None) -> None:
    """Refuse a partition key that a collection was not made with, or that its engine would not keep to.

    Raises:
        StoreError: It was made with another one, or without; or Milvus is older than 2.4, which writes what is upserted to
            wrong partitions (its pull request 30772) and gives out old versions of it (its issue 31548).
    """
    if wanted is None:
        return
    known = collection.described.parted_by
    if collection.exists and wanted != known:
        whose = "without a partition key" if known is None else f"with the partition key {known!r}"
        raise StoreError(
            f"{collection.address.shown} was made {whose}, not with {wanted!r}, and keeps what it was made with; "
            + _LEAVE_OUT
            + ", or copy it to a new collection"
        )
    if not collection.is_lite and not collection.is_at_least(2, 4):
        raise StoreError(
            f"{collection.address.shown}: Milvus {collection.version} writes what is replaced to wrong partitions, which 2.4 "
            "mended; " + _LEAVE_OUT + " (filters and views work without it), or use a newer Milvus"
        )

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
    """Counts and settings of a collection.

    Attributes:
        path: Its address, without the token.
        engine: Version of the engine.
        passages: Number of passages.
        dim: Components per vector; None while the collection does not exist.
        dtype: Number type of stored vectors.
        fingerprint: Of the encoder; empty where vectors came without one.
        source: Where the encoder's weights came from, for people to read.
        profile: The encoder's description of itself; None if it was not recorded.
        filled: Software that ran the encoder, and since when, the earliest first; None if it was not recorded.
        kind: Index type in the engine's words, and the requested one if the engine builds another.
        parameters: Parameters of the index.
        words: Whether the engine has a BM25 index.
        partition_key: The metadata field whose value determines the partition, or None.
        language: ``none``: the engine's BM25 stems no words.
        ranking: The ranking of searches that name none.
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
    """Read counts and settings of a collection."""
    encoder_settings, filled = collection.description.made_by, origin_of(collection).filled
    return EngineInfo(
        path=collection.address.shown,
        engine=f"Milvus {collection.version}",
        passages=collection.count(ALL),
        dim=collection.dim,
        dtype="float32",
        fingerprint=collection.description.fingerprint,
        source=str(encoder_settings.get("source", "")),
        profile=encoder_settings.get("profile"),
        filled=None if filled is None else dict(filled),
        kind=collection.kind.label,
        parameters=dict(collection.kind.parameters),
        words=collection.has_words,
        partition_key=collection.description.parted_by,
        language=tuning.LANGUAGE,
        ranking=tuning.ranking_label(collection),
    )


def refuse_other(collection: Collection, encoder: Encoder | None) -> None:
    """Refuse an encoder that did not fill a collection.

    Raises:
        EncoderMismatchError: Another one filled it.
    """
    if encoder is None or not collection.exists:
        return
    fingerprint, dim = collection.description.fingerprint, collection.dim
    if (encoder.fingerprint, int(encoder.dim)) != (fingerprint, dim):
        filler = f"the encoder {fingerprint!r}" if fingerprint else "vectors that came without an encoder"
        remedy = "open it with that encoder" if fingerprint else "open it with none"
        raise EncoderMismatchError(
            f"{collection.address.shown} was filled with {filler} ({dim} dimensions), not with {encoder.fingerprint!r} "
            f"({encoder.dim} dimensions); {remedy}, or fill another collection"
        )


def refuse_partition_key(collection: Collection, partition_key: str | None) -> None:
    """Refuse a partition key that is not the collection's, or that its engine does not support.

    Raises:
        StoreError: It was made with another one, or without; or Milvus is older than 2.4, which writes what is upserted to
            wrong partitions (its pull request 30772) and gives out old versions of it (its issue 31548).
    """
    if partition_key is None:
        return
    existing = collection.description.parted_by
    if collection.exists and partition_key != existing:
        how_made = "without a partition key" if existing is None else f"with the partition key {existing!r}"
        raise StoreError(
            f"{collection.address.shown} was made {how_made}, not with {partition_key!r}, and keeps what it was made with; "
            + _LEAVE_OUT
            + ", or copy it to a new collection"
        )
    if not collection.is_lite and not collection.is_at_least(2, 4):
        raise StoreError(
            f"{collection.address.shown}: Milvus {collection.version} writes what is replaced to wrong partitions, which 2.4 "
            "mended; " + _LEAVE_OUT + " (filters and views work without it), or use a newer Milvus"
        )

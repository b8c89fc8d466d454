"""The schema of a collection: fields, indexes and properties."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.errors import NotAStoreError
from dpr_rag.milvus.kinds import Kind
from dpr_rag.milvus.records import FIELDS, MAX_TERMS, MAX_TEXT
from dpr_rag.milvus.terms import TERM_LENGTH
from dpr_rag.store.recording import profile_of

PARTITIONS = 16
"""Partitions over which the values of a partition key are hashed; each takes memory, and holds many tenants."""
NOTED = {"tuned": "dpr_rag.tuned", "origin": "dpr_rag.origin"}
"""Properties that are written after a collection was created, by their names in :class:`Description`."""
_MARK, _MADE_BY, _PARTED_BY = "dpr_rag.fingerprint", "dpr_rag.encoder", "dpr_rag.partition_key"
_ASKED_KIND = "dpr_rag.asked_index"
_NEEDED = {*FIELDS, "terms", "numbers", "vector"}


@dataclass(frozen=True, slots=True)
class Description:
    """The settings of a collection, as read from its schema and properties.

    Attributes:
        dim: Components per vector.
        fingerprint: Fingerprint of the encoder that filled it; empty if vectors were given.
        words: Whether it has a BM25 index.
        made_by: The encoder's source and profile.
        parted_by: The metadata field whose value determines the partition, or None.
        tuned: The tuned ranking as JSON, or empty.
        origin: The origin of its passages as JSON; empty in collections of an earlier version.
        asked_kind: The requested index type if the engine builds another, or empty.
    """

    dim: int | None = None
    fingerprint: str = ""
    words: bool = False
    made_by: Mapping[str, Any] = field(default_factory=dict)
    parted_by: str | None = None
    tuned: str = ""
    origin: str = ""
    asked_kind: str = ""


def read_description(shown: str, answer: Mapping[str, Any]) -> Description:
    """Read the engine's description of a collection.

    Raises:
        NotAStoreError: dpr-rag did not make it.
    """
    fields = {field["name"]: field for field in answer["fields"]}
    properties = answer.get("properties") or {}
    if not fields.keys() >= _NEEDED or _MARK not in properties:
        raise NotAStoreError(
            f"{shown} is a collection that dpr-rag did not make; name another one, which it makes itself"
        )
    parted_by = properties.get(_PARTED_BY)
    return Description(
        int(fields["vector"]["params"]["dim"]),
        str(properties[_MARK]),
        "words" in fields,
        json.loads(properties.get(_MADE_BY, "{}")),
        None if parted_by is None else str(parted_by),
        str(properties.get(NOTED["tuned"], "")),
        str(properties.get(NOTED["origin"], "")),
        str(properties.get(_ASKED_KIND, "")),
    )


def schema_of(library: Any, dim: int, *, words: bool, parted: bool) -> Any:
    """The fields of a collection."""
    kinds = library.DataType
    schema = library.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", kinds.VARCHAR, is_primary=True, max_length=32)
    schema.add_field("row", kinds.INT64)
    for name in ("id", "title", "text"):
        schema.add_field(name, kinds.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("metadata", kinds.JSON)
    schema.add_field("terms", kinds.ARRAY, element_type=kinds.VARCHAR, max_length=TERM_LENGTH, max_capacity=MAX_TERMS)
    schema.add_field("numbers", kinds.JSON)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
    if parted:
        schema.add_field("part", kinds.VARCHAR, max_length=TERM_LENGTH, is_partition_key=True)
    if words:
        analyzer = {"tokenizer": "standard", "filter": ["lowercase"]}
        schema.add_field("words", kinds.VARCHAR, max_length=MAX_TEXT, enable_analyzer=True, analyzer_params=analyzer)
        schema.add_field("sparse", kinds.SPARSE_FLOAT_VECTOR)
        schema.add_function(library.Function("bm25", library.FunctionType.BM25, ["words"], ["sparse"]))
    return schema


def indexes_of(library: Any, kind: Kind, *, words: bool) -> Any:
    """The indexes of a collection."""
    indexes = library.MilvusClient.prepare_index_params()
    indexes.add_index("vector", index_type=kind.name, metric_type="IP", params=kind.build_parameters())
    if words:
        parameters = {"bm25_k1": 0.9, "bm25_b": 0.4}
        indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=parameters)
    return indexes


def properties_of(encoder: Encoder | None, parted_by: str | None, asked_kind: str = "") -> dict[str, str]:
    """The properties of a new collection."""
    properties = {
        _MARK: "" if encoder is None else encoder.fingerprint,
        _MADE_BY: json.dumps({"source": getattr(encoder, "source", ""), "profile": profile_of(encoder)}),
        NOTED["origin"]: json.dumps({"filled": {}}),
    }
    if asked_kind:
        properties[_ASKED_KIND] = asked_kind
    return properties if parted_by is None else {**properties, _PARTED_BY: parted_by}

"""Past one machine: corpora encoded in shards, stores exported, loaded and merged without encoding again."""

from __future__ import annotations

from dpr_rag.scaling.carrying import carry, origin_of
from dpr_rag.scaling.copying import copy, prove
from dpr_rag.scaling.encoding import Encoded, Shard, encode
from dpr_rag.scaling.moving import encoder_of_parts, export, load, merge, recorded
from dpr_rag.scaling.ray_cluster import encode_on_ray

__all__ = [
    "Encoded",
    "Shard",
    "carry",
    "copy",
    "encode",
    "encode_on_ray",
    "encoder_of_parts",
    "export",
    "load",
    "merge",
    "origin_of",
    "prove",
    "recorded",
]

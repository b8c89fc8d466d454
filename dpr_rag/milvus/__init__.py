"""A store in a Milvus collection: the truth is the engine's, passages, filters, scores and errors are ours."""

from __future__ import annotations

from dpr_rag.milvus.store import MilvusStore

__all__ = ["MilvusStore"]

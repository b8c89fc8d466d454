"""A store in a Milvus collection, with the passages, filters, scores and errors of all other stores."""

from __future__ import annotations

from dpr_rag.milvus.store import MilvusStore

__all__ = ["MilvusStore"]

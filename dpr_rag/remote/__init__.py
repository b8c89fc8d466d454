"""A store over HTTP: the client of ``dpr-rag serve``, and the form in which hits and errors travel."""

from __future__ import annotations

from dpr_rag.remote.retriever import RemoteRetriever
from dpr_rag.remote.store import RemoteStore

__all__ = ["RemoteRetriever", "RemoteStore"]

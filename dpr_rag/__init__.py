"""Dense passage retrieval for RAG: encode, store, index and retrieve passages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dpr_rag import forking as _forking  # noqa: F401  # its hook answers for what is used before and after
from dpr_rag._version import __version__

if TYPE_CHECKING:
    from dpr_rag.answer import Answer
    from dpr_rag.encoder import Encoder
    from dpr_rag.encoders.dual import DualEncoder
    from dpr_rag.encoders.library import LibraryEncoder
    from dpr_rag.encoders.loading import load_encoder
    from dpr_rag.errors import DprRagError
    from dpr_rag.filters import Filter
    from dpr_rag.fusion import Calibration, Diversity, Ranking, SearchRequest, Tuned
    from dpr_rag.lexical import BM25
    from dpr_rag.metadata import to_json_metadata
    from dpr_rag.milvus import MilvusStore
    from dpr_rag.passages import PRIVATE_KEY, RESERVED_KEYS, Hit, Passage, check_question
    from dpr_rag.paths import is_address, is_service
    from dpr_rag.prompting import format_passages, parse_passages
    from dpr_rag.reading.reader import Reader
    from dpr_rag.reading.reranking import Reranker
    from dpr_rag.reading.second_stage import SecondStage
    from dpr_rag.remote import RemoteRetriever, RemoteStore
    from dpr_rag.retriever import Retriever
    from dpr_rag.store import PassageStore
    from dpr_rag.stores import Store, open_store

_HOMES = {
    "PRIVATE_KEY": "passages",
    "RESERVED_KEYS": "passages",
    "Answer": "answer",
    "BM25": "lexical",
    "Calibration": "fusion",
    "Diversity": "fusion",
    "DprRagError": "errors",
    "DualEncoder": "encoders.dual",
    "Encoder": "encoder",
    "Filter": "filters",
    "Hit": "passages",
    "LibraryEncoder": "encoders.library",
    "MilvusStore": "milvus",
    "Passage": "passages",
    "PassageStore": "store",
    "Ranking": "fusion",
    "Reader": "reading.reader",
    "Reranker": "reading.reranking",
    "RemoteRetriever": "remote.retriever",
    "RemoteStore": "remote.store",
    "Retriever": "retriever",
    "SearchRequest": "fusion",
    "SecondStage": "reading.second_stage",
    "Store": "stores",
    "Tuned": "fusion",
    "check_question": "passages",
    "format_passages": "prompting",
    "is_address": "paths",
    "is_service": "paths",
    "load_encoder": "encoders.loading",
    "open_store": "stores",
    "parse_passages": "prompting",
    "to_json_metadata": "metadata",
}

__all__ = [
    "BM25",
    "PRIVATE_KEY",
    "RESERVED_KEYS",
    "Answer",
    "Calibration",
    "Diversity",
    "DprRagError",
    "DualEncoder",
    "Encoder",
    "Filter",
    "Hit",
    "LibraryEncoder",
    "MilvusStore",
    "Passage",
    "PassageStore",
    "Ranking",
    "Reader",
    "RemoteRetriever",
    "RemoteStore",
    "Reranker",
    "Retriever",
    "SearchRequest",
    "SecondStage",
    "Store",
    "Tuned",
    "__version__",
    "check_question",
    "format_passages",
    "is_address",
    "is_service",
    "load_encoder",
    "open_store",
    "parse_passages",
    "to_json_metadata",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import dpr_rag`` loads no heavy library."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

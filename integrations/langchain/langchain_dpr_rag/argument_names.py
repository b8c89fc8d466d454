"""Names of arguments and options in other vector stores and retrievers, and their names here, for error messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dpr_rag.errors import ArgumentError, nearest

_PATH = "path= (one folder is one store)"
_EMBEDDING = "embedding="
_THRESHOLD = (
    "score_threshold, a relevance from 0 to 1; as_retriever needs search_type='similarity_score_threshold' for it"
)
_MMR = "with search_type='mmr'"
_OF_THE_STORE = "a setting of the store: DPRVectorStore(..., {0}=...) or vector_store.{0} = ..., or of a DPRRetriever"
_CALIBRATED = "not needed: relevances are calibrated to the store, and score_threshold= cuts by them"
RIGHT_WORDS = {
    **dict.fromkeys(("persist_directory", "persist_dir", "folder_path", "uri", "url", "connection_string"), _PATH),
    **dict.fromkeys(("collection_name", "collection", "table_name", "index_name", "namespace"), _PATH),
    **dict.fromkeys(("embedding_function", "embedding_service", "embeddings", "embed_model", "encoder"), _EMBEDDING),
    **dict.fromkeys(("top_k", "similarity_top_k", "n_results", "limit"), "k"),
    **dict.fromkeys(("filters", "where", "pre_filter", "post_filter", "expr", "where_document"), "filter"),
    **dict.fromkeys(("metadata", "metadatas_list"), "metadatas"),
    **dict.fromkeys(("similarity_cutoff", "similarity_threshold", "min_relevance", "score_threshold"), _THRESHOLD),
    **dict.fromkeys(("relevance_score_fn", "distance_strategy", "normalize_L2"), _CALIBRATED),
    **{name: _OF_THE_STORE.format(name) for name in ("mode", "weight", "fusion")},
    **dict.fromkeys(("tenant", "tenant_id"), "fixed_filter={'tenant': ...} of DPRVectorStore"),
    **dict.fromkeys(
        ("client", "async_client", "index", "vectorstore", "vector_store"),
        "store= (an open dpr_rag.PassageStore); DPRRetriever.from_store() takes a DPRVectorStore too",
    ),
    "alpha": _OF_THE_STORE.format("weight"),
    "fetch_k": f"fetch_k {_MMR}",
    "lambda_mult": f"lambda_mult {_MMR}",
    "mmr_threshold": f"lambda_mult {_MMR}",
    "allow_dangerous_deserialization": "not needed: nothing is unpickled",
    "search_kwargs": "an argument of as_retriever(); a search takes k, filter and their like by name",
}


def refuse_unknown(
    arguments: Mapping[str, Any], known: str, other_words: Mapping[str, str] = MappingProxyType(RIGHT_WORDS)
) -> None:
    """Refuse arguments that would otherwise be ignored in silence.

    Raises:
        TypeError: There are some; where another library's word for something is known, the message has the right one.
    """
    if arguments:
        raise ArgumentError(unknown_argument(next(iter(arguments)), known, other_words))


def unknown_argument(name: str, known: str, other_words: Mapping[str, str] = MappingProxyType(RIGHT_WORDS)) -> str:
    """The message about an unknown argument: the right name for another library's word, or for a typo."""
    right = other_words.get(name)
    meant = f"; here it is {right}" if right else nearest(name, re.findall(r"[a-z_0-9]+", known))
    return f"unknown argument {name!r:.80}, expected one of {known}{meant}"


_MODE = "search_type='similarity' with mode={0!r} of DPRVectorStore or DPRRetriever"
_RANKED = {
    **dict.fromkeys(("hybrid", "semantic_hybrid", "similarity_hybrid"), _MODE.format("hybrid")),
    **dict.fromkeys(("bm25", "sparse", "keyword", "fulltext", "full_text"), _MODE.format("bm25")),
    **dict.fromkeys(("dense", "semantic", "vector", "cosine"), "search_type='similarity'"),
    **dict.fromkeys(("max_marginal_relevance", "diversity"), "search_type='mmr'"),
}
OF_A_STORE = ("similarity", "mmr", "similarity_score_threshold")
OF_A_RETRIEVER = ("similarity", "mmr")


def check_search_type(search_type: object, known: tuple[str, ...]) -> None:
    """Refuse an unknown search type, naming the right one.

    Raises:
        ArgumentError: It is none of those that are known.
    """
    if isinstance(search_type, str) and search_type in known:
        return
    name = search_type if isinstance(search_type, str) else ""
    if name == "similarity_score_threshold":
        right = "; here it is score_threshold=, with search_type='similarity'"
    else:
        right = f"; here it is {_RANKED[name]}" if name in _RANKED else nearest(name, known)
    raise ArgumentError(f"search_type is {search_type!r:.80}, expected {', '.join(map(repr, known))}{right}")

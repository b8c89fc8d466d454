"""Opening the store under the adapters: in a folder, or at an address."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.embeddings.dpr_rag.foreign import encoder_of

from dpr_rag import Encoder, Store
from dpr_rag.arguments import kind
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import FilledStore, filled, open_fillable
from dpr_rag.stores import is_store

AnyEncoder = Encoder | BaseEmbedding
_OPTIONS = ("index", "dtype", "bind", "timeout", "language", "token", "partition_key")
_ADVICE = "DPRRetriever(address) searches it, and nodes are added where they are stored"
ARGUMENTS = (
    "path",
    "store",
    "encoder",
    "fingerprint",
    "on_blank",
    "on_bad_text",
    "on_metadata",
    "fixed_filter",
    "create",
    "read_only",
    *_OPTIONS,
)
_PATH = "path= (one folder is one store)"
_OTHER_WORDS = {
    **dict.fromkeys(
        ("persist_directory", "persist_dir", "persist_path", "folder_path", "uri", "url", "database_name", "db_path"),
        _PATH,
    ),
    **dict.fromkeys(("collection_name", "collection", "table_name", "index_name", "namespace"), _PATH),
    **dict.fromkeys(
        ("client", "chroma_collection", "faiss_index", "table", "connection"),
        f"{_PATH}, or store= (an open PassageStore)",
    ),
    **dict.fromkeys(("tenant", "tenant_id"), "fixed_filter={'tenant': ...}"),
    **dict.fromkeys(("overwrite", "drop_old"), "not needed: adding replaces by id, and clear() empties a store"),
    **dict.fromkeys(("embed_model", "embedding", "embeddings", "embedding_function"), "encoder="),
    **dict.fromkeys(
        ("dim", "embed_dim", "dimension"), "not needed: the encoder or the first vectors fix the dimension"
    ),
    **dict.fromkeys(("similarity_top_k", "top_k", "k"), "similarity_top_k= of a retriever or of as_retriever()"),
    **dict.fromkeys(("mode", "query_mode"), "mode= of a DPRRetriever, or vector_store_query_mode= of as_retriever()"),
    **dict.fromkeys(
        ("hybrid_search", "enable_hybrid", "enable_sparse"),
        "not needed: words are always indexed; ask with the mode 'hybrid'",
    ),
    **dict.fromkeys(("score_threshold", "similarity_cutoff", "min_relevance"), "min_relevance= of a DPRRetriever"),
}


def refuse_unknown(names: Iterable[str], known: Iterable[str], other_words: Mapping[str, str]) -> None:
    """Refuse the first argument that is unknown, with the right word for it where another library's word is known.

    Raises:
        TypeError: There is one.
    """
    for name in names:
        right = f"; here it is {other_words[name]}" if name in other_words else ""
        raise ArgumentError(f"unknown argument {name!r}, expected one of {', '.join(known)}{right}")


def open_store(
    path: str | os.PathLike[str] | None,
    encoder: AnyEncoder | None,
    fingerprint: str | None = None,
    *,
    create: bool = True,
    read_only: bool = False,
    **options: Any,
) -> FilledStore:
    """Open or create a store, see ``dpr_rag.fillable.open_fillable``; ``fingerprint`` names an embedding that has no name.

    Raises:
        TypeError: ``encoder`` is neither an encoder nor an embedding.
        ValueError: A fingerprint goes with something that has its own.
        EncoderMismatchError: Another encoder filled the store, or nothing names the embedding.
    """
    refuse_unknown([name for name in options if name not in _OPTIONS], ARGUMENTS, _OTHER_WORDS)
    bound = encoder_of(encoder, fingerprint)
    return open_fillable(path, bound, create=create, read_only=read_only, advice=_ADVICE, **options)


def given_or_opened(
    store: Store | None,
    path: str | os.PathLike[str] | None,
    encoder: AnyEncoder | None,
    fingerprint: str | None,
    index: str,
    options: dict[str, Any],
) -> FilledStore:
    """The open store that was given, alone; or the one that the other arguments open.

    Raises:
        ArgumentError: ``store`` is none, or was given with what opens one.
        StoreError: It is a service.
    """
    if store is None:
        return open_store(path, encoder, fingerprint, index=index, **options)
    opening = (path, encoder, fingerprint, options or None, None if str(index) == "auto" else index)
    if any(argument is not None for argument in opening):
        raise ArgumentError("store= is open already; give it alone, or a path with what opens it")
    if not is_store(store):
        raise ArgumentError(
            f"store is {kind(store)}, expected an open PassageStore or MilvusStore; open a folder or an address with path="
        )
    return filled(store)

"""The vector store under a retriever: given, around an open store, or opened at a path or an address."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from llama_index.retrievers.dpr_rag.services import Service
from llama_index.retrievers.dpr_rag.settings import NAMES
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.opening import ARGUMENTS, AnyEncoder, refuse_unknown

from dpr_rag import DualEncoder, RemoteStore, Store, is_address, is_service
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import is_fillable
from dpr_rag.stores import is_store

_ARGUMENTS = ("store", "encoder", "read_only", "token", *NAMES, "callback_manager", "object_map", "objects", "verbose")
_OF_A_STORE = tuple(name for name in ARGUMENTS if name not in ("path", "store", "encoder"))
_OTHER_WORDS = {
    **dict.fromkeys(
        ("index", "vector_store", "path", "persist_dir"), "store, the first argument, as index.vector_store"
    ),
    **dict.fromkeys(("embed_model", "embedding", "embeddings"), "encoder="),
    **dict.fromkeys(("top_k", "k", "n_results"), "similarity_top_k="),
    **dict.fromkeys(("vector_store_query_mode", "query_mode", "search_type"), "mode="),
    **dict.fromkeys(("filter", "where"), "filters= (MetadataFilters)"),
    **dict.fromkeys(("similarity_cutoff", "score_threshold"), "min_relevance="),
    **dict.fromkeys(("vector_store_kwargs", "mmr_threshold"), "diversity= (dpr_rag.Diversity) and min_relevance="),
}


def refuse_other_words(names: Iterable[str]) -> None:
    """Refuse arguments that a ``DPRRetriever`` does not know.

    Raises:
        TypeError: There is one; the message has the right word where other retrievers' word for it is known.
    """
    refuse_unknown(names, _ARGUMENTS, _OTHER_WORDS)


def parted(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the store that a retriever is made with, and its own.

    Raises:
        ArgumentError: One is neither.
    """
    of_store = {name: value for name, value in arguments.items() if name in _OF_A_STORE}
    of_retriever = {name: value for name, value in arguments.items() if name not in of_store}
    refuse_unknown([name for name in of_retriever if name not in _ARGUMENTS], (*_ARGUMENTS, *_OF_A_STORE), _OTHER_WORDS)
    return of_store, of_retriever


def as_vector_store(
    store: DPRVectorStore | Store | str | os.PathLike[str] | None,
    encoder: AnyEncoder | None,
    read_only: bool,
    *,
    words_only: bool,
    token: str | None,
) -> DPRVectorStore | Service:
    """See ``DPRRetriever``; nodes come whole from a service, too.

    Raises:
        TypeError: It is none of the three.
        ValueError: What goes with a path was given with something else.
        StoreNotFoundError: There is no store at the path.
    """
    if token is not None and not is_address(store):
        raise ArgumentError("token= goes with the address of a service or of a Milvus, and this is none; leave it out")
    is_given = isinstance(store, DPRVectorStore) or is_store(store)
    if not is_given and not is_service(store):
        if not isinstance(store, str | os.PathLike):
            raise ArgumentError(
                f"store is {type(store).__name__}, expected a path, a dpr_rag.PassageStore, or a DPRVectorStore of this "
                "package; an index has it under .vector_store, another framework's adapter its PassageStore under .store"
            )
        if encoder is None and not words_only:
            encoder = DualEncoder.default()
        return DPRVectorStore(store, encoder=encoder, create=False, read_only=read_only, token=token)
    if encoder is not None or read_only:
        raise ArgumentError("encoder= and read_only= go with a path; the store was opened with its own")
    if isinstance(store, str):
        return Service(RemoteStore(store, token=token, private=True))
    if isinstance(store, DPRVectorStore):
        return store
    opened = cast(Store, store)
    if isinstance(opened, RemoteStore):
        return Service(opened.with_private())
    return DPRVectorStore(store=opened) if is_fillable(opened) else Service(opened)

"""The vector store under a retriever: given, around a ``PassageStore``, or opened at a path."""

from __future__ import annotations

import os

from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.opening import AnyEncoder

from dpr_rag import DualEncoder, PassageStore


def as_vector_store(
    store: DPRVectorStore | PassageStore | str | os.PathLike[str],
    encoder: AnyEncoder | None,
    read_only: bool,
    *,
    words_only: bool,
) -> DPRVectorStore:
    """See ``DPRRetriever``.

    Raises:
        TypeError: It is none of the three.
        ValueError: What goes with a path was given with something else.
        StoreNotFoundError: There is no store at the path.
    """
    if not isinstance(store, DPRVectorStore | PassageStore):
        if not isinstance(store, str | os.PathLike):
            raise TypeError(
                f"store is {type(store).__name__}, expected a path, a dpr_rag.PassageStore, or a DPRVectorStore of this "
                "package; another framework's adapter has its PassageStore under .store"
            )
        if encoder is None and not words_only:
            encoder = DualEncoder.default()
        return DPRVectorStore(store, encoder=encoder, create=False, read_only=read_only)
    if encoder is not None or read_only:
        raise ValueError("encoder= and read_only= go with a path; the store was opened with its own")
    return store if isinstance(store, DPRVectorStore) else DPRVectorStore(store=store)

"""Opening a store, in a folder or at an address, with what a user passes as ``embedding``."""

from __future__ import annotations

import os
from typing import Any

from dpr_rag import DualEncoder, Encoder
from dpr_rag.errors import EncoderMismatchError
from dpr_rag.fillable import FilledStore, open_fillable
from langchain_dpr_rag.foreign import EmbeddingsEncoder

_ADVICE = "DPRRetriever.from_store(address) searches it, and documents are added where they are stored"


def open_store(
    path: str | os.PathLike[str] | None, encoder: Encoder | None, *, create: bool, read_only: bool, **options: Any
) -> FilledStore:
    """Open or create a store, see ``dpr_rag.fillable.open_fillable``; None takes the default encoder.

    Raises:
        ValueError: Nothing can be opened without a path, and nothing may be created.
        StoreNotFoundError: There is none at the path, and none was to be created.
    """
    chosen = DualEncoder.default() if encoder is None else encoder
    if path is None and isinstance(chosen, EmbeddingsEncoder) and not chosen.is_named:
        chosen = EmbeddingsEncoder(chosen.embeddings, "nameless, as no other process will ask")
    return open_at(path, chosen, create=create, read_only=read_only, **options)


def open_at(path: str | os.PathLike[str] | None, encoder: Encoder | None, **options: Any) -> FilledStore:
    """Open the store in a folder or a Milvus, also under the name that a cache gave its embeddings in earlier versions.

    Raises:
        EncoderMismatchError: Something else embedded its passages, or nothing names the embeddings.
    """
    try:
        return open_fillable(path, encoder, advice=_ADVICE, **options)
    except EncoderMismatchError as error:
        if not isinstance(encoder, EmbeddingsEncoder) or not encoder.is_named:
            raise
        if encoder.former is not None:
            try:
                return open_fillable(path, encoder.former, advice=_ADVICE, **options)
            except EncoderMismatchError:
                pass
        raise EncoderMismatchError(
            f"{error}; where it is the same model under another name, pass fingerprint= with the name in the store"
        ) from error

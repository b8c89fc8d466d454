"""Opening a store with what a user passes as ``embedding``."""

from __future__ import annotations

import os
from typing import Any

from dpr_rag import DualEncoder, Encoder, PassageStore
from dpr_rag.errors import ArgumentError, EncoderMismatchError
from langchain_dpr_rag.foreign import EmbeddingsEncoder


def open_store(
    path: str | os.PathLike[str] | None, encoder: Encoder | None, *, create: bool, read_only: bool, **options: Any
) -> PassageStore:
    """Open or create a store, temporary without a path; None takes the default encoder.

    Args:
        path: The store's folder, or None.
        encoder: What the store is bound to.
        create: Make a store where there is none.
        read_only: Refuse every change, and create nothing.
        **options: Further arguments of ``PassageStore.open``; a temporary store takes ``index`` and ``dtype``.

    Raises:
        ValueError: Nothing can be opened without a path, and nothing may be created.
        StoreNotFoundError: There is none at the path, and none was to be created.
    """
    if path is None and (read_only or not create):
        raise ArgumentError("create=False and read_only=True are for a store that exists; give its path")
    chosen = DualEncoder.default() if encoder is None else encoder
    if path is not None:
        return open_folder(path, chosen, create=create, read_only=read_only, **options)
    if isinstance(chosen, EmbeddingsEncoder) and not chosen.is_named:
        chosen = EmbeddingsEncoder(chosen.embeddings, "nameless, as no other process will ask")
    return PassageStore.temporary(encoder=chosen, **options)


def open_folder(
    path: str | os.PathLike[str],
    encoder: Encoder | None,
    **options: Any,
) -> PassageStore:
    """Open the store in a folder, also under the name that a cache gave its embeddings in earlier versions.

    Raises:
        EncoderMismatchError: Something else embedded its passages, or nothing names the embeddings.
    """
    try:
        return PassageStore.open(path, encoder=encoder, **options)
    except EncoderMismatchError as error:
        if not isinstance(encoder, EmbeddingsEncoder) or not encoder.is_named:
            raise
        if encoder.former is not None:
            try:
                return PassageStore.open(path, encoder=encoder.former, **options)
            except EncoderMismatchError:
                pass
        raise EncoderMismatchError(
            f"{error}; where it is the same model under another name, pass fingerprint= with the name in the store"
        ) from error

"""Opening the ``PassageStore`` under the adapters."""

from __future__ import annotations

import os
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.embeddings.dpr_rag.foreign import encoder_of

from dpr_rag import Encoder, PassageStore

AnyEncoder = Encoder | BaseEmbedding


def open_store(
    path: str | os.PathLike[str] | None, encoder: AnyEncoder | None, fingerprint: str | None = None, **options: Any
) -> PassageStore:
    """Open or create the store at a path, or make a temporary one.

    Args:
        path: The store's folder, or None.
        encoder: What the store is bound to, if anything.
        fingerprint: The name of an embedding that has none itself.
        **options: Further arguments of ``PassageStore.open``.

    Raises:
        TypeError: ``encoder`` is neither an encoder nor an embedding.
        ValueError: A fingerprint goes with something that has its own.
        EncoderMismatchError: Another encoder filled the store, or nothing names the embedding.
    """
    bound = encoder_of(encoder, fingerprint)
    if path is None:
        return PassageStore.temporary(encoder=bound, **options)
    return PassageStore.open(path, encoder=bound, **options)

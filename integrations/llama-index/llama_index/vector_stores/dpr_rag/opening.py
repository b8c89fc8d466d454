"""Opening the ``PassageStore`` under the adapters."""

from __future__ import annotations

import os
from typing import Any

from llama_index.embeddings.dpr_rag import DPREmbedding

from dpr_rag import Encoder, PassageStore

AnyEncoder = Encoder | DPREmbedding


def open_store(path: str | os.PathLike[str] | None, encoder: AnyEncoder | None, **options: Any) -> PassageStore:
    """Open or create the store at a path, or make a temporary one.

    Args:
        path: The store's folder, or None.
        encoder: What the store is bound to, if anything.
        **options: Further arguments of ``PassageStore.open``.

    Raises:
        TypeError: ``encoder`` does not fit ``dpr_rag.Encoder``.
    """
    bound = encoder.encoder if isinstance(encoder, DPREmbedding) else encoder
    if bound is not None and not isinstance(bound, Encoder):
        raise TypeError(
            f"encoder is {type(bound).__name__} {bound!r:.60}, expected a dpr_rag.Encoder or a DPREmbedding; leave it out "
            "where another embedding model makes the vectors"
        )
    return (
        PassageStore.temporary(encoder=bound, **options)
        if path is None
        else PassageStore.open(path, encoder=bound, **options)
    )

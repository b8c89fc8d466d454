"""Adds documents with asynchronous embeddings, without a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dpr_rag import Passage
from dpr_rag.arguments import check_count
from dpr_rag.errors import StoreError
from dpr_rag.fillable import FilledStore
from langchain_dpr_rag.foreign import EmbeddingsEncoder


async def add_awaited(
    store: FilledStore, encoder: EmbeddingsEncoder, passages: Sequence[Passage], batch_size: int
) -> None:
    """Add passages batch by batch as ``PassageStore.add`` does, embedded by ``aembed_documents``.

    Nothing but the store works in a thread, so that none waits for the event loop. What is stored already is not embedded
    again, and keeps its place.

    Raises:
        StoreError: ``batch_size`` is no integer of at least 1.
        PassageError: An id comes twice with different contents; nothing is stored then.
    """
    size = check_count("batch_size", batch_size, StoreError)
    store.private.check_repeats(passages)
    for start in range(0, len(passages), size):
        batch = passages[start : start + size]
        stored = {
            passage.id: (passage.title, passage.text)
            for passage in await asyncio.to_thread(store.get, [p.id for p in batch])
        }
        changed = (passage for passage in batch if stored.get(passage.id) != (passage.title, passage.text))
        lacking = list({passage.id: passage for passage in changed}.values())
        if lacking:
            vectors = await encoder.aencode_passages(lacking)
            await asyncio.to_thread(store.add, lacking, vectors=vectors)
        added = {passage.id for passage in lacking}
        await asyncio.to_thread(store.add, [passage for passage in batch if passage.id not in added])

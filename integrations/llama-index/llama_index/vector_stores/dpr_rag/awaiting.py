"""Adds nodes with asynchronous embeddings, without a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.embeddings.dpr_rag.foreign import EmbeddingEncoder
from llama_index.vector_stores.dpr_rag.adding import passage_of
from llama_index.vector_stores.dpr_rag.converting import OnMetadata
from llama_index.vector_stores.dpr_rag.earlier import earlier_of
from llama_index.vector_stores.dpr_rag.nodes import OnBadText
from llama_index.vector_stores.dpr_rag.querying import ranking_of, words_of

from dpr_rag import Passage
from dpr_rag.arguments import is_blank
from dpr_rag.fillable import FilledStore


async def embedded(
    store: FilledStore, nodes: Sequence[BaseNode], on_bad_text: OnBadText, on_metadata: OnMetadata
) -> list[list[float] | None]:
    """One embedding per node: its own, or that of ``aget_text_embedding_batch`` where the store has to have one.

    None stands where the node is stored already, is blank, or the store's encoder has no asynchronous side of its own.
    """
    vectors = [node.embedding for node in nodes]
    encoder = store.encoder
    if isinstance(encoder, EmbeddingEncoder):
        lacking = await asyncio.to_thread(_lacking, store, nodes, on_bad_text, on_metadata)
        if lacking:
            rows = (await encoder.aencode_passages(list(lacking.values()))).tolist()
            vectors = [dict(zip(lacking, rows, strict=True)).get(at, vector) for at, vector in enumerate(vectors)]
    return vectors


def _lacking(
    store: FilledStore, nodes: Sequence[BaseNode], on_bad_text: OnBadText, on_metadata: OnMetadata
) -> dict[int, Passage]:
    """Passages that have no vector yet, by the place of their nodes; equal ids count once, as equal nodes do."""
    wanted = {
        at: passage_of(store, node, on_bad_text, on_metadata)
        for at, node in enumerate(nodes)
        if node.embedding is None and not is_blank(node.get_content(metadata_mode=MetadataMode.NONE))
    }
    bare = {at: passage for at, passage in wanted.items() if passage is not None}
    store.private.check_repeats(bare.values())
    stored = {passage.id: (passage.title, passage.text) for passage in store.get([one.id for one in bare.values()])}
    earlier = earlier_of(store, list(bare.values()))
    return {
        at: passage
        for at, passage in bare.items()
        if stored.get(passage.id) != (passage.title, passage.text) and passage.id not in earlier
    }


async def with_embedding(store: FilledStore, query: VectorStoreQuery) -> VectorStoreQuery:
    """The query with the embedding of its words by ``aget_query_embedding``, where vectors are needed and it has none."""
    encoder, words = store.encoder, words_of(query.query_str)
    if not isinstance(encoder, EmbeddingEncoder) or not words or query.query_embedding is not None:
        return query
    ranking = await asyncio.to_thread(ranking_of, store, query)
    if not ranking.needs_vectors:
        return query
    return replace(query, query_embedding=(await encoder.aencode_questions([words]))[0].tolist())

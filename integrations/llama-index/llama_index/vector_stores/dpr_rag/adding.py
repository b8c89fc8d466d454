"""Adding nodes to a ``PassageStore``: with their embeddings, or encoded by the store; blank ones never."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.vector_stores.dpr_rag.nodes import to_passage

from dpr_rag import PassageStore

_log = logging.getLogger(__name__)
OnBlank = Literal["skip", "error"]


def add_nodes(store: PassageStore, nodes: Sequence[BaseNode], vectors: Sequence[Any], on_blank: OnBlank) -> list[str]:
    """Add nodes with one vector each, where None asks the store's encoder for it.

    All nodes are checked before the first is stored; then batch after batch is committed.

    Returns:
        The ids of those that are stored now.

    Raises:
        ValueError: A node is blank and ``on_blank`` is ``error``, or lacks a vector where the store has no encoder.
        PassageError: Metadata that are not JSON.
        VectorError: A vector of another dimension, or with NaN or infinite values.
    """
    filled = _without_blank(nodes, vectors, on_blank)
    lacking = [node.node_id for node, vector in filled if vector is None]
    if lacking and store.encoder is None:
        raise ValueError(
            f"node {lacking[0]!r} has no embedding and the store no encoder; embed the nodes, or open the store with encoder="
        )
    passages = [(to_passage(node), vector) for node, vector in filled]
    given = [(passage, vector) for passage, vector in passages if vector is not None]
    if given:
        store.add([passage for passage, _ in given], vectors=[vector for _, vector in given])
    if lacking:
        store.add([passage for passage, vector in passages if vector is None])
    return [passage.id for passage, _ in passages]


def _without_blank(nodes: Sequence[BaseNode], vectors: Sequence[Any], on_blank: OnBlank) -> list[tuple[BaseNode, Any]]:
    """Loaders of PDF files emit a node for a page without text; its vector would be near to any question."""
    texts = [node.get_content(metadata_mode=MetadataMode.NONE).strip() for node in nodes]
    blank = [node.node_id for node, text in zip(nodes, texts, strict=True) if not text]
    if blank and on_blank == "error":
        raise ValueError(
            f"node {blank[0]!r} has no text, and {len(blank)} of {len(nodes)} have none; drop them, or on_blank='skip'"
        )
    if blank:
        _log.warning("%d of %d nodes have no text and were skipped, the first is %r", len(blank), len(nodes), blank[0])
    return [(node, vector) for node, vector, text in zip(nodes, vectors, texts, strict=True) if text]

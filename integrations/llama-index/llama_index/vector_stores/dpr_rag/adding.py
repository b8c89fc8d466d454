"""Adding nodes to a store: with their embeddings, or encoded by the store; blank ones never."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.vector_stores.dpr_rag.converting import OnMetadata, converted
from llama_index.vector_stores.dpr_rag.earlier import earlier_of
from llama_index.vector_stores.dpr_rag.nodes import OnBadText, keeping_hash, to_passage

from dpr_rag import Passage
from dpr_rag.arguments import is_blank
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import FilledStore

_log = logging.getLogger(__name__)
OnBlank = Literal["skip", "error"]


def checked(on_blank: OnBlank, on_bad_text: OnBadText, on_metadata: OnMetadata) -> dict[str, Any]:
    """The three policies, unless one of them is none."""
    if not isinstance(on_blank, str) or on_blank not in ("skip", "error"):
        raise ArgumentError(f"on_blank is {on_blank!r:.80}, expected 'skip' or 'error'")
    if not isinstance(on_bad_text, str) or on_bad_text not in ("error", "replace", "skip"):
        raise ArgumentError(f"on_bad_text is {on_bad_text!r:.80}, expected 'error', 'replace' or 'skip'")
    if not isinstance(on_metadata, str) or on_metadata not in ("error", "convert"):
        raise ArgumentError(f"on_metadata is {on_metadata!r:.80}, expected 'error' or 'convert'")
    return {"on_blank": on_blank, "on_bad_text": on_bad_text, "on_metadata": on_metadata}


def add_nodes(
    store: FilledStore,
    nodes: Sequence[BaseNode],
    vectors: Sequence[Any],
    on_blank: OnBlank,
    on_bad_text: OnBadText = "error",
    on_metadata: OnMetadata = "error",
) -> list[str]:
    """Add nodes with one vector each, where None asks the store's encoder for it.

    All nodes are checked before the first is stored; then batch after batch is committed. A node whose id nobody chose
    takes the place of one that is the same and has such an id as well, as a second run of a script brings it.

    Returns:
        The ids of those that are stored now.

    Raises:
        ValueError: A node is blank and ``on_blank`` is ``error``, or lacks a vector where the store has no encoder.
        PassageError: Metadata that are not JSON, or an id that comes twice with different contents.
        VectorError: A vector of another dimension, or with NaN or infinite values.
    """
    filled = _without_blank(nodes, vectors, on_blank)
    bare = [node.node_id for node, vector in filled if vector is None]
    if bare and store.encoder is None:
        raise ArgumentError(
            f"node {bare[0]!r} has no embedding and the store no encoder; embed the nodes, or open the store with encoder="
        )
    passages_or_none = [passage_of(store, node, on_bad_text, on_metadata) for node, _ in filled]
    if bad := [node.node_id for passage, (node, _) in zip(passages_or_none, filled, strict=True) if passage is None]:
        _log.warning(
            "%d of %d nodes hold lone surrogates and were skipped, the first is %r", len(bad), len(nodes), bad[0]
        )
    filled = [pair for passage, pair in zip(passages_or_none, filled, strict=True) if passage is not None]
    passages = [passage for passage in passages_or_none if passage is not None]
    store.private.check_repeats(passages)
    earlier = earlier_of(store, passages)
    ready = _with_stored(store, [vector for _, vector in filled], passages, earlier)
    pairs = [(passage, vector) for passage, vector in zip(passages, ready, strict=True) if vector is not None]
    lacking = [passage for passage, vector in zip(passages, ready, strict=True) if vector is None]
    if pairs:
        rows = [vector for _, vector in pairs]
        store.private.add([passage for passage, _ in pairs], vectors=rows, instead=earlier)
    if lacking:
        store.private.add(lacking, instead=earlier)
    return [passage.id for passage in passages]


def passage_of(store: FilledStore, node: BaseNode, on_bad_text: OnBadText, on_metadata: OnMetadata) -> Passage | None:
    """A node as the passage that is stored of it, or None where it is skipped."""
    passage = to_passage(converted(node) if on_metadata == "convert" else node, on_bad_text)
    return None if passage is None or is_blank(passage.text) else keeping_hash(store.admitted(passage), node)


def _with_stored(
    store: FilledStore, vectors: Sequence[Any], passages: Sequence[Passage], earlier: Mapping[str, Sequence[str]]
) -> list[Any]:
    """The vectors, and those stored for the same texts where none was given: a text that is stored is not encoded again."""
    lacking = [passage.id for passage, vector in zip(passages, vectors, strict=True) if vector is None]
    stored_vectors = store.get_vectors(earlier[passage_id][0] for passage_id in lacking if passage_id in earlier)
    return [
        stored_vectors.get(earlier[passage.id][0]) if vector is None and passage.id in earlier else vector
        for passage, vector in zip(passages, vectors, strict=True)
    ]


def _without_blank(nodes: Sequence[BaseNode], vectors: Sequence[Any], on_blank: OnBlank) -> list[tuple[BaseNode, Any]]:
    """Loaders of PDF files emit a node for a page without text; its vector would be near to any question."""
    blanks = [is_blank(node.get_content(metadata_mode=MetadataMode.NONE)) for node in nodes]
    blank = [node.node_id for node, is_one in zip(nodes, blanks, strict=True) if is_one]
    if blank and on_blank == "error":
        raise ArgumentError(
            f"node {blank[0]!r} has no text, and {len(blank)} of {len(nodes)} have none; drop them, or on_blank='skip'"
        )
    if blank:
        _log.warning("%d of %d nodes have no text and were skipped, the first is %r", len(blank), len(nodes), blank[0])
    return [(node, vector) for node, vector, is_one in zip(nodes, vectors, blanks, strict=True) if not is_one]

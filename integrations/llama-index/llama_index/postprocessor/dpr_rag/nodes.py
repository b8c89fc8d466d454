"""Nodes as hits that a reranker reads, and back, with new scores and the answers in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from dpr_rag import Hit, Passage
from dpr_rag.arguments import check_each, is_blank, iterated
from dpr_rag.errors import ArgumentError

ANSWER_KEY = "dpr_answer"
"""Metadata key of a node under which stands the answer in it, where a reader found one."""


def hits_of(nodes: Sequence[NodeWithScore]) -> list[Hit]:
    """The nodes with text, each under its place as the id; where one has no finite score, the places count instead."""
    filled = [(at, node, text) for at, node in enumerate(nodes) if not is_blank(text := _text_of(node))]
    scores: list[Any] = [node.score for _, node, _ in filled]
    if not all(score is not None and math.isfinite(score) for score in scores):
        scores = [-math.log(rank) for rank in range(1, len(filled) + 1)]
    pairs = zip(filled, scores, strict=True)
    return [
        Hit(_passage_of(at, node, text), float(score), rank) for rank, ((at, node, text), score) in enumerate(pairs, 1)
    ]


def nodes_given(nodes: object) -> list[NodeWithScore]:
    """What a retriever found, as a list.

    Raises:
        ArgumentError: It is no list, or one is no node with a score.
    """
    form = "give what a retriever returns, or NodeWithScore(node=node) for each, in a list"
    if isinstance(nodes, NodeWithScore):  # whose fields pydantic iterates
        raise ArgumentError(f"nodes is one NodeWithScore, expected several; {form}")
    listed = list(iterated("nodes", nodes, "a list of nodes with scores", error=ArgumentError, advice=form))
    check_each("node", listed, NodeWithScore, "a NodeWithScore", advice=form)
    return listed


def judged(scored_node: NodeWithScore, hit: Hit) -> NodeWithScore:
    """A node with its new score; a copy of it where an answer goes into its metadata, or one of another question out of it."""
    if hit.answer is None:
        return without_answer(scored_node, hit.score)
    node = scored_node.node.model_copy()
    node.metadata = {**_other_metadata(node), ANSWER_KEY: asdict(hit.answer)}
    for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
        setattr(node, name, list(dict.fromkeys([*getattr(node, name), ANSWER_KEY])))
    return NodeWithScore(node=node, score=hit.score)


def without_answer(scored_node: NodeWithScore, score: float | None) -> NodeWithScore:
    """A node in which no answer was found with its new score; a copy of it where one of another question is in it."""
    node = scored_node.node
    if ANSWER_KEY in node.metadata:
        node = node.model_copy()
        node.metadata = _other_metadata(node)
    return NodeWithScore(node=node, score=score)


def _other_metadata(node: BaseNode) -> dict[str, Any]:
    return {key: value for key, value in node.metadata.items() if key != ANSWER_KEY}


def _text_of(scored_node: NodeWithScore) -> str:
    return scored_node.node.get_content(metadata_mode=MetadataMode.NONE)


def _passage_of(at: int, scored_node: NodeWithScore, text: str) -> Passage:
    title = scored_node.node.metadata.get("title")
    passage = Passage.made(str(at), text, title if isinstance(title, str) else "", on_bad_text="replace")
    if passage is None:
        raise ArgumentError(f"node {scored_node.node.node_id!r:.120} holds no text; leave it out")
    return passage

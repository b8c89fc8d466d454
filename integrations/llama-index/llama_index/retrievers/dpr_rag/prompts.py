"""Nodes as text for a prompt, inside delimiters that no node can forge."""

from __future__ import annotations

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from dpr_rag import Passage, format_passages
from dpr_rag.arguments import is_blank


class DelimitPassages(BaseNodePostprocessor):
    """Puts every node's text between delimiters, numbered from 1; the last of a query engine's postprocessors.

    A node's text could otherwise end its context and go on with instructions of its own. Here ``&``, ``<``, ``>`` and
    ``"`` inside a node are written as in XML (``dpr_rag.format_passages``); metadata other than the title, and blank nodes,
    stay out of the prompt. Ids, scores and metadata of the source nodes stay as they are.
    """

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises the class."""
        return "DelimitPassages"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        filled = [node for node in nodes if not is_blank(node.node.get_content(metadata_mode=MetadataMode.NONE))]
        return [_delimited(number, node) for number, node in enumerate(filled, start=1)]


def _delimited(number: int, scored_node: NodeWithScore) -> NodeWithScore:
    metadata, title = scored_node.node.metadata, scored_node.node.metadata.get("title")
    passage = Passage(
        scored_node.node.node_id,
        scored_node.node.get_content(metadata_mode=MetadataMode.NONE),
        title if isinstance(title, str) else "",
    )
    node = TextNode(
        id_=scored_node.node.node_id,
        text=format_passages([passage], start=number),
        metadata=metadata,
        relationships=scored_node.node.relationships,
        excluded_llm_metadata_keys=list(metadata),
        excluded_embed_metadata_keys=list(metadata),
    )
    return NodeWithScore(node=node, score=scored_node.score)

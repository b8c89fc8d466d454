"""Converts metadata that are not JSON, of nodes, their relations, and documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llama_index.core.schema import BaseNode, RelatedNodeInfo
from llama_index.vector_stores.dpr_rag.keyvalue import DPRKeyValueStore, Value

from dpr_rag import to_json_metadata
from dpr_rag.errors import PassageError

OnMetadata = Literal["error", "convert"]


def converted(node: BaseNode) -> BaseNode:
    """A copy of a node whose metadata are JSON, see ``dpr_rag.to_json_metadata``.

    Raises:
        PassageError: Something in them has no JSON form.
    """
    return with_json_relations(node.model_copy(update={"metadata": _of(node, node.metadata)}))


def with_json_relations(node: BaseNode) -> BaseNode:
    """A copy of a node that names what it is related to with metadata that are JSON, as splitters copy them from documents.

    Raises:
        PassageError: Something in them has no JSON form.
    """
    if not any(_infos(related) for related in node.relationships.values()):
        return node
    relationships = {
        kind: [_info(node, relation) for relation in related] if isinstance(related, list) else _info(node, related)
        for kind, related in node.relationships.items()
    }
    return node.model_copy(update={"relationships": relationships})


def _infos(related: RelatedNodeInfo | list[RelatedNodeInfo]) -> bool:
    return any(relation.metadata for relation in (related if isinstance(related, list) else [related]))


def _info(node: BaseNode, info: RelatedNodeInfo) -> RelatedNodeInfo:
    return info.model_copy(update={"metadata": _of(node, info.metadata)})


def _of(node: BaseNode, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return to_json_metadata(metadata)
    except PassageError as error:
        raise PassageError(f"node {node.node_id!r:.120}: {error}") from error


class ConvertingKeyValueStore(DPRKeyValueStore):
    """A key-value store for documents whose metadata are made JSON; their hashes remain those of what was given."""

    def put_all(self, kv_pairs: list[tuple[str, Value]], *args: Any, **kwargs: Any) -> None:
        """Put values under keys in one commit."""
        super().put_all([(key, _with_json_metadata(value)) for key, value in kv_pairs], *args, **kwargs)

    def put(self, key: str, val: Value, *args: Any, **kwargs: Any) -> None:
        """Put a value under a key."""
        super().put(key, _with_json_metadata(val), *args, **kwargs)


def _with_json_metadata(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_json_metadata(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: to_json_metadata(item) if key == "metadata" and isinstance(item, Mapping) else _with_json_metadata(item)
        for key, item in value.items()
    }

"""Recognises equal nodes with different random ids by their contents."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import BaseNode

_LEFT_OUT = ("relationships", "title_at", "start_char_idx", "end_char_idx")


def is_random(node_id: str) -> bool:
    """Whether an id is of the form of ``str(uuid.uuid4())``."""
    try:
        parsed = uuid.UUID(node_id)
    except ValueError:
        return False
    return parsed.version == 4 and str(parsed) == node_id


def mark_of(node: BaseNode, text: str, fields: Mapping[str, Any]) -> str | None:
    """What nodes with random ids share exactly if they say the same: text, metadata, templates and source.

    The source is the source document's id; where that is random too, the hash of its content.

    Args:
        node: The node.
        text: Its text.
        fields: What else is stored of it, without ids, text and metadata.

    Returns:
        The mark, or None where somebody chose the node's id.
    """
    if not is_random(node.node_id):
        return None
    own_fields = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    if is_random(str(own_fields.get("index_id", ""))):
        del own_fields["index_id"]
    source = node.source_node
    origin = (
        None
        if source is None
        else ("hash", source.hash)
        if is_random(source.node_id) and source.hash
        else source.node_id
    )
    try:
        content = json.dumps([text, node.metadata, own_fields, origin], sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return None  # no JSON: the passage made of it says what is wrong
    return f"={hashlib.sha256(content.encode()).hexdigest()}"

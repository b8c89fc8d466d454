"""Checks of the arguments of LlamaIndex's methods: nodes, ids and questions."""

from __future__ import annotations

import os
from typing import Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from dpr_rag.arguments import check_count, check_each, iterated, kind, remedy
from dpr_rag.errors import ArgumentError, PathError, VectorError


def nodes_given(nodes: object) -> list[BaseNode]:
    """Nodes as a list.

    Raises:
        ArgumentError: They are no list, or one is no node.
    """
    form = "give TextNode(text=…), or the documents of an index, in a list"
    if isinstance(nodes, BaseNode):
        raise ArgumentError(f"nodes is one {type(nodes).__name__}, expected several; wrap it in a list")
    listed = list(iterated("nodes", nodes, "a list of nodes", error=ArgumentError, advice=form))
    check_each("node", listed, BaseNode, "one of LlamaIndex's nodes", advice=form)
    return listed


def ids_given(name: str, ids: object) -> list[str]:
    """Ids as a list.

    Raises:
        ArgumentError: They are no list of strings.
    """
    wrap = f"wrap it as [{ids!r:.60}]" if isinstance(ids, str) else "give the ids in a list"
    listed = list(iterated(name, ids, "a list of ids", error=ArgumentError, advice=wrap))
    for node_id in listed:
        id_given(name, node_id)
    return listed


def id_given(name: str, node_id: object) -> str:
    """An id.

    Raises:
        ArgumentError: It is no string.
    """
    if not isinstance(node_id, str):
        advice = (
            "give its .node_id"
            if isinstance(node_id, BaseNode)
            else remedy(node_id, several="give one string for each")
        )
        raise ArgumentError(f"{name}: an id is {kind(node_id)}, expected a string; {advice}")
    return node_id


def query_given(query: object) -> VectorStoreQuery:
    """A query whose numbers count nodes.

    Raises:
        ArgumentError: It is none.
        VectorError: A number of nodes is none.
    """
    if not isinstance(query, VectorStoreQuery):
        raise ArgumentError(
            f"query is {kind(query)}, expected a VectorStoreQuery; give VectorStoreQuery(query_str=…), or ask a DPRRetriever"
        )
    for name in ("similarity_top_k", "sparse_top_k", "hybrid_top_k"):
        value: Any = getattr(query, name)
        if value is not None or name == "similarity_top_k":
            check_count(name, value, VectorError, least=0)
    for name in ("node_ids", "doc_ids"):
        if getattr(query, name) is not None:
            ids_given(name, getattr(query, name))
    return query


def path_given(path: object) -> str:
    """A path as text.

    Raises:
        PathError: It is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise PathError(
            f"path is {kind(path)}, expected the store's folder as a string or a pathlib.Path; pass its path"
        )
    return os.fsdecode(path)

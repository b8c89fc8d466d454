"""Checks keyword arguments of a vector store's methods; unknown ones raise an error instead of being ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpr_rag.errors import ArgumentError, nearest

# what an index gives its transformations and its vector store alike: insert(document, show_progress=True)
_OF_TRANSFORMATIONS = ("show_progress", "excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
_ON_OPENING = "{0}= of DPRVectorStore(path, ...)"
_OTHER_WORDS = {
    **dict.fromkeys(("ids", "node_ids"), "the id_ of each node, as in TextNode(id_=...)"),
    **dict.fromkeys(("embeddings", "vectors"), "the embedding of each node"),
    **dict.fromkeys(("metadatas", "metadata"), "the metadata of each node"),
    **dict.fromkeys(("embed_model", "embedding", "encoder"), "encoder= of DPRVectorStore(path, ...)"),
    **dict.fromkeys(
        ("collection_name", "table_name", "index_name", "namespace", "partition_name"),
        "the path of DPRVectorStore(path): one folder is one store",
    ),
    **{name: _ON_OPENING.format(name) for name in ("on_blank", "on_bad_text", "on_metadata", "fixed_filter")},
    **dict.fromkeys(
        ("batch_size", "insert_batch_size", "chunk_size", "parallel"), "not needed: nodes are stored in batches"
    ),
    **dict.fromkeys(("allow_update", "overwrite", "upsert"), "not needed: adding replaces by id"),
    "use_async": "await async_add(nodes)",
    "delete_from_docstore": "an argument of an index; DPRVectorStore.docstore deletes documents as well",
}
_DELETING = {
    **dict.fromkeys(("filters", "filter", "where"), "delete_nodes(filters=...)"),
    **dict.fromkeys(("node_ids", "ids"), "delete_nodes(node_ids)"),
    **dict.fromkeys(("ref_doc_ids", "doc_ids", "doc_id"), "delete(ref_doc_id), once for each"),
    "delete_all": "clear()",
}
_OF_NODES = {
    **dict.fromkeys(("filter", "where"), "filters= (MetadataFilters)"),
    **dict.fromkeys(("ids", "doc_ids"), "node_ids="),
    "ref_doc_id": "delete(ref_doc_id)",
    "delete_all": "clear()",
}


def check_adding(method: str, arguments: Mapping[str, Any]) -> None:
    """Refuse unknown arguments of :meth:`DPRVectorStore.add`; those that an index passes to transformations are ignored.

    Raises:
        ArgumentError: There is such an argument.
    """
    _refuse(method, [name for name in arguments if name not in _OF_TRANSFORMATIONS], ("nodes",), _OTHER_WORDS)


def check_deleting(arguments: Mapping[str, Any]) -> None:
    """The same for ``delete``.

    Raises:
        ArgumentError: There is such an argument.
    """
    _refuse("delete", list(arguments), ("ref_doc_id",), {**_OTHER_WORDS, **_DELETING})


def check_deleting_nodes(arguments: Mapping[str, Any]) -> None:
    """The same for ``delete_nodes``.

    Raises:
        ArgumentError: There is such an argument.
    """
    _refuse("delete_nodes", list(arguments), ("node_ids", "filters"), {**_OTHER_WORDS, **_DELETING, **_OF_NODES})


def _refuse(method: str, names: list[str], known: tuple[str, ...], elsewhere: Mapping[str, str]) -> None:
    for name in names:
        right = f"; here it is {elsewhere[name]}" if name in elsewhere else nearest(name, known)
        raise ArgumentError(f"unknown argument {name!r:.80}, {method}() takes {' and '.join(known)}{right}")

"""Nodes as passages and back, without loss and without a second copy of text, metadata or embedding."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    TextNode,
)
from llama_index.vector_stores.dpr_rag.converting import with_json_relations
from llama_index.vector_stores.dpr_rag.twins import mark_of

from dpr_rag import PRIVATE_KEY, RESERVED_KEYS, Passage
from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError
from dpr_rag.filters import HIDDEN_ID, And, Comparison, Filter, Not, Or, kept_field

TITLE = "title"
SOURCE, _ITSELF = kept_field("source"), kept_field("itself")
_log = logging.getLogger(__name__)
_CLASSES: tuple[type[BaseNode], ...] = (ImageDocument, Document, ImageNode, IndexNode, TextNode, Node)
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
OnBadText = Literal["error", "replace", "skip"]
_HASHES = "hashes"
_KEPT_ELSEWHERE = {"id_", "text", "metadata", "embedding"}


def to_passage(node: BaseNode, on_bad_text: OnBadText = "error") -> Passage | None:
    """A node as a passage, or None where it is skipped for its lone surrogates, see ``Passage.made``.

    ``metadata["title"]``, where it is a non-empty string, moves into the passage's title. What LlamaIndex needs besides
    text and metadata stands under ``PRIVATE_KEY`` as ``["node:<id>", "source:<ref_doc_id>", [<JSON>]]``; the second is
    what filters select by. A node without a source document is its own, as for ``IngestionPipeline``, and has
    ``"itself:<id>"`` there. Where nobody chose the node's id, a mark follows by which it is recognised (``mark_of``).

    Raises:
        PassageError: Blank text, metadata that is not JSON, or metadata under one of ``RESERVED_KEYS``.
    """
    metadata = dict(node.metadata)
    for key in RESERVED_KEYS:
        if key in metadata:
            raise PassageError(f"node {node.node_id!r}: the metadata key {key!r} is reserved; rename it")
    title, private = metadata.get(TITLE), _private_fields(node)
    if isinstance(title, str) and title:
        private["title_at"] = list(metadata).index(TITLE)
        del metadata[TITLE]
    else:
        title = ""
    source, itself = marks_of_source(node.node_id if node.ref_doc_id is None else node.ref_doc_id)
    mark = itself if node.ref_doc_id is None else source
    stored_fields: list[Any] = [f"node:{node.node_id}", mark, [json.dumps(private, separators=(",", ":"))]]
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    twin = mark_of(node, text, private)
    stored_fields += [] if twin is None else [twin]
    return Passage.made(node.node_id, text, title, {**metadata, PRIVATE_KEY: stored_fields}, on_bad_text=on_bad_text)


def keeping_hash(passage: Passage, node: BaseNode) -> Passage:
    """A passage with the hash of the node as it was given, where it is a document and what is stored of it has another.

    Pipelines know documents by their hashes, and what is stored may differ: metadata that were converted, bad text that
    was replaced, fields of a view.
    """
    if node.ref_doc_id is not None:
        return passage
    stored = to_node(passage).hash
    try:
        node_hash = node.hash
    except UnicodeEncodeError:  # surrogates, which LlamaIndex has no hash of, so that no pipeline knows the document
        return passage
    if stored == node_hash:
        return passage
    stored_fields = list(passage.metadata[PRIVATE_KEY])
    stored_fields[2] = [json.dumps({**_stored_fields(passage), _HASHES: [node_hash, stored]}, separators=(",", ":"))]
    metadata = {**passage.metadata, PRIVATE_KEY: stored_fields}
    return Passage.checked_before(passage.id, passage.text, passage.title, metadata)


def hash_of(passage: Passage) -> str:
    """The hash of the node that was given, unless others have changed what is stored of it since."""
    now = to_node(passage).hash
    match _stored_fields(passage).get(_HASHES):
        case [str(given), str(stored)] if stored == now:
            return given
        case _:
            return now


def to_node(passage: Passage, vector: Vectors | None = None) -> BaseNode:
    """The node that a passage was, or a ``TextNode`` where no node made it; the title is back in the metadata.

    Args:
        passage: What is stored.
        vector: Its embedding, float32 [dim], for the node to bring.
    """
    node = _node_of(passage)
    if vector is not None:
        node.embedding = vector.tolist()
    return node


def _node_of(passage: Passage) -> BaseNode:
    try:
        return _restored(passage, _stored_fields(passage))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # one passage with something else under the key must not end every search that finds it
        _log.warning("passage %r has under %r what no node wrote: %s", passage.id, PRIVATE_KEY, error)
        return _restored(passage, {})


def _restored(passage: Passage, fields: dict[str, Any]) -> BaseNode:
    metadata = list(passage.visible_metadata.items())
    position = fields.pop("title_at", 0)
    fields.pop(_HASHES, None)
    if passage.title and TITLE not in passage.metadata:
        metadata.insert(position, (TITLE, passage.title))
    fields |= {"id_": passage.id, "metadata": dict(metadata)}
    for related in _related(fields):
        if related.get("metadata") is True:
            related["metadata"] = dict(metadata)
    name = fields.pop("class_name", TextNode.class_name())
    node_class = {cls.class_name(): cls for cls in _CLASSES}[name]
    if issubclass(node_class, Node):
        fields["text_resource"] = {**fields.get("text_resource", {}), "text": passage.text}
    else:
        fields["text"] = passage.text
    return node_class.from_dict(fields)


def of_nodes(node_ids: list[str]) -> Filter:
    """Select the passages that have these ids, whatever their metadata say under ``id``."""
    hidden = Comparison(HIDDEN_ID, "exists", True)
    return Or((Comparison(HIDDEN_ID, "in", node_ids), And((Not(hidden), Comparison("id", "in", node_ids)))))


def marks_of_source(ref_doc_id: str) -> tuple[str, str]:
    """What the passages of a document have beside their texts: those made from it, and the one that is it."""
    return f"source:{ref_doc_id}", f"itself:{ref_doc_id}"


def of_sources(ref_doc_ids: list[str]) -> Filter:
    """Select the passages whose nodes come from these documents, or are them, whatever their metadata say."""
    return Or((Comparison(SOURCE, "in", ref_doc_ids), Comparison(_ITSELF, "in", ref_doc_ids)))


def _private_fields(node: BaseNode) -> dict[str, Any]:
    """The fields of a node that a passage has no place for, as JSON values, without defaults."""
    fields = with_json_relations(node).model_dump(mode="json", exclude=_KEPT_ELSEWHERE, exclude_defaults=True)
    node_class = next((cls for cls in _CLASSES if isinstance(node, cls)), TextNode)
    fields = {
        "class_name": node_class.class_name(),
        **{key: value for key, value in fields.items() if value is not None},
    }
    fields["class_name"] = node_class.class_name()
    for related in _related(fields):
        related.pop("class_name", None)
        # SOURCE, PREVIOUS and NEXT mostly repeat the node's own metadata
        if repr(related.get("metadata")) == repr(node.metadata):
            related["metadata"] = True
    for name in _RESOURCES:
        _complete_resource(fields, name, getattr(node, name, None))
    return fields


def _complete_resource(fields: dict[str, Any], name: str, resource: Any) -> None:
    """Leave out the text, which the passage has, and put in the bytes, which ``model_dump`` leaves out."""
    other_fields = {key: value for key, value in (fields.pop(name, None) or {}).items() if key != "text"}
    if resource is not None and resource.data is not None:
        other_fields["data"] = resource.data.decode("ascii")
    if other_fields or (resource is not None and name != "text_resource"):
        fields[name] = other_fields


def _related(fields: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for related in fields.get("relationships", {}).values():
        listed.extend(related if isinstance(related, list) else [related])
    return listed


def _stored_fields(passage: Passage) -> dict[str, Any]:
    """What :func:`to_passage` put under ``PRIVATE_KEY``; nothing where another framework wrote the passage."""
    match passage.metadata.get(PRIVATE_KEY):
        case [str(), str(), [str(text)], *_]:
            return dict(json.loads(text))
        case _:
            return {}

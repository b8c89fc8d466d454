"""Folders that LlamaIndex persisted: nodes of ``docstore.json`` with the vectors that lie beside them, read as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpr_rag.corpora.json_files import member, parsed_of, read_json
from dpr_rag.corpora.moving import Document, chosen, moved, opened
from dpr_rag.corpora.records import Opened, Reading
from dpr_rag.corpora.values import absent
from dpr_rag.errors import CorpusError
from dpr_rag.index.foreign import read_faiss_vectors

_DOCSTORE, _INDEX_STORE, _ID_MAP = "docstore.json", "index_store.json", "id_map.json"
_VECTORS, _BETWEEN, _DEFAULT = "vector_store.json", "__", "default"
_DATA = "docstore/data"
_VECTOR_INDEXES = ("vector_store", "simple_dict", "dict")


def is_persisted(folder: Path) -> bool:
    """Whether a folder is what ``StorageContext.persist`` makes."""
    return (folder / _DOCSTORE).is_file()


def open_llama_index(folder: Path, reading: Reading) -> Opened:
    """Open a folder that LlamaIndex persisted, with the vectors of its simple store or of a FAISS one.

    Nodes that no vector index of the folder holds are left out, as LlamaIndex does not find them either. A node's title
    and metadata become the passage's; its relationships stay behind, which ``DPRVectorStore.from_llama_index`` keeps.

    Args:
        folder: What ``StorageContext.persist`` wrote; open only FAISS files that you trust.
        reading: How to read it; ``part`` is the namespace of its vector store.

    Raises:
        CorpusError: A file is missing or malformed, or vectors and nodes do not belong together.
    """
    file = folder / _DOCSTORE
    # without nodes, the file is an empty object
    nodes = member(file, read_json(file, absent) or {_DATA: {}}, _DATA, dict)
    held = _held(folder / _INDEX_STORE)
    vectors, metric = _vectors(folder, reading.part, held)
    ids = list(vectors) if vectors else list(held.values()) if held else list(nodes)
    lost = [vector_id for vector_id in ids if vector_id not in nodes]
    if lost:
        raise CorpusError(
            f"{folder}: {len(lost):,} of {len(ids):,} nodes of the index are not in {_DOCSTORE}, the first is {lost[0]!r:.120}; "
            "their texts lie in another store: move in from there, or persist the index anew"
        )
    dim = len(next(iter(vectors.values()))) if vectors else None
    documents = (_document(file, vector_id, nodes[vector_id], vectors.get(vector_id)) for vector_id in ids)
    if len(ids) < len(nodes) and reading.left_out is not None:
        reading.left_out["node that no index holds"] += len(nodes) - len(ids)
    return opened(folder, "a folder of LlamaIndex", len(ids), dim, metric, moved(folder, documents, reading))


def _document(file: Path, name: str, entry: Any, vector: Any) -> Document:
    node = entry.get("__data__") if isinstance(entry, dict) else None
    node = parsed_of(f"{file}: node {name!r:.120}: '__data__'", node, absent) if isinstance(node, str) else node
    if not isinstance(node, dict):
        raise CorpusError(
            f"{file}: node {name!r:.120}: '__data__' is {node!r:.60}, expected an object; persist the index anew"
        )
    resource = node.get("text_resource")
    text = resource.get("text") if isinstance(resource, dict) else node.get("text")
    return Document(name, text, node.get("metadata", node.get("extra_info")), vector, file)


def _held(file: Path) -> dict[str, str]:
    """From the vector store's own ids to those of nodes, over all vector indexes."""
    if not file.is_file():
        return {}
    nodes: dict[str, str] = {}
    for name, entry in member(file, read_json(file), "index_store/data", dict).items():
        data = entry.get("__data__") if isinstance(entry, dict) else None
        struct = parsed_of(f"{file}: index {name!r:.120}: '__data__'", data) if isinstance(data, str) else data
        if not isinstance(struct, dict):
            raise CorpusError(
                f"{file}: index {name!r:.120}: '__data__' is {data!r:.60}, expected an object; persist it anew"
            )
        if entry.get("__type__") in _VECTOR_INDEXES:
            nodes |= {str(own): str(node) for own, node in member(file, struct, "nodes_dict", dict).items()}
    return nodes


def _vectors(folder: Path, part: str | None, held: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Vectors by node id, and the metric that ranked them."""
    files = {
        path.name.removesuffix(_VECTORS).removesuffix(_BETWEEN) or _DEFAULT: path
        for path in sorted(folder.glob(f"*{_VECTORS}"))
    }
    if not files and part is not None:
        raise CorpusError(f"{folder}: holds no vectors, and so no collection; leave the collection {part!r:.80} out")
    if not files:
        return {}, ""
    if part is None and _DEFAULT in files:
        part = _DEFAULT
    path = files[chosen(folder, "collection", sorted(files), part)]
    with path.open("rb") as file:
        simple = file.read(1) == b"{"
    if simple:
        return member(path, read_json(path), "embedding_dict", dict), "cosine"
    rows, metric = read_faiss_vectors(path)
    ids = _by_position(path, held, len(rows))
    return {ids[at]: row for at, row in enumerate(rows)}, metric.replace("_", " ")


def _by_position(path: Path, held: Mapping[str, str], count: int) -> dict[int, str]:
    """From positions in a FAISS file to node ids, as the index or a ``FaissMapVectorStore`` recorded them."""
    id_map = path.parent / _ID_MAP
    known = member(id_map, read_json(id_map), "faiss_id_to_node_id_map", dict) if id_map.is_file() else held
    ids = {int(own): str(node) for own, node in known.items() if own.isdecimal()}
    if sorted(ids) != list(range(count)):
        raise CorpusError(
            f"{path}: {count:,} vectors, but ids of nodes for {len(ids):,} positions, not one for each; after deletions a "
            "FaissMapVectorStore cannot tell its nodes apart: build the store anew from its documents"
        )
    return ids

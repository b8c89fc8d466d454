"""Reads folders that LlamaIndex persisted: nodes and their vectors."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.index_store import SimpleIndexStore
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE, NAMESPACE_SEP, SimpleVectorStore
from llama_index.core.vector_stores.types import DEFAULT_PERSIST_FNAME
from llama_index.vector_stores.dpr_rag.checks import path_given

from dpr_rag.errors import ArgumentError, CorpusError

_log = logging.getLogger(__name__)
_DOCSTORE, _INDEX_STORE, _ID_MAP = "docstore.json", "index_store.json", "id_map.json"
_NAMED = 5
OnMissing = Literal["error", "skip"]
Vector = Sequence[float]
_Read = TypeVar("_Read")


def read_llama_index(
    persist_dir: str | os.PathLike[str], *, namespace: str = DEFAULT_VECTOR_STORE, on_missing: OnMissing = "error"
) -> tuple[list[BaseNode], list[Vector]]:
    """Read nodes and vectors, in the order in which the vectors were added.

    Args:
        persist_dir: What ``StorageContext.persist`` wrote.
        namespace: Of the vector store.
        on_missing: Whether a node of the index without a vector, or a vector without a node, is an error.

    Returns:
        Nodes and one vector for each. Nodes in the document store that no index holds are left out.

    Raises:
        ValueError: ``on_missing`` is neither of the two.
        CorpusError: A file is missing or malformed, or a vector or a node is.
    """
    if not isinstance(on_missing, str) or on_missing not in ("error", "skip"):
        raise ArgumentError(f"on_missing is {on_missing!r}, expected 'error' or 'skip'")
    folder = Path(path_given(persist_dir)).expanduser()
    nodes = _documents(folder)
    id_map = _held_by_index(folder)
    vectors, metric = _vectors(_vector_file(folder, namespace), id_map)
    if namespace == DEFAULT_VECTOR_STORE:
        expected = list(nodes) if id_map is None else list(id_map.values())
        _demand(folder, "node", "vector", [node_id for node_id in expected if node_id not in vectors], on_missing)
    _demand(folder, "vector", "node", [node_id for node_id in vectors if node_id not in nodes], on_missing)
    common = [node_id for node_id in vectors if node_id in nodes]
    _warn_of_ranking(folder, metric, [vectors[node_id] for node_id in common])
    return [nodes[node_id] for node_id in common], [vectors[node_id] for node_id in common]


def _documents(folder: Path) -> dict[str, BaseNode]:
    path = folder / _DOCSTORE
    if not path.is_file():
        raise CorpusError(f"{path}: there is no such file; give a folder that StorageContext.persist wrote")
    return _read(path, lambda name: SimpleDocumentStore.from_persist_path(name).docs)


def _held_by_index(folder: Path) -> dict[str, str] | None:
    """From the vector store's own ids to those of nodes, over all vector indexes; None where none was persisted."""
    path = folder / _INDEX_STORE
    if not path.is_file():
        return None
    structs = _read(path, lambda name: SimpleIndexStore.from_persist_path(name).index_structs())
    vector_indexes = [struct for struct in structs if isinstance(struct, IndexDict)]
    if not vector_indexes:
        return None
    return {own_id: node for struct in vector_indexes for own_id, node in struct.nodes_dict.items()}


def _read(path: Path, reader: Callable[[str], _Read]) -> _Read:
    try:
        return reader(str(path))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorpusError(f"{path}: not what LlamaIndex writes ({error!r:.200}); persist the index anew") from error


def _vector_file(folder: Path, namespace: str) -> Path:
    named_file = folder / f"{namespace}{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
    # before namespaces there was one file, without a prefix
    old = folder / DEFAULT_PERSIST_FNAME
    for path in (named_file, old) if namespace == DEFAULT_VECTOR_STORE else (named_file,):
        if path.is_file():
            return path
    file_names = ", ".join(sorted(path.name for path in folder.glob(f"*{DEFAULT_PERSIST_FNAME}"))) or "none"
    raise CorpusError(f"{named_file}: there is no such file; vector stores in that folder: {file_names}")


def _vectors(path: Path, id_map: dict[str, str] | None) -> tuple[dict[str, Vector], str]:
    """Vectors by node id, and the metric that ranked them."""
    with path.open("rb") as file:
        is_json = file.read(1) == b"{"
    if is_json:
        return dict(_read(path, SimpleVectorStore.from_persist_path).data.embedding_dict), "cosine"
    from dpr_rag.corpora import read_faiss_vectors

    rows, metric = read_faiss_vectors(path)
    ids = _by_position(path, id_map, len(rows))
    return {ids[at]: row for at, row in enumerate(rows)}, metric


def _by_position(path: Path, recorded: dict[str, str] | None, count: int) -> dict[int, str]:
    """From positions in a FAISS file to node ids, as the index or a ``FaissMapVectorStore`` recorded them."""
    id_map, node_ids = path.parent / _ID_MAP, recorded or {}
    if id_map.is_file():
        node_ids = _read(
            id_map, lambda name: dict(json.loads(Path(name).read_text("utf-8"))["faiss_id_to_node_id_map"])
        )
    ids = {int(position): node for position, node in node_ids.items() if position.isdecimal()}
    if sorted(ids) != list(range(count)):
        raise CorpusError(
            f"{path}: {count} vectors, but ids of nodes for {len(ids)} positions, not one for each; after deletions a "
            "FaissMapVectorStore cannot tell its nodes apart: build the store anew from its documents"
        )
    return ids


def _demand(folder: Path, present: str, absent: str, ids: list[str], on_missing: OnMissing) -> None:
    if not ids:
        return
    shown = ", ".join(repr(node_id) for node_id in ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
    if on_missing == "error":
        raise CorpusError(
            f"{folder}: {len(ids)} {present}s have no {absent}: {shown}; persist the index anew, or leave them out with "
            "on_missing='skip'"
        )
    _log.warning("%s: %d %ss have no %s and were left out: %s", folder, len(ids), present, absent, shown)


def _warn_of_ranking(folder: Path, metric: str, vectors: Sequence[Vector]) -> None:
    """Cosine, L2 and inner product agree on vectors of one length alone."""
    lengths = [math.hypot(*vector) for vector in vectors]
    if metric != "inner_product" and lengths and max(lengths) > 1.01 * min(lengths):
        _log.warning(
            "%s: ranked by %s so far, and by inner product from now on, which differs for these vectors of lengths %.3g to "
            "%.3g",
            folder,
            metric,
            min(lengths),
            max(lengths),
        )

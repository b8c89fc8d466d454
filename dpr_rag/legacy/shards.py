"""DPR's pickled embedding shards, and what LangChain's FAISS folders and Chroma's segments pickle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import CorpusError
from dpr_rag.legacy.allowance import Allowance
from dpr_rag.legacy.plain import plain
from dpr_rag.legacy.refusals import TRUSTED
from dpr_rag.legacy.standins import Kept
from dpr_rag.legacy.times import times_table
from dpr_rag.legacy.unpickler import PickleReader, read_pickle

_LANGCHAIN = {
    f"{module}.{name}": Kept
    for module, name in (
        ("langchain_community.docstore.in_memory", "InMemoryDocstore"),
        ("langchain.docstore.in_memory", "InMemoryDocstore"),
        ("langchain_core.documents.base", "Document"),
        ("langchain.docstore.document", "Document"),
        ("langchain.schema.document", "Document"),
        ("langchain.schema", "Document"),
    )
}

_OWN = (
    "If it stands in metadata of your own, convert those in LangChain with dpr_rag.to_json_metadata and call save_local "
    "again; if not, use a file from a trusted source"
)
_CHROMA = "chromadb.segment.impl.vector.local_persistent_hnsw.PersistentData"


def read_embeddings(path: str | Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Read one shard of DPR's ``generate_dense_embeddings.py``, a pickled list of (id, vector), or Tevatron's (vectors, ids).

    The shard is held in memory, since pickle knows no other way; DPR writes shards of a few hundred thousand.

    Args:
        path: A shard.

    Yields:
        The passage's id as a string, prefixes such as ``wiki:`` included, and its vector, float32 of shape [dim].

    Raises:
        UnsafeFileError: The file asks for more than arrays and plain containers.
        CorpusError: It is truncated, damaged, or holds something else than pairs of id and vector.
    """
    path = Path(path)
    records, allowance = _read(path)
    made: Iterable[Any] = ()
    if isinstance(records, tuple):
        made = _zipped(path, plain(records, path, allowance))
    elif isinstance(records, list):
        made = (plain(record, path, allowance) for record in records)
    else:
        raise CorpusError(
            f"{path}: holds {type(records).__name__}, expected a pickled list of (id, vector), or a pair of vectors and ids"
        )
    for at, pair in enumerate(made):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise CorpusError(f"{path}: record {at} is {type(pair).__name__}, expected a pair of id and vector")
        name, vector = pair
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            what = repr(name) if name == "" else type(name).__name__
            raise CorpusError(f"{path}: the id of record {at} is {what}, expected a string or an integer")
        if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind != "f":
            raise CorpusError(f"{path}: the vector of record {at} is no array of floats of shape [dim]")
        yield str(name), vector.astype(np.float32, copy=False)


def _zipped(path: Path, pair: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """The ids and vectors of Tevatron's pair: an array of shape [n, dim], and n ids."""
    vectors, ids = pair if len(pair) == 2 else (None, None)
    if isinstance(ids, np.ndarray):
        ids = ids.tolist()
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or not isinstance(ids, list | tuple):
        raise CorpusError(
            f"{path}: holds a tuple, expected a pair of vectors of shape [n, dim] and their ids, as Tevatron writes"
        )
    if len(ids) != len(vectors):
        raise CorpusError(f"{path}: {len(ids):,} ids for {len(vectors):,} vectors; encode the corpus anew")
    return list(zip(ids, vectors, strict=True))


def _read(
    path: Path, allowed: Mapping[str, Callable[..., object]] | None = None, *, remedy: str = TRUSTED
) -> tuple[Any, Allowance]:
    try:
        with path.open("rb") as file:
            allowance = Allowance(os.fstat(file.fileno()).st_size)
            return read_pickle(PickleReader(file, allowance, allowed=allowed), path, remedy=remedy), allowance
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def read_langchain_docstore(path: str | Path) -> tuple[dict[str, dict[str, Any]], dict[int, str]]:
    """Read the ``index.pkl`` of a folder that LangChain's FAISS store saved, without building any of its classes.

    Args:
        path: The ``index.pkl``.

    Returns:
        Documents by their id, each with ``id``, ``page_content`` and ``metadata``; and the document's id for each
        row of the FAISS index beside it.

    Raises:
        UnsafeFileError: The file asks for more than text, numbers, arrays, plain containers, dates and times.
        CorpusError: It is truncated, damaged or no such file.
    """
    path = Path(path)
    described, allowance = _read(path, _LANGCHAIN | times_table(), remedy=_OWN)
    value = plain(described, path, allowance, remedy=_OWN)
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(item, dict) for item in value):
        raise CorpusError(f"{path}: holds {type(value).__name__}, expected LangChain's pair of docstore and row ids")
    store, rows = value
    documents = store.get("_dict")
    if None in rows.values():  # as LangChain writes it for all documents without ids, of which it keeps the last
        raise CorpusError(
            f"{path}: some documents have ids and others none, of which LangChain keeps one; give all documents ids, or none, "
            "and make the store anew"
        )
    ids = isinstance(documents, dict) and all(isinstance(key, str | int) for key in (*documents, *rows.values()))
    if not ids or not all(isinstance(key, int) for key in rows):
        raise CorpusError(
            f"{path}: the docstore or the row ids have another form than LangChain writes; call save_local again"
        )
    return {str(key): _document(key, item, path) for key, item in documents.items()}, {
        row: str(key) for row, key in rows.items()
    }


def _document(key: object, state: object, path: Path) -> dict[str, Any]:
    fields = state.get("__dict__", state) if isinstance(state, dict) else None
    if not isinstance(fields, dict) or not isinstance(fields.get("page_content"), str):
        raise CorpusError(f"{path}: document {key!r:.60} has no 'page_content'")
    own = fields.get("id") or key
    if not isinstance(own, str | int):
        raise CorpusError(f"{path}: the id of document {key!r:.60} is a {type(own).__name__}, expected a string")
    return {
        "id": str(own),
        "page_content": fields["page_content"],
        "metadata": fields.get("metadata") or {},
    }


def read_chroma_labels(path: str | Path) -> tuple[dict[str, int], int | None]:
    """Read the ``index_metadata.pickle`` of a Chroma segment: a dict, or in older versions an object that is not built.

    Args:
        path: The file.

    Returns:
        For each id the label of its vector in the HNSW files beside it; and the last operation that they hold, where this
        file says it.

    Raises:
        UnsafeFileError: The file asks for more than numbers, strings and plain containers.
        CorpusError: It is truncated, damaged or no such file.
    """
    path = Path(path)
    described, allowance = _read(path, {_CHROMA: Kept})
    value = plain(described, path, allowance)
    fields = value.get("__dict__", value) if isinstance(value, dict) else {}
    labels, last = fields.get("id_to_label"), fields.get("max_seq_id")
    if not isinstance(labels, dict) or not all(isinstance(key, str) and type(at) is int for key, at in labels.items()):
        raise CorpusError(f"{path}: holds no labels of ids as Chroma writes them; fetch the folder again")
    return labels, last if type(last) is int else None

"""Reading the folders that LangChain's own FAISS store saves."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

from dpr_rag.arguments import kind
from dpr_rag.corpora import read_langchain_folder
from dpr_rag.encoder import Vectors
from dpr_rag.errors import CorpusError, PathError

_ALIKE = 1.01
_log = logging.getLogger(__name__)


def folder_of(path: object) -> Path:
    """The folder that a path names.

    Raises:
        PathError: It is no path, or empty.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise PathError(f"folder is {kind(path)}, expected the folder that save_local wrote; pass its path")
    return Path(os.fsdecode(path)).expanduser()


def read_folder(folder: Path, index_name: str) -> tuple[list[Document], Vectors]:
    """Documents and their vectors, float32 [n, dim], in the order of the FAISS index.

    Raises:
        UnsafeFileError: The pickle asks for more than documents with plain metadata.
        CorpusError: A file is missing or damaged, or they do not belong together.
    """
    if Path(index_name).name != index_name:
        raise CorpusError(f"index_name is {index_name!r}, expected the name of a file inside {folder}")
    passages, vectors, metric = read_langchain_folder(folder, index_name)
    _compare_metrics(folder, vectors, metric)
    documents = [Document(id=passage.id, page_content=passage.text, metadata=passage.metadata) for passage in passages]
    return documents, vectors


def _compare_metrics(folder: Path, vectors: Vectors, metric: str) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    of_one_length = not len(lengths) or lengths.max() <= _ALIKE * lengths.min()
    if metric == "other" or (metric == "l2" and not of_one_length):
        _log.warning(
            "%s was searched by %s; ranked by inner product, some of its vectors may change places", folder, metric
        )

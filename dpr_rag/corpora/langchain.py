"""What LangChain's own stores save: folders of its FAISS store, and the JSON that its InMemoryVectorStore dumps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dpr_rag.corpora.json_files import read_json
from dpr_rag.corpora.moving import Document, chosen, moved, opened
from dpr_rag.corpora.records import Opened, Reading
from dpr_rag.corpora.values import absent
from dpr_rag.encoder import Vectors
from dpr_rag.errors import CorpusError
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.legacy import read_langchain_docstore

_DUMPED = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"vector"\s*:\s*\[')
_HEAD = 4096


def is_faiss_folder(folder: Path) -> bool:
    """Whether a folder is what LangChain's FAISS store saves: ``index.faiss`` and ``index.pkl``, or other such a pair."""
    return bool(_names(folder))


def is_dump(file: Path) -> bool:
    """Whether a file is what ``InMemoryVectorStore.dump`` writes."""
    try:
        with file.open("rb") as stream:
            return _DUMPED.match(stream.read(_HEAD)) is not None
    except OSError:
        return False  # the reader says why


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.faiss") if path.with_suffix(".pkl").is_file())


def open_langchain(path: Path, reading: Reading) -> Opened:
    """Open a folder of LangChain's FAISS store, or a dump of its InMemoryVectorStore; nothing is unpickled.

    Args:
        path: The folder, of which only FAISS files that you trust should be opened; or the file.
        reading: How to read it; ``part`` is the ``index_name`` of a folder with several.

    Raises:
        UnsafeFileError: The pickle asks for more than documents with plain metadata.
        CorpusError: A file is missing or malformed, or the two of a folder do not belong together.
    """
    if path.is_file():
        return _open_dump(path, reading)
    name = chosen(path, "index", _names(path), reading.part)
    documents, vectors, metric = read_langchain_folder(path, name)
    dim = vectors.shape[1] if len(vectors) else None
    return opened(
        path,
        "a folder of LangChain's FAISS store",
        len(documents),
        dim,
        metric.replace("_", " "),
        moved(path, documents, reading),
    )


def read_langchain_folder(folder: Path, name: str) -> tuple[list[Document], Vectors, str]:
    """Read documents and vectors of a folder that LangChain's FAISS store saved, in the order of the FAISS index.

    Args:
        folder: The folder; open only FAISS files that you trust.
        name: The ``index_name``.

    Returns:
        The documents, their vectors, float32 [n, dim], and the metric: ``inner_product``, ``l2`` or ``other``.

    Raises:
        UnsafeFileError: The pickle asks for more than documents with plain metadata.
        CorpusError: A file is missing or damaged, or they do not belong together.
    """
    vectors, metric = read_faiss_vectors(folder / f"{name}.faiss")
    pickled = folder / f"{name}.pkl"
    stored, rows = read_langchain_docstore(pickled)
    if sorted(rows) != list(range(len(vectors))):
        raise CorpusError(
            f"{folder}: the index has {len(vectors)} vectors, the document store {len(rows)}; save it anew"
        )
    ids = [rows[row] for row in range(len(vectors))]
    lost = [doc_id for doc_id in ids if doc_id not in stored]
    if lost:
        raise CorpusError(
            f"{folder}: {len(lost)} vectors have lost their documents, the first is {lost[0]!r}; save it anew"
        )
    documents = [
        Document(doc_id, stored[doc_id]["page_content"], stored[doc_id]["metadata"], vector, pickled)
        for doc_id, vector in zip(ids, vectors, strict=True)
    ]
    return documents, vectors, metric


def _open_dump(file: Path, reading: Reading) -> Opened:
    if reading.part is not None:
        raise CorpusError(f"{file}: is one store; leave {reading.part!r:.80} out")
    entries = list(_entries(file))
    first = entries[0].vector if entries else None
    dim = len(first) if isinstance(first, list) else None
    return opened(
        file, "a dump of LangChain's InMemoryVectorStore", len(entries), dim, "cosine", moved(file, entries, reading)
    )


def _entries(file: Path) -> Iterator[Document]:
    for key, entry in read_json(file, absent).items():
        if not isinstance(entry, dict):
            raise CorpusError(
                f"{file}: document {key!r:.120} is {entry!r:.60}, expected an object with id, vector, text and metadata; dump "
                "the store anew"
            )
        yield Document(entry.get("id") or key, entry.get("text"), entry.get("metadata"), entry.get("vector"), file)

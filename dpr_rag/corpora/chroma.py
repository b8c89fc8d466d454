"""Reads Chroma folders: ids, documents and metadata of a collection from ``chroma.sqlite3``."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dpr_rag.corpora.chroma_vectors import ChromaVectors, number_of_operation
from dpr_rag.corpora.moving import Document, chosen, moved, opened
from dpr_rag.corpora.records import Found, Opened, Reading
from dpr_rag.errors import CorpusError

_DATABASE = "chroma.sqlite3"
_TABLES = {"collections", "segments", "embeddings", "embedding_metadata", "embeddings_queue", "max_seq_id"}
_ARRAYS = "embedding_metadata_array"
_TEXT, _URI = "chroma:document", "chroma:uri"
_SPACES = {"l2": "l2", "ip": "inner product", "cosine": "cosine"}
_CONFIGURATIONS = ("config_json_str", "schema_str")
# both are JSON whose structure changes with the version; the first one is that of the vectors of documents
_SPACE = re.compile(r'"space"\s*:\s*"(\w+)"')
_VALUES = "key, string_value, int_value, float_value, bool_value"


@dataclass(frozen=True, slots=True)
class _Collection:
    """A row of Chroma's table of collections.

    Attributes:
        id: Its id.
        name: What users call it.
        dim: Components of its vectors, None before the first.
        metadata_segment: Id of the segment that holds its documents.
        vector_segment: Id of the segment that holds its vectors, and name of their folder.
    """

    id: str
    name: str
    dim: int | None
    metadata_segment: str
    vector_segment: str


def is_chroma(folder: Path) -> bool:
    """Whether a folder is what Chroma's ``PersistentClient`` keeps."""
    return (folder / _DATABASE).is_file()


def open_chroma(folder: Path, reading: Reading) -> Opened:
    """Open one collection of a Chroma folder, which should not be written to meanwhile.

    A document's ``title`` in the metadata becomes the passage's. Vectors come out of the HNSW files and, as far as they are
    not there yet, of the queue of operations; they are searched by inner product from now on.

    Args:
        folder: What ``chromadb.PersistentClient(path=…)`` was given.
        reading: How to read it; ``part`` is the name of the collection.

    Raises:
        CorpusError: The database or a file of vectors is damaged, or of a form that is not known, or there are several
            collections and none was named.
        UnsafeFileError: A pickled file asks for more than numbers, strings and plain containers.
    """
    file = folder / _DATABASE
    with _database(file) as database:
        known = _collections(database)
        collection = known[chosen(folder, "collection", sorted(known), reading.part)]
        _refuse_unfinished(file, database, collection)
        (count,) = database.execute(
            "SELECT count(*) FROM embeddings WHERE segment_id = ?", (collection.metadata_segment,)
        ).fetchone()
        space = _space(database, collection)
    return opened(
        folder,
        f"the collection {collection.name} of a Chroma folder",
        count,
        collection.dim if count else None,
        space,
        _found(file, collection, reading),
    )


def _found(file: Path, collection: _Collection, reading: Reading) -> Iterator[Found]:
    with _database(file) as database:
        vectors = None
        if reading.vectors:
            unit = _space(database, collection) == _SPACES["cosine"]
            vectors = ChromaVectors(
                database, file, collection.id, collection.vector_segment, collection.dim or 0, unit=unit
            )
        yield from moved(file.parent, _documents(file, database, collection, vectors), reading)


def _documents(
    file: Path, database: sqlite3.Connection, collection: _Collection, vectors: ChromaVectors | None
) -> Iterator[Document]:
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(embedding_metadata)")}
    values = _VALUES if "bool_value" in columns else _VALUES.replace("bool_value", "NULL")
    arrays = _has_rows(database, _ARRAYS)
    rows = database.execute(
        f"SELECT embeddings.id, embedding_id, {values} FROM embeddings LEFT JOIN embedding_metadata USING (id) "
        "WHERE segment_id = ? ORDER BY embeddings.id",
        (collection.metadata_segment,),
    )
    for (row, name), entries in groupby(rows, lambda record: record[:2]):
        metadata = {key: _value(*value) for _, _, key, *value in entries if key is not None}
        if arrays:
            metadata |= _arrays(database, row)
        text = metadata.pop(_TEXT, None)
        if _URI in metadata:
            metadata["uri"] = metadata.pop(_URI)
        yield Document(name, text, metadata, None if vectors is None else vectors.of(name), file)


def _value(text: Any, integer: Any, number: Any, truth: Any) -> Any:
    if truth is not None:
        return bool(truth)
    return next((value for value in (text, integer, number) if value is not None), None)


def _arrays(database: sqlite3.Connection, row: int) -> dict[str, list[Any]]:
    arrays: dict[str, list[Any]] = {}
    for key, *value in database.execute(f"SELECT {_VALUES} FROM {_ARRAYS} WHERE id = ? ORDER BY rowid", (row,)):
        arrays.setdefault(key, []).append(_value(*value))
    return arrays


def _has_rows(database: sqlite3.Connection, table: str) -> bool:
    known = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return known is not None and database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _collections(database: sqlite3.Connection) -> dict[str, _Collection]:
    rows = database.execute(
        "SELECT collections.id, name, dimension, metadata.id, vectors.id FROM collections "
        "JOIN segments AS metadata ON metadata.collection = collections.id AND metadata.scope = 'METADATA' "
        "JOIN segments AS vectors ON vectors.collection = collections.id AND vectors.scope = 'VECTOR' "
        "ORDER BY name"
    )
    collections: dict[str, _Collection] = {}
    for row in rows:
        # databases of several tenants may have collections of one name
        collections[row[1] if row[1] not in collections else f"{row[1]} ({row[0]})"] = _Collection(row[0], *row[1:])
    return collections


def _space(database: sqlite3.Connection, collection: _Collection) -> str:
    """The similarity or distance of a collection: an entry of its metadata, or in newer versions of its configuration."""
    row = database.execute(
        "SELECT str_value FROM collection_metadata WHERE collection_id = ? AND key = 'hnsw:space'", (collection.id,)
    ).fetchone()
    if row:
        return _SPACES.get(row[0], "another measure")
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(collections)")} & set(_CONFIGURATIONS)
    for column in sorted(columns):
        (text,) = database.execute(f"SELECT {column} FROM collections WHERE id = ?", (collection.id,)).fetchone()
        match = _SPACE.search(text or "")
        if match:
            return _SPACES.get(match[1], "another measure")
    return "l2"


def _refuse_unfinished(file: Path, database: sqlite3.Connection, collection: _Collection) -> None:
    """Refuse a collection whose documents lag behind the queue of operations, as a killed process leaves it."""
    row = database.execute(
        "SELECT seq_id FROM max_seq_id WHERE segment_id = ?", (collection.metadata_segment,)
    ).fetchone()
    done = number_of_operation(row[0]) if row else -1
    (last,) = database.execute(
        "SELECT max(seq_id) FROM embeddings_queue WHERE topic LIKE '%/' || ?", (collection.id,)
    ).fetchone()
    if last is not None and last > done:
        raise CorpusError(
            f"{file}: operations on the collection {collection.name!r:.120} wait in the queue, from {done + 1:,} to {last:,}; "
            "open it once with chromadb, which works them off, and close it"
        )


@contextmanager
def _database(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database read-only, so that its schema cannot make SQLite run anything."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _TABLES:
                raise CorpusError(
                    f"{file}: has no tables {', '.join(sorted(_TABLES - tables))}, which Chroma 0.4 and later make; open it with "
                    "a newer chromadb first, which migrates it"
                )
            yield database
    except sqlite3.Error as error:
        raise CorpusError(
            f"{file}: cannot be read as Chroma's database ({error}); close Chroma, or fetch the folder again"
        ) from error

"""Folders as Chroma keeps them, tiny: its tables, HNSW files and pickles, written by hand after those of chromadb 1.5."""

from __future__ import annotations

import json
import pickle
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = """
CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT, dimension INTEGER, database_id TEXT, config_json_str TEXT);
CREATE TABLE collection_metadata (collection_id TEXT, key TEXT, str_value TEXT, int_value INTEGER, float_value REAL);
CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT, scope TEXT, collection TEXT);
CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id BLOB);
CREATE TABLE embedding_metadata (id INTEGER, key TEXT, string_value TEXT, int_value INTEGER, float_value REAL,
    bool_value INTEGER, PRIMARY KEY (id, key));
CREATE TABLE embedding_metadata_array (id INTEGER, key TEXT, string_value TEXT, int_value INTEGER, float_value REAL,
    bool_value INTEGER);
CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id INTEGER);
CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER, topic TEXT, id TEXT, vector BLOB, encoding TEXT,
    metadata TEXT);
"""
INTO = tuple(f"INSERT INTO embedding_metadata{ending} VALUES (?, ?, ?, ?, ?, ?)" for ending in ("", "_array"))  # noqa: S608
ADD, UPDATE, UPSERT, DELETE = range(4)


class PersistentData:
    """What chromadb 0.4 to 0.6 pickle beside the HNSW files, where 1.0 and later write a dict."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__ |= fields


PersistentData.__module__ = "chromadb.segment.impl.vector.local_persistent_hnsw"


@dataclass
class Collection:
    """A collection to be written.

    Attributes:
        name: Its name.
        documents: By id, with the metadata; ``chroma:document`` is the text.
        indexed: By id, the vectors of the HNSW files.
        queue: Operations behind those, with id and vector.
        space: What ranks it.
    """

    name: str
    documents: dict[str, dict[str, Any]]
    indexed: dict[str, Sequence[float]] = field(default_factory=dict)
    queue: Sequence[tuple[int, str, Sequence[float] | None]] = ()
    space: str = "l2"


def write_chroma(folder: Path, *collections: Collection, dim: int = 2, old: bool = False) -> Path:
    """Write a folder of collections; ``old`` pickles as chromadb 0.4 did."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "chroma.sqlite3") as database:
        database.executescript(SCHEMA)
        for one in collections:
            _write(database, folder, one, dim, old)
    database.close()
    return folder


def _write(database: sqlite3.Connection, folder: Path, one: Collection, dim: int, old: bool) -> None:
    texts, vectors = f"{one.name}-texts", f"{one.name}-vectors"
    config = json.dumps({"hnsw": {"space": one.space}})
    database.execute("INSERT INTO collections VALUES (?, ?, ?, 'd', ?)", (f"id-{one.name}", one.name, dim, config))
    for name, scope in ((texts, "METADATA"), (vectors, "VECTOR")):
        database.execute("INSERT INTO segments VALUES (?, '', ?, ?)", (name, scope, f"id-{one.name}"))
    for name, metadata in one.documents.items():
        row = database.execute("INSERT INTO embeddings VALUES (NULL, ?, ?, 0)", (texts, name)).lastrowid
        for key, value in metadata.items():
            for item in value if isinstance(value, list) else [value]:
                database.execute(INTO[isinstance(value, list)], (row, key, *_typed(item)))
    first = database.execute("SELECT count(*) + 100 FROM embeddings_queue").fetchone()[0]
    for number, (operation, name, vector) in enumerate(one.queue, first):
        data = None if vector is None else np.array(vector, "<f4").tobytes()
        topic = f"persistent://default/default/id-{one.name}"
        row = (number, operation, topic, name, data, "FLOAT32" if data else None)
        database.execute("INSERT INTO embeddings_queue VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
    database.execute("INSERT INTO max_seq_id VALUES (?, ?)", (texts, first + len(one.queue)))
    if one.indexed:
        database.execute("INSERT INTO max_seq_id VALUES (?, ?)", (vectors, first - 1))
        write_hnsw(folder / vectors, one.indexed, dim, old)


def _typed(value: Any) -> tuple[Any, ...]:
    kinds = (str, int, float, bool)
    return tuple(value if type(value) is kind else None for kind in kinds)


def write_hnsw(folder: Path, vectors: dict[str, Sequence[float]], dim: int, old: bool) -> None:
    """Write the files of hnswlib, the last vector first: labels and rows are no one order."""
    folder.mkdir()
    links = 4 + 32 * 4
    size = links + 4 * dim + 8
    header = struct.pack(
        "<i6qiI3qdq", 1, 0, 100, len(vectors), size, links + 4 * dim, links, 0, 0, 16, 32, 16, 0.36, 100
    )
    (folder / "header.bin").write_bytes(header)
    labels = {name: at for at, name in enumerate(vectors, 1)}
    rows = [
        bytes(links) + np.array(vectors[name], "<f4").tobytes() + struct.pack("<Q", labels[name]) for name in labels
    ]
    (folder / "data_level0.bin").write_bytes(b"".join(reversed(rows)))
    fields = {"dimensionality": dim, "total_elements_added": len(vectors), "max_seq_id": None, "id_to_label": labels}
    with (folder / "index_metadata.pickle").open("wb") as file:
        pickler = pickle.Pickler(file, 4)
        if old:
            file.write(_pickled_object(fields))
        else:
            pickler.dump(fields)


def _pickled_object(fields: dict[str, Any]) -> bytes:
    """The pickle of a ``PersistentData``, whose module is not there for ``pickle`` to look up."""
    module, name = PersistentData.__module__, "PersistentData"
    state = pickle.dumps(fields, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b")\x81" + state + b"b."

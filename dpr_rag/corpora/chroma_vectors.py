"""Reads the vectors of a Chroma collection: those of its HNSW files, updated by the operations still in the queue."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.corpora.lines import refuse_unopened, unopened
from dpr_rag.encoder import Vectors
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import ByFace
from dpr_rag.legacy import read_chroma_labels

_HEADER = struct.Struct("<i6q")
"""Version, offset of level 0, places, elements, bytes of an element, offsets of its label and of its vector."""
_ADD, _UPDATE, _UPSERT, _DELETE = range(4)
_ENCODINGS = {"FLOAT32": "<f4", "INT32": "<i4"}
_LABELS = "index_metadata.pickle"


def number_of_operation(value: Any) -> int:
    """The number of an operation, which older versions keep as bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


class ChromaVectors:
    """The vectors of a collection by id.

    Operations count as Chroma counts them: adding an id that is there, and updating one that is not, change nothing.

    Args:
        database: The open ``chroma.sqlite3``.
        file: Its path.
        collection: Id of the collection.
        segment: Id of its vector segment, the name of the folder with the HNSW files.
        dim: Components of a vector.
        unit: Whether vectors are brought to length 1, as Chroma does in its HNSW files where it ranks by cosine.

    Raises:
        CorpusError: A file is damaged or of a form that is not known.
        UnsafeFileError: A pickled file asks for more than numbers, strings and plain containers.
    """

    def __init__(
        self, database: sqlite3.Connection, file: Path, collection: str, segment: str, dim: int, *, unit: bool
    ) -> None:
        self._database, self._file, self._dim, self._unit = database, file, dim, unit
        folder = file.parent / segment
        there = (folder / _LABELS).is_file()  # it is written with the first thousand vectors or so
        self._labels, last = read_chroma_labels(folder / _LABELS) if there else ({}, None)
        self._rows = _Level0(folder, dim) if self._labels else None
        row = database.execute("SELECT seq_id FROM max_seq_id WHERE segment_id = ?", (segment,)).fetchone()
        self._waiting = self._replayed(collection, number_of_operation(row[0]) if row else last or -1)

    def _replayed(self, collection: str, last: int) -> dict[str, int]:
        """For each id, the number of the latest operation after those in the HNSW files that set its vector."""
        numbers: dict[str, int] = {}
        there = set(self._labels)
        for number, name, operation, brings in self._database.execute(
            "SELECT seq_id, id, operation, vector IS NOT NULL FROM embeddings_queue WHERE topic LIKE '%/' || ? AND seq_id > ? "
            "ORDER BY seq_id",
            (collection, last),
        ):
            if operation == _DELETE:
                there.discard(name)
                numbers.pop(name, None)
            elif operation == _UPSERT or (name in there) == (operation == _UPDATE):
                there.add(name)
                numbers |= {name: number} if brings else {}
        return numbers

    def of(self, name: str) -> Vectors:
        """The vector of an id, float32 [dim].

        Raises:
            CorpusError: There is none, or it has another dimension.
        """
        if name in self._waiting:
            vector = self._queued(name)
        elif self._rows is not None and name in self._labels:
            vector = self._rows.of(self._labels[name])
        else:
            raise CorpusError(
                f"{self._file}: the id {name!r:.120} has no vector; " + _WITHOUT_VECTORS + ", or add it to Chroma again"
            )
        length = float(np.linalg.norm(vector)) if self._unit else 0.0
        return vector / np.float32(length) if length else vector

    def _queued(self, name: str) -> Vectors:
        data, encoding = self._database.execute(
            "SELECT vector, encoding FROM embeddings_queue WHERE seq_id = ?", (self._waiting[name],)
        ).fetchone()
        kind = _ENCODINGS.get(encoding)
        if kind is None or not isinstance(data, bytes) or len(data) != 4 * self._dim:
            raise CorpusError(
                f"{self._file}: the vector of {name!r:.120} is no {self._dim:,} numbers of 4 bytes ({encoding!r:.40}); "
                + _WITHOUT_VECTORS
            )
        return np.frombuffer(data, kind).astype(np.float32)


_WITHOUT_VECTORS = ByFace("move in without vectors", cli="leave out --keep-vectors")


class _Level0:
    """The vectors of ``data_level0.bin`` by label, as hnswlib lays them out and Chroma's ``header.bin`` describes."""

    def __init__(self, folder: Path, dim: int) -> None:
        header, data = folder / "header.bin", folder / "data_level0.bin"
        try:
            version, start, _, count, size, label_at, vector_at = _HEADER.unpack(header.read_bytes()[: _HEADER.size])
            there = data.stat().st_size
        except (OSError, struct.error) as error:
            refuse_unopened(header, error)
            raise CorpusError(f"{header}: cannot be read ({error}); fetch the folder again") from error
        fits = 0 <= vector_at and vector_at + 4 * dim <= label_at and label_at + 8 <= size and start == 0
        if version != 1 or not fits or dim < 1 or count < 0 or count * size > there:
            raise CorpusError(
                f"{header}: describes {count:,} vectors in a form that is not known (version {version}, {size:,} bytes each, "
                f"{dim:,} dimensions, {there:,} bytes in {data.name}); " + _WITHOUT_VECTORS
            )
        kind = np.dtype(
            {
                "names": ["vector", "label"],
                "formats": [("<f4", (dim,)), "<u8"],
                "offsets": [vector_at, label_at],
                "itemsize": size,
            }
        )
        self._data = data
        try:
            self._cells: npt.NDArray[Any] = np.memmap(data, kind, "r", shape=(count,)) if count else np.empty(0, kind)
        except OSError as error:
            raise UnreadableError(f"{data}: {unopened(data, error)}") from error
        labels = np.array(self._cells["label"])
        self._order = np.argsort(labels, kind="stable")
        self._sorted = labels[self._order]

    def of(self, label: int) -> Vectors:
        """The vector of a label.

        Raises:
            CorpusError: There is none.
        """
        at = int(np.searchsorted(self._sorted, label)) if label >= 0 else len(self._sorted)
        if at == len(self._sorted) or self._sorted[at] != label:
            raise CorpusError(
                f"{self._data}: the vector {label} is missing, though the ids name it; fetch the folder again"
            )
        return np.array(self._cells["vector"][self._order[at]], np.float32)

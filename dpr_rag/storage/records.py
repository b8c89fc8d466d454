"""Rows of a store file to passages and vectors and back, each under a checksum.

Checksums are combined with a random number of the store, its salt, so that a page of another store does not pass for its own.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.index.matrix import DTYPES
from dpr_rag.passages import Passage

PASSAGE_COLUMNS = "p.row, p.id, p.title, p.metadata, p.text, p.crc"
JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dump_metadata(passage: Passage) -> str:
    """A passage's metadata as the JSON text that filters read."""
    return JSON.encode(passage.metadata)


def passage_crc(row: int, passage_id: str, title: str, metadata: str, text: str, salt: int) -> int:
    """CRC-32 over all that is stored of a passage, its row number included, XOR the store's salt."""
    parts = [passage_id.encode(), title.encode(), metadata.encode(), text.encode()]
    return zlib.crc32(b"".join([struct.pack("<q4I", row, *map(len, parts)), *parts])) ^ salt


def vector_crc(row: int, blob: bytes, salt: int) -> int:
    """CRC-32 over a stored vector and its row number, XOR the store's salt."""
    return zlib.crc32(blob, row & 0xFFFFFFFF) ^ salt


def check_record(record: Sequence[Any], path: object, salt: int) -> None:
    """Verify ``PASSAGE_COLUMNS`` against their checksum.

    Raises:
        StoreCorrupted: They do not match.
    """
    row, passage_id, title, metadata, text, crc = record
    texts = (
        isinstance(passage_id, str) and isinstance(title, str) and isinstance(metadata, str) and isinstance(text, str)
    )
    if not texts or not isinstance(row, int) or passage_crc(row, passage_id, title, metadata, text, salt) != crc:
        raise StoreCorrupted(f"{path}: passage {passage_id!r:.100} (row {row}) is damaged; " + RESTORE)


def read_passage(record: Sequence[Any], path: object, salt: int) -> Passage:
    """Build a passage from ``PASSAGE_COLUMNS``.

    Raises:
        StoreCorrupted: The row does not match its checksum.
    """
    check_record(record, path, salt)
    try:
        metadata = {} if record[3] == "{}" else json.loads(record[3])  # most have none, and every hit is read
    except (ValueError, RecursionError) as error:
        raise StoreCorrupted(f"{path}: the metadata of passage {record[1]!r:.100} are no JSON; " + RESTORE) from error
    return Passage.checked_before(record[1], record[4], record[2], metadata)


def read_vectors(records: Sequence[tuple[int, bytes, int]], dim: int, dtype: str, path: object, salt: int) -> Vectors:
    """Join (row, blob, crc) records to a float32 array of shape [n, dim].

    Raises:
        StoreCorrupted: A vector does not match its checksum.
    """
    size = dim * DTYPES[dtype].itemsize
    for row, blob, crc in records:
        whole = isinstance(row, int) and isinstance(blob, bytes) and len(blob) == size
        if not whole or vector_crc(row, blob, salt) != crc:
            raise StoreCorrupted(f"{path}: the vector of row {row} is damaged; " + RESTORE)
    joined = np.frombuffer(b"".join(record[1] for record in records), DTYPES[dtype])
    return np.asarray(joined.reshape(len(records), dim), dtype=np.float32)


def to_stored(vectors: Vectors, dtype: str) -> npt.NDArray[np.generic]:
    """Vectors in the form they are stored in; values beyond float16 become infinite there."""
    with np.errstate(over="ignore"):
        return np.asarray(vectors, dtype=DTYPES[dtype])

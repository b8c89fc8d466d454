"""Reads NumPy's ``.npz`` archives of vectors and ids as streams, without pickle and within size limits."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np

from dpr_rag.corpora.columns import VECTORS, listed
from dpr_rag.corpora.lines import id_of, refuse_unopened
from dpr_rag.corpora.matrices import read_header
from dpr_rag.errors import CorpusError
from dpr_rag.faces import message_of

_IDS = ("ids", "id", "_id", "docids", "docid", "doc_ids", "pids", "passage_ids", "lookup_indices")
_ENDING = ".npy"
_LONGEST_ID = 4096


class _Array(NamedTuple):
    """One array of an archive, as its header describes it."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool


def read_archive(file: Path, block: int) -> Iterator[tuple[list[str], Any]]:
    """Read vectors and ids in blocks.

    The vectors are the array under one of the names :data:`~dpr_rag.corpora.columns.VECTORS`, or the only one of floats in
    two dimensions; the ids are ``ids`` or the only one of strings or integers in one.

    Args:
        file: The archive.
        block: Largest number of rows of a block.

    Raises:
        CorpusError: An array is missing, of another shape or kind, or damaged; ids and rows differ in number.
    """
    try:
        with ZipFile(file) as archive:
            arrays = {name: array for name, array in _arrays(file, archive)}
            vectors = _one(
                file, arrays, VECTORS, "vectors", lambda entry: len(entry.shape) == 2 and entry.dtype.kind == "f"
            )
            ids = _one(file, arrays, _IDS, "ids", lambda entry: len(entry.shape) == 1 and entry.dtype.kind in "iuSU")
            if vectors.shape[0] != ids.shape[0]:
                raise CorpusError(f"{file}: {ids.shape[0]:,} ids for {vectors.shape[0]:,} vectors; give one each")
            yield from _blocks(file, archive, vectors, ids, block)
    except (BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, CorpusError):
            raise
        refuse_unopened(file, error)
        raise CorpusError(f"{file}: a damaged .npz file ({error!s:.200}); write it anew") from error


def _arrays(file: Path, archive: ZipFile) -> Iterator[tuple[str, _Array]]:
    for member in archive.infolist():
        if not member.filename.endswith(_ENDING):
            continue
        with archive.open(member) as opened:
            shape, fortran, dtype = read_header(opened)
            start = opened.tell()
        array = _Array(member.filename, shape, dtype, fortran)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize != member.file_size - start:
            raise CorpusError(
                f"{file}: the array {member.filename!r:.80} of shape {list(shape)} holds {member.file_size - start:,} bytes, "
                "which do not fit; write it anew"
            )
        yield member.filename.removesuffix(_ENDING), array


def _one(file: Path, arrays: dict[str, _Array], names: tuple[str, ...], what: str, fits: Any) -> _Array:
    named = [arrays[name] for name in names if name in arrays and fits(arrays[name])]
    candidates = named[:1] or [array for array in arrays.values() if fits(array)]
    if len(candidates) == 1 and not candidates[0].fortran:
        return candidates[0]
    told = listed([f"{name} ({array.dtype}, {list(array.shape)})" for name, array in arrays.items()])
    raise CorpusError(
        f"{file}: holds {told or 'no arrays'}, in which no {what} are known; write them as 'vectors', floats of shape [n, dim] "
        "in C order, and 'ids', strings or integers of shape [n]"
    )


def _blocks(file: Path, archive: ZipFile, vectors: _Array, ids: _Array, block: int) -> Iterator[tuple[list[str], Any]]:
    rows, dim = vectors.shape
    if ids.dtype.itemsize > _LONGEST_ID:
        raise CorpusError(
            f"{file}: ids of {ids.dtype.itemsize:,} bytes each, expected {_LONGEST_ID:,} at most; shorten them"
        )
    with archive.open(vectors.member) as values, archive.open(ids.member) as names:
        for opened in (values, names):
            read_header(opened)
        for start in range(0, rows, block):
            count = min(block, rows - start)
            texts = np.frombuffer(names.read(count * ids.dtype.itemsize), ids.dtype)
            matrix = np.frombuffer(values.read(count * dim * vectors.dtype.itemsize), vectors.dtype)
            yield [_name(file, name) for name in texts.tolist()], matrix.reshape(count, dim)


def _name(file: Path, value: Any) -> str:
    try:
        return id_of(value.decode("utf-8") if isinstance(value, bytes) else value)
    except CorpusError as error:
        raise CorpusError(f"{file}: " + message_of(error)) from error

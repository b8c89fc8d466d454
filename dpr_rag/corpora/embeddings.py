"""Vectors that were encoded elsewhere, read in blocks from files of many forms; and written as ``.npy`` or Parquet."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dpr_rag.corpora.columnar import import_pyarrow
from dpr_rag.corpora.lines import id_of, writing
from dpr_rag.corpora.parts import is_encoded, parts_of
from dpr_rag.corpora.shards import is_shard, read_shard
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import CorpusError, VectorError
from dpr_rag.faces import message_of
from dpr_rag.paths import place_of, replacing

BLOCK = 4096
Block = tuple[list[str], Vectors]
_NPY_HEADER = 128


def read_vectors(path: str | Path, ids: str | Path | None = None, *, block: int = BLOCK) -> Iterator[Block]:
    """Read vectors and their ids in blocks, from the format that the files' first bytes tell.

    Args:
        path: A file, or a glob pattern of shards, which are read in order with numbers compared as numbers: the pickled
            shards of DPR and Tevatron (through the allow-listing reader), ``.npy`` (memory-mapped), ``.npz`` with vectors
            and ids, Parquet with columns such as ``id`` and ``vector``, or ``_id`` and ``emb``, JSONL with such keys; or
            a folder that Pyserini encoded to, of which only FAISS files that you trust should be opened, or one that
            ``dpr-rag encode`` wrote, of which all parts must be there.
        ids: For one ``.npy`` file, the ids of its rows: a text file with one a line, or a ``.json`` list. Without
            it they lie beside: ``name.ids.txt`` or ``name.ids.json`` for ``name.npy``.
        block: Largest number of rows of a block.

    Yields:
        Ids, and a finite float32 array of shape [len(ids), dim].

    Raises:
        CorpusError: A file is missing or malformed, or ids and rows differ in number.
        VectorError: A vector is not finite, or shards differ in their dimension.
        UnsafeFileError: A pickled shard asks for more than arrays.
        MissingExtraError: Parquet without pyarrow.
    """
    files = _shards(path)
    if ids is not None and len(files) > 1:
        raise CorpusError(f"{path}: ids={str(ids)!r} goes with one file, these are {len(files)}; lay ids beside each")
    dim: int | None = None
    for file in files:
        for names, values in read_shard(file, ids, block):
            vectors = _checked(values, names, dim, file)
            dim = vectors.shape[1]
            yield names, vectors


def _checked(values: object, names: list[str], dim: int | None, file: Path) -> Vectors:
    try:
        return check_vectors(values, rows=len(names), dim=dim, names=names)
    except VectorError as error:
        raise VectorError(f"{file}: " + message_of(error)) from error


def _shards(path: str | Path) -> list[Path]:
    place = place_of(path)
    if place.is_file() or is_shard(place):
        return [place]
    if is_encoded(place):
        return [file for file, _ in parts_of([place])]
    paths = [Path(name) for name in glob.glob(str(place)) if not Path(name).is_dir() or is_shard(Path(name))]
    broken = [name for name in paths if not name.exists()]
    if broken:
        raise CorpusError(f"{broken[0]}: is a link to nothing, so that its vectors would be missing; mend or remove it")
    if not paths:
        raise CorpusError(f"{path}: no such file; give a file of vectors or a glob pattern of shards")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def write_vectors(path: str | Path, blocks: Iterable[tuple[Sequence[str], Any]]) -> int:
    """Write vectors and ids as float32: ``name.npy`` with ``name.ids.txt`` beside it, or Parquet.

    Args:
        path: The file to write or replace, ending in ``.npy`` or ``.parquet``.
        blocks: Ids, and an array of shape [len(ids), dim].

    Returns:
        How many vectors were written.

    Raises:
        CorpusError: Another ending, no vectors at all, or an id that a text file cannot hold on one line.
        VectorError: Vectors of another shape, or with NaN or infinite values.
        MissingExtraError: Parquet without pyarrow.
    """
    path = place_of(path)
    if path.suffix == ".npy":
        return _write_npy(path, _uniform(path, blocks))
    if path.suffix == ".parquet":
        return _write_parquet(path, _uniform(path, blocks))
    raise CorpusError(f"{path}: ends in {path.suffix!r}, expected .npy or .parquet; rename it")


def _uniform(path: Path, blocks: Iterable[tuple[Sequence[str], Any]]) -> Iterator[Block]:
    dim: int | None = None
    for ids, values in blocks:
        names = [id_of(name) for name in ids]
        vectors = check_vectors(values, rows=len(names), dim=dim, names=names)
        dim = vectors.shape[1]
        yield names, vectors
    if dim is None:
        raise CorpusError(f"{path}: there are no vectors to write; give at least one block")


def _write_npy(path: Path, blocks: Iterable[Block]) -> int:
    count = dim = 0
    with (
        replacing(path, CorpusError) as partial,
        partial.open("wb") as file,
        writing(path.with_suffix(".ids.txt")) as names,
    ):
        file.write(bytes(_NPY_HEADER))
        for ids, vectors in blocks:
            names.writelines(f"{_one_line(path, name)}\n" for name in ids)
            file.write(vectors.astype("<f4", copy=False).tobytes())
            count, dim = count + len(ids), vectors.shape[1]
        file.seek(0)
        file.write(_npy_header(count, dim))
        path.unlink(missing_ok=True)  # whoever is ended between the two files leaves none, and not others' vectors
    return count


def _npy_header(rows: int, dim: int) -> bytes:
    """Version 1.0 of the format, padded to a fixed length, since the rows are counted only at the end."""
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    start = b"\x93NUMPY\x01\x00" + (_NPY_HEADER - 10).to_bytes(2, "little")
    return start + fields.encode("ascii").ljust(_NPY_HEADER - 11) + b"\n"


def _one_line(path: Path, name: str) -> str:
    if "\n" in name or name.endswith("\r") or name.startswith("\ufeff"):
        raise CorpusError(f"{path}: the id {name!r:.120} does not fit on one line of text; write Parquet instead")
    return name


def _write_parquet(path: Path, blocks: Iterator[Block]) -> int:
    pyarrow = import_pyarrow("Parquet")
    ids, vectors = next(blocks)
    count, dim = 0, vectors.shape[1]
    schema = pyarrow.schema([("id", pyarrow.string()), ("vector", pyarrow.list_(pyarrow.float32(), dim))])
    with replacing(path, CorpusError) as partial:
        with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
            for names, values in chain([(ids, vectors)], blocks):
                flat = pyarrow.array(values.reshape(-1))
                column = pyarrow.FixedSizeListArray.from_arrays(flat, dim)
                writer.write_table(pyarrow.table([pyarrow.array(names, pyarrow.string()), column], schema=schema))
                count += len(names)
    return count

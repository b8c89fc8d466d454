"""One file of vectors: DPR's and Tevatron's pickles, NumPy's files, Parquet, JSONL, and Pyserini's folders, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.corpora.columnar import import_pyarrow
from dpr_rag.corpora.columns import USUAL, VECTORS, Columns, listed, located, refuse_twice
from dpr_rag.corpora.json_files import read_value
from dpr_rag.corpora.lines import bad_line, decoded, id_of, read_json_lines, read_lines, refuse_unopened
from dpr_rag.corpora.magic import refuse_device
from dpr_rag.corpora.matrices import Matrix
from dpr_rag.corpora.numpy_archives import read_archive
from dpr_rag.errors import CorpusError, UnreadableError, VectorError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.legacy import read_embeddings
from dpr_rag.paths import place_of

INDEX, DOCID, EMBEDDINGS = "index", "docid", "embeddings.jsonl"
"""What Pyserini calls the files of a folder: a FAISS index with the ids of its rows, or JSONL with vectors."""
_EXPECTED = '{"id": …, "vector": […]}'


def is_shard(folder: Path) -> bool:
    """Whether a folder is one that Pyserini encodes to."""
    return all((folder / name).is_file() for name in (INDEX, DOCID)) or (folder / EMBEDDINGS).is_file()


def read_shard(file: Path, ids: str | Path | None, block: int) -> Iterator[tuple[list[str], Any]]:
    """Read ids and vectors in blocks, in the format that the file's first bytes show.

    Args:
        file: The file, or a folder of Pyserini's.
        ids: The ids of the rows of an ``.npy`` file; None finds them beside it.
        block: Largest number of rows of a block.

    Yields:
        Ids, and numbers of shape [len(ids), dim], not checked.

    Raises:
        CorpusError: The file is damaged, or of none of these forms.
        UnsafeFileError: A pickled shard asks for more than arrays.
        MissingExtraError: Parquet without pyarrow.
    """
    head = b"" if file.is_dir() else _head(file)
    if head.startswith(b"\x93NUMPY"):
        return _read_npy(file, ids, block)
    if ids is not None:
        raise CorpusError(f"{file}: ids={str(ids)!r} goes with .npy files; this one holds its own ids")
    if file.is_dir():
        whole = (file / INDEX).is_file()
        return _read_index(file, block) if whole else _read_jsonl(file / EMBEDDINGS, block)
    if head.startswith(b"PAR1"):
        return _read_parquet(file, block)
    if head.startswith(b"PK\x03\x04"):
        return read_archive(file, block)
    return _read_jsonl(file, block) if head.lstrip().startswith((b"{", b"\x1f\x8b")) else _read_pickle(file, block)


def _head(file: Path) -> bytes:
    refuse_device(file)
    try:
        with file.open("rb") as opened:
            return opened.read(16)
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error


def _read_index(folder: Path, block: int) -> Iterator[tuple[list[str], Any]]:
    vectors, _ = read_faiss_vectors(folder / INDEX)
    names = list(_read_ids(folder / DOCID))
    if len(names) != len(vectors):
        raise CorpusError(
            f"{folder / DOCID}: {len(names):,} ids for the {len(vectors):,} vectors of {INDEX}; encode them anew"
        )
    for start in range(0, len(names), block):
        yield names[start : start + block], vectors[start : start + block]


def _read_jsonl(file: Path, block: int) -> Iterator[tuple[list[str], Any]]:
    rows = read_json_lines(file, _row, None)
    while records := list(islice(rows, block)):
        yield _stacked(file, records)


def _row(item: dict[str, Any], line: int) -> tuple[str, Any, int]:
    name = located(tuple(item), Columns(), "key").id
    key = next((name for name in VECTORS if name in item), None)
    if name is None or key is None:
        raise CorpusError(f"has the keys {listed(list(item))}, expected an id and a vector, such as {_EXPECTED}")
    vector = item[key]
    numbers = isinstance(vector, list) and all(type(number) in {int, float} for number in vector)
    if not numbers or not vector:
        raise CorpusError(f"{key!r} is {vector!r:.60}, expected a list of numbers")
    return id_of(item[name], name), vector, line


def _stacked(file: Path, rows: list[tuple[str, Any, int]]) -> tuple[list[str], Any]:
    dim = len(rows[0][1])
    wrong = next((row for row in rows if len(row[1]) != dim), None)
    if wrong is not None:
        raise bad_line(file, wrong[2], f"a vector of {len(wrong[1]):,} numbers, expected {dim:,} as in the first")
    with np.errstate(over="ignore"):  # the check of vectors names what is no float32
        return [name for name, *_ in rows], np.array([vector for _, vector, _ in rows], np.float32)


def _read_pickle(file: Path, block: int) -> Iterator[tuple[list[str], Any]]:
    records = read_embeddings(file)
    while rows := list(islice(records, block)):
        dims = {len(vector) for _, vector in rows}
        if len(dims) > 1:
            raise VectorError(f"{file}: vectors of {sorted(dims)} dimensions in one shard, expected one dimension")
        yield [name for name, _ in rows], np.stack([vector for _, vector in rows])


def _read_npy(file: Path, ids: str | Path | None, block: int) -> Iterator[tuple[list[str], Any]]:
    matrix = Matrix(file)
    source = _sidecar(file) if ids is None else place_of(ids)
    names = _read_ids(source)
    count = sum(1 for _ in _read_ids(source))
    if count != matrix.rows:
        raise CorpusError(f"{source}: {count} ids for the {matrix.rows} rows of {file}; give one each")
    for start, rows in matrix.blocks(block):
        held = list(islice(names, block))
        if len(held) != len(rows):
            raise CorpusError(f"{source}: changed while it was read, after {start + len(held):,} ids; read it again")
        yield held, rows


def _sidecar(file: Path) -> Path:
    known = [file.with_suffix(ending) for ending in (".ids.txt", ".ids.json")]
    for source in known:
        if source.is_file():
            return source
    raise CorpusError(
        f"{file}: has no ids; lay {known[0].name} (one id a line) beside it" + ByFace(", or give ids=", cli="", page="")
    )


def _read_ids(source: Path) -> Iterator[str]:
    if source.suffix == ".json":
        yield from _listed_ids(source)
        return
    for number, line in read_lines(source):
        try:
            yield id_of(decoded(line))
        except CorpusError as error:
            raise CorpusError(f"{source}:{number}: " + message_of(error)) from error


def _listed_ids(source: Path) -> list[str]:
    names = read_value(source)
    if not isinstance(names, list):
        raise CorpusError(f"{source}: holds {names!r:.60}, expected a JSON list of ids; write it anew")
    try:
        return [id_of(name) for name in names]
    except CorpusError as error:
        raise CorpusError(f"{source}: " + message_of(error)) from error


def _read_parquet(file: Path, block: int) -> Iterator[tuple[list[str], Any]]:
    arrow = import_pyarrow("Parquet")
    try:
        with arrow.parquet.ParquetFile(file) as opened:
            names = tuple(opened.schema_arrow.names)
            ids, vectors = located(names, Columns()).id, next((name for name in VECTORS if name in names), None)
            if ids is None or vectors is None:
                raise CorpusError(
                    f"{file}: has the columns {listed(names)}, expected one of ids ({', '.join(USUAL['id'])}) and one of vectors "
                    f"({', '.join(VECTORS)})"
                )
            for batch in opened.iter_batches(batch_size=block, columns=[ids, vectors]):
                yield _parquet_block(batch, file, ids, vectors)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        refuse_unopened(file, error)
        raise CorpusError(f"{file}: a damaged Parquet file ({error}); fetch it again") from error


def _parquet_block(batch: Any, file: Path, ids: str, vectors: str) -> tuple[list[str], Any]:
    try:
        refuse_twice(batch.schema.names)
        column = batch.column(vectors)
        names = [id_of(name, ids) for name in batch.column(ids).to_pylist()]
        flat = column.flatten().to_numpy(zero_copy_only=False)
    except (CorpusError, AttributeError) as error:
        raise CorpusError(f"{file}: " + message_of(error)) from error
    lengths = set(column.value_lengths().to_pylist())
    if flat.dtype.kind != "f" or len(lengths) > 1:
        raise CorpusError(f"{file}: the column {vectors!r} is {column.type}, expected lists of floats of equal length")
    return names, flat.reshape(len(names), -1)

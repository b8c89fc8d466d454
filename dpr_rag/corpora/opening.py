"""Opens a corpus with the reader for its format, as named or recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dpr_rag.corpora.beir import corpus_file
from dpr_rag.corpora.chroma import open_chroma
from dpr_rag.corpora.columns import Columns
from dpr_rag.corpora.datasets import open_dataset
from dpr_rag.corpora.docstrings import read_by_module
from dpr_rag.corpora.formats import FORMATS, PYTHON, format_of, listed_formats, missing
from dpr_rag.corpora.langchain import open_langchain
from dpr_rag.corpora.lines import LeftOut, OnBad
from dpr_rag.corpora.llama_index import open_llama_index
from dpr_rag.corpora.magic import exists, refuse_device, refuse_pipe
from dpr_rag.corpora.parquet import parquet_by_row
from dpr_rag.corpora.records import Found, Opened, Reading
from dpr_rag.corpora.retrieved import passages_of_ctxs
from dpr_rag.corpora.tables import csv_by_line, tsv_by_line
from dpr_rag.corpora.tabular import json_by_line, jsonl_by_line
from dpr_rag.corpora.texts import read_by_file
from dpr_rag.errors import CorpusError, nearest
from dpr_rag.faces import ByFace
from dpr_rag.passages import OnBadText, Passage, check_on_bad_text
from dpr_rag.paths import place_of

_TABLES = {"tsv": tsv_by_line, "csv": csv_by_line}
_OBJECTS = {"jsonl": jsonl_by_line, "json": json_by_line, "beir": jsonl_by_line}
_RECORDS = {"parquet": parquet_by_row, "ctxs": passages_of_ctxs}
_STORES: dict[str, Callable[[Path, Reading], Opened]] = {
    "chroma": open_chroma,
    "llama-index": open_llama_index,
    "langchain": open_langchain,
}
_WITH_PARTS = ("dataset", *_STORES)
_WITHOUT_COLUMNS = {"python", "text", *_STORES}
WITH_VECTORS = ("parquet", *_WITH_PARTS)
"""The formats that may hold vectors beside their passages."""


def open_corpus(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
    columns: Columns | None = None,
    part: str | None = None,
) -> Iterator[Passage]:
    """Open a corpus with the reader for its format.

    Args:
        path: A file, a folder, or ``python:`` with or without names of modules.
        format: One of ``FORMATS``; None recognises it by name and content.
        on_bad: Takes the errors of bad records, for example a ``SkipReport``; None raises the first.
        on_bad_text: What becomes of lone surrogates in JSON and in names of files, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of files, folders and passages that are passed over, by reason.
        columns: Names of the columns, or keys, that hold id, text and title; None finds them by their usual names.
        part: Of several that lie in one place, which one: the split of a dataset, the collection of a Chroma folder.

    Returns:
        The passages as a stream.

    Raises:
        CorpusError: At once when the path is missing, or the format is unknown or has no columns; later for a bad record.
    """
    reading = Reading(columns or Columns(), on_bad, on_bad_text, left_out, part)
    return (item.passage for item in open_reading(path, reading, format=format).found)


def open_by_place(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
    columns: Columns | None = None,
    part: str | None = None,
) -> Iterator[tuple[Passage, Path | str, str]]:
    """Open a corpus as :func:`open_corpus` does, with the file of each passage, or the module, and its place for messages.

    The place is the file and the line, or the row; of texts and docstrings it is empty, as their ids say it.
    """
    reading = Reading(columns or Columns(), on_bad, on_bad_text, left_out, part)
    return ((item.passage, item.source, item.place) for item in open_reading(path, reading, format=format).found)


def open_reading(path: str | Path, reading: Reading, *, format: str | None = None) -> Opened:
    """Open a corpus as :func:`open_corpus` does, with all that is known of it.

    Args:
        path: A file, a folder, or ``python:`` with or without names of modules.
        reading: How to read it.
        format: One of ``FORMATS``; None finds it.

    Raises:
        CorpusError: As for :func:`open_corpus`; there are no vectors or parts in the format, and they are asked for.
    """
    kind = format or format_of(path)
    if kind not in FORMATS:
        raise CorpusError(
            f"{path}: the format {kind!r} is unknown, expected {listed_formats()}{nearest(kind, FORMATS)}"
        )
    _refuse_what_is_not_there(path, kind, reading)
    if kind == "python":
        names = [name.strip() for name in str(path).removeprefix(PYTHON).split(",") if name.strip()]
        return Opened(_named(read_by_module(names or None, on_bad=reading.on_bad, left_out=reading.left_out)))
    file = place_of(path)
    if not exists(file):
        raise missing(path)
    refuse_device(file)
    refuse_pipe(file)
    if kind == "text":
        read = read_by_file(path, on_bad=reading.on_bad, on_bad_text=reading.on_bad_text, left_out=reading.left_out)
        return Opened(Found(passage, source, "") for passage, source in read)
    check_on_bad_text(reading.on_bad_text)
    if kind == "dataset":
        return open_dataset(file, reading)
    if kind in _STORES:
        return _STORES[kind](file, reading)
    if kind in _RECORDS:
        return Opened(_RECORDS[kind](file, reading))
    return Opened(_by_line(file, kind, reading))


def _refuse_what_is_not_there(path: str | Path, kind: str, reading: Reading) -> None:
    if reading.columns.given() and kind in _WITHOUT_COLUMNS:
        raise CorpusError(f"{path}: the format {kind} has no columns; leave their names out, or name another format")
    if reading.part is not None and kind not in _WITH_PARTS:
        raise CorpusError(f"{path}: the format {kind} has no parts; leave {reading.part!r:.80} out")
    if reading.vectors and kind not in WITH_VECTORS:
        raise CorpusError(
            f"{path}: the format {kind} holds no vectors beside its passages; "
            + ByFace(
                "leave them to the encoder, or give files of vectors",
                cli="leave out --keep-vectors, or give files with --vectors",
            )
        )


def _by_line(path: Path, kind: str, reading: Reading) -> Iterator[Found]:
    file = corpus_file(path) if kind == "beir" else path
    if kind == "beir" and reading.left_out is not None:
        reading.left_out.update(_beside(file))
    if kind in _TABLES:
        lines = _TABLES[kind](file, reading.columns, reading.on_bad, reading.left_out, numbered=reading.numbered)
    else:
        lines = _OBJECTS[kind](
            file,
            reading.columns,
            reading.on_bad,
            reading.left_out,
            reading.on_bad_text,
            numbered=reading.numbered,
        )
    return (Found(passage, file, f"{file}:{line}") for line, passage in lines)


def _named(pairs: Iterable[tuple[Passage, Path | str]]) -> Iterator[Found]:
    for passage, source in pairs:
        yield Found(passage, f"{PYTHON}{source}" if isinstance(source, str) else source, "")


def _beside(corpus: Path) -> Iterator[str]:
    """What a BEIR folder holds that belongs to no BEIR folder, for each the word that it is counted by."""
    known = {corpus.name, "queries.jsonl", "queries.jsonl.gz", "qrels"}
    return (
        f"{path.suffix or path.name} file beside {corpus.name}"
        for path in corpus.parent.iterdir()
        if path.name not in known
    )

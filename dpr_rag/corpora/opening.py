"""Opening a corpus: the reader that its name, its content or the user asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dpr_rag.corpora.beir import corpus_file
from dpr_rag.corpora.columns import Columns
from dpr_rag.corpora.docstrings import read_by_module
from dpr_rag.corpora.lines import LeftOut, OnBad, read_lines
from dpr_rag.corpora.magic import PARQUET
from dpr_rag.corpora.parquet import parquet_by_row
from dpr_rag.corpora.tables import csv_by_line, tsv_by_line
from dpr_rag.corpora.tabular import json_by_line, jsonl_by_line
from dpr_rag.corpora.texts import SUFFIXES, read_by_file
from dpr_rag.errors import CorpusError, UnreadableError, nearest
from dpr_rag.passages import OnBadText, Passage, check_on_bad_text
from dpr_rag.paths import place_of

FORMATS = {
    "tsv": "*.tsv[.gz]: id, text, title with tabs between, as psgs_w100.tsv; or id, text, as MS MARCO's collection.tsv",
    "csv": "*.csv[.gz]: columns under a header",
    "jsonl": "*.jsonl[.gz]: an object with id, title, text, metadata a line",
    "json": "*.json[.gz]: an array of such objects",
    "parquet": "*.parquet: columns with such names",
    "beir": "a folder with corpus.jsonl",
    "text": "a folder of .txt and .md files, or one of them, split into passages of 100 words",
    "python": "'python:' for the docstrings of the standard library, 'python:json,gzip' for those of modules",
}
_PYTHON = "python:"
_TABLES = {"tsv": tsv_by_line, "csv": csv_by_line}
_OBJECTS = {"jsonl": jsonl_by_line, "json": json_by_line, "parquet": parquet_by_row, "beir": jsonl_by_line}
_ENDINGS = {f".{form}": form for form in ("tsv", "csv", "jsonl", "json", "parquet")} | {
    ".ndjson": "jsonl",
    ".txt": "text",
    ".md": "text",
}


def open_corpus(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
    columns: Columns | None = None,
) -> Iterator[Passage]:
    """Open a corpus with the reader that its name or content asks for.

    Args:
        path: A file, a folder, or ``python:`` with or without names of modules.
        format: One of ``FORMATS``; None finds it.
        on_bad: Takes the errors of bad records, for example a ``SkipReport``; None raises the first.
        on_bad_text: What becomes of lone surrogates in JSON and in names of files, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of files, folders and passages that are passed over, by reason.
        columns: Names of the columns, or keys, that hold id, text and title; None finds them by their usual names.

    Returns:
        The passages as a stream.

    Raises:
        CorpusError: At once when the path is missing, or the format is unknown or has no columns; later for a bad record.
    """
    found = open_by_place(
        path, format=format, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out, columns=columns
    )
    return (passage for passage, _, _ in found)


def open_by_place(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
    columns: Columns | None = None,
) -> Iterator[tuple[Passage, Path | str, str]]:
    """Open a corpus as :func:`open_corpus` does, with the file of each passage, or the module, and its place for messages.

    The place is the file and the line, or the row of Parquet; of texts and docstrings it is empty, as their ids say it.
    """
    kind = format or _format_of(path)
    if kind not in FORMATS:
        raise CorpusError(f"{path}: the format {kind!r} is unknown, expected {_listed()}{nearest(kind, FORMATS)}")
    if columns is not None and columns.given() and kind in {"python", "text"}:
        raise CorpusError(f"{path}: the format {kind} has no columns; leave their names out, or name another format")
    if kind == "python":
        names = [name.strip() for name in str(path).removeprefix(_PYTHON).split(",") if name.strip()]
        return _placeless(_named(read_by_module(names or None, on_bad=on_bad, left_out=left_out)))
    if not place_of(path).exists():
        raise CorpusError(f"{path}: does not exist; give {_listed()}")
    if kind == "text":
        return _placeless(read_by_file(path, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out))
    file, wanted = corpus_file(path) if kind == "beir" else place_of(path), columns or Columns()
    if kind == "beir" and left_out is not None:
        left_out.update(_beside(file))
    check_on_bad_text(on_bad_text)
    between = ": row " if kind == "parquet" else ":"
    if kind in _TABLES:
        found = _TABLES[kind](file, wanted, on_bad, left_out)
    else:
        found = _OBJECTS[kind](file, wanted, on_bad, left_out, on_bad_text)
    return ((passage, file, f"{file}{between}{line}") for line, passage in found)


def _placeless(found: Iterable[tuple[Passage, Path | str]]) -> Iterator[tuple[Passage, Path | str, str]]:
    return ((passage, source, "") for passage, source in found)


def _named(found: Iterable[tuple[Passage, Path | str]]) -> Iterator[tuple[Passage, Path | str]]:
    return ((passage, f"{_PYTHON}{source}" if isinstance(source, str) else source) for passage, source in found)


def _beside(corpus: Path) -> Iterator[str]:
    """What a BEIR folder holds that belongs to no BEIR folder, for each the word that it is counted by."""
    known = {corpus.name, "queries.jsonl", "queries.jsonl.gz", "qrels"}
    return (
        f"{path.suffix or path.name} file beside {corpus.name}"
        for path in corpus.parent.iterdir()
        if path.name not in known
    )


def _format_of(path: str | Path) -> str:
    if str(path).startswith(_PYTHON):
        return "python"
    place = place_of(path)
    if not place.exists():
        raise CorpusError(f"{path}: does not exist; give {_listed()}")
    found = _of_folder(place) if place.is_dir() else _of_file(place)
    if found is None:
        raise CorpusError(f"{path}: cannot tell its format; name one of {_listed()}")
    return found


def _of_folder(folder: Path) -> str | None:
    try:
        with os.scandir(folder):
            pass
    except OSError as error:  # which the search below would pass over
        raise UnreadableError(f"{folder}: cannot be listed ({error.strerror or error}); check its rights") from error
    if any((folder / name).is_file() for name in ("corpus.jsonl", "corpus.jsonl.gz")):
        return "beir"
    return "text" if any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*")) else None


def _of_file(file: Path) -> str | None:
    ending = Path(file.name.removesuffix(".gz")).suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if _begins_with(file, PARQUET):
        return "parquet"
    first = next((line for _, line in read_lines(file) if line.strip()), b"")
    if first.lstrip().startswith((b"{", b"[")):
        return "jsonl" if first.lstrip().startswith(b"{") else "json"
    return "tsv" if b"\t" in first and b"\0" not in first else None


def _begins_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error


def _listed() -> str:
    return "; ".join(f"{name} ({what})" for name, what in FORMATS.items())

"""The field's files of passages and questions: streaming readers and writers, and the choice among them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

from dpr_rag.corpora.beir import Judgement, corpus_file, read_beir, read_beir_questions, read_qrels, write_beir
from dpr_rag.corpora.docstrings import read_by_module, read_docstrings
from dpr_rag.corpora.dpr_json import (
    Result,
    TrainingPassage,
    TrainingSample,
    read_results,
    read_training,
    write_results,
    write_training,
)
from dpr_rag.corpora.embeddings import read_vectors, write_vectors
from dpr_rag.corpora.lines import LeftOut, OnBad, SkipReport, read_lines
from dpr_rag.corpora.question import Question
from dpr_rag.corpora.questions import read_questions, write_questions
from dpr_rag.corpora.tabular import read_jsonl, read_tsv, write_jsonl, write_tsv
from dpr_rag.corpora.texts import SUFFIXES, read_by_file, read_texts
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.legacy import read_langchain_docstore
from dpr_rag.passages import OnBadText, Passage
from dpr_rag.paths import place_of

FORMATS = {
    "tsv": "psgs_w100.tsv[.gz]: id, text, title with tabs between",
    "jsonl": "*.jsonl[.gz]: an object with id, title, text, metadata a line",
    "beir": "a folder with corpus.jsonl",
    "text": "a folder of .txt and .md files, or one of them, split into passages of 100 words",
    "python": "'python:' for the docstrings of the standard library, 'python:json,gzip' for those of modules",
}
_PYTHON = "python:"


def open_corpus(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Open a corpus with the reader that its name or content asks for.

    Args:
        path: A file, a folder, or ``python:`` with or without names of modules.
        format: One of ``FORMATS``; None finds it.
        on_bad: Takes the errors of bad records, for example a ``SkipReport``; None raises the first.
        on_bad_text: What becomes of lone surrogates in JSON and in names of files, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of files, folders and passages that are passed over, by reason.

    Returns:
        The passages as a stream.

    Raises:
        CorpusError: At once when the path is missing or the format is unknown; later for a bad record.
    """
    opened = open_by_source(path, format=format, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out)
    return (passage for passage, _ in opened)


def open_by_source(
    path: str | Path,
    *,
    format: str | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[tuple[Passage, Path | str]]:
    """Open a corpus as :func:`open_corpus` does, with the file of each passage, or the module of the standard library."""
    kind = format or _format_of(path)
    if kind not in FORMATS:
        raise CorpusError(f"{path}: the format {kind!r} is unknown, expected {_listed()}")
    if kind == "python":
        names = [name.strip() for name in str(path).removeprefix(_PYTHON).split(",") if name.strip()]
        return _named(read_by_module(names or None, on_bad=on_bad, left_out=left_out))
    if not place_of(path).exists():
        raise CorpusError(f"{path}: does not exist; give {_listed()}")
    if kind == "text":
        return iter(read_by_file(path, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out))
    file = corpus_file(path) if kind == "beir" else place_of(path)
    if kind == "beir" and left_out is not None:
        left_out.update(_beside(file))
    if kind == "tsv":
        return zip(read_tsv(file, on_bad=on_bad), repeat(file))
    return zip(read_jsonl(file, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out), repeat(file))


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
    endings = {".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text", ".md": "text"}
    ending = Path(file.name.removesuffix(".gz")).suffix.lower()
    if ending in endings:
        return endings[ending]
    first = next((line for _, line in read_lines(file) if line.strip()), b"")
    if first.lstrip().startswith(b"{"):
        return "jsonl"
    return "tsv" if first.count(b"\t") in {1, 2} and b"\0" not in first else None


def _listed() -> str:
    return "; ".join(f"{name} ({what})" for name, what in FORMATS.items())


__all__ = [
    "FORMATS",
    "Judgement",
    "LeftOut",
    "OnBad",
    "Question",
    "Result",
    "SkipReport",
    "TrainingPassage",
    "TrainingSample",
    "open_by_source",
    "open_corpus",
    "read_beir",
    "read_beir_questions",
    "read_docstrings",
    "read_faiss_vectors",
    "read_jsonl",
    "read_langchain_docstore",
    "read_qrels",
    "read_questions",
    "read_results",
    "read_texts",
    "read_training",
    "read_tsv",
    "read_vectors",
    "write_beir",
    "write_jsonl",
    "write_questions",
    "write_results",
    "write_training",
    "write_tsv",
    "write_vectors",
]

"""The formats of corpora: what each is, and how a file or folder shows its own by name and content."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote

from dpr_rag.corpora.chroma import is_chroma
from dpr_rag.corpora.datasets import is_dataset
from dpr_rag.corpora.gzipped import unpacked_name
from dpr_rag.corpora.langchain import is_dump, is_faiss_folder
from dpr_rag.corpora.lines import read_lines
from dpr_rag.corpora.llama_index import is_persisted
from dpr_rag.corpora.magic import PARQUET, exists, refuse_device, refuse_other_kinds, refuse_pipe
from dpr_rag.corpora.parts import is_encoded
from dpr_rag.corpora.retrieved import holds_ctxs
from dpr_rag.corpora.texts import SUFFIXES
from dpr_rag.corpora.walking import not_found
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import ByFace
from dpr_rag.paths import place_of

FORMATS = {
    "tsv": "*.tsv[.gz]: id, text, title with tabs between, as psgs_w100.tsv; or id, text, as MS MARCO's collection.tsv",
    "csv": "*.csv[.gz]: columns under a header",
    "jsonl": "*.jsonl[.gz]: an object with id, title, text, metadata a line",
    "json": "*.json[.gz]: an array of such objects",
    "ctxs": "*.json[l][.gz] of questions with passages under ctxs, as FiD's inputs and DPR's results",
    "parquet": "*.parquet: columns with such names",
    "beir": "a folder with corpus.jsonl",
    "dataset": "a folder that Hugging Face's datasets saved (save_to_disk), or *.arrow",
    "chroma": "a folder of Chroma, with chroma.sqlite3",
    "llama-index": "a folder that LlamaIndex persisted, with docstore.json",
    "langchain": "a folder of LangChain's FAISS store, with *.faiss and *.pkl; or *.json that its InMemoryVectorStore dumped",
    "text": "a folder of .txt, .md, .html, .docx and .pdf files, or one of them, split at sentences into passages of 100 words "
    "at most",
    "python": "'python:' for the docstrings of the standard library, 'python:json,gzip' for those of modules",
}
PYTHON = "python:"
_ENDINGS = {f".{form}": form for form in ("tsv", "csv", "jsonl", "json", "parquet")} | {
    ".ndjson": "jsonl",
    ".arrow": "dataset",
    **dict.fromkeys(SUFFIXES, "text"),
}
_STORE = "passages.sqlite"
_FOLDERS = {"dataset": is_dataset, "chroma": is_chroma, "llama-index": is_persisted, "langchain": is_faiss_folder}


def format_of(path: str | Path) -> str:
    """Find the format of a corpus.

    Raises:
        CorpusError: There is nothing, or nothing tells what it is.
    """
    if str(path).startswith(PYTHON):
        return "python"
    place = place_of(path)
    if not exists(place):
        raise missing(path)
    refuse_device(place)
    refuse_pipe(place)
    name = _of_folder(place) if place.is_dir() else _of_file(place)
    if name is None:
        raise CorpusError(
            f"{path}: "
            + ByFace(
                f"cannot tell its format; name one of {listed_formats()}",
                page="this kind of file is not read; give .txt, .md, .html, .docx, .pdf, .csv, .tsv, .jsonl or .json",
            )
        )
    return name


def _of_folder(folder: Path) -> str | None:
    try:
        with os.scandir(folder):
            os.stat(f"{folder}/.")  # a Path would drop the dot
    except OSError as error:  # which the search below would pass over
        raise UnreadableError(f"{folder}: cannot be listed ({error.strerror or error}); check its rights") from error
    if any((folder / name).is_file() for name in ("corpus.jsonl", "corpus.jsonl.gz")):
        return "beir"
    moved = [form for form, is_such in _FOLDERS.items() if is_such(folder)]
    if moved:
        return moved[0]
    if is_encoded(folder):
        raise CorpusError(
            f"{folder}: holds parts that dpr-rag encoded or exported, with their vectors; "
            + ByFace(
                "load them with dpr_rag.scaling.load",
                cli=f"load them with: dpr-rag load {quote(str(folder))} --store STORE",
            )
            + ", or give one of its files"
        )
    if any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*")):
        return "text"
    if (folder / _STORE).is_file():
        raise CorpusError(
            f"{folder}: is a store, and no corpus; "
            + ByFace(
                "join stores with dpr_rag.scaling.merge",
                cli=f"add it to another with: dpr-rag merge {quote(str(folder))} -o STORE",
            )
        )
    return None


def _of_file(file: Path) -> str | None:
    ending = unpacked_name(file).suffix.lower()
    if ending in _ENDINGS:
        return _of_json(file, _ENDINGS[ending]) if _ENDINGS[ending] in {"json", "jsonl"} else _ENDINGS[ending]
    if _begins_with(file, PARQUET):
        return "parquet"
    refuse_other_kinds(file)
    first = next((line for _, line in read_lines(file) if line.strip()), b"")
    if first.lstrip().startswith((b"{", b"[")):
        return _of_json(file, "jsonl" if first.lstrip().startswith(b"{") else "json")
    return "tsv" if b"\t" in first and b"\0" not in first else None


def _of_json(file: Path, form: str) -> str:
    if form == "json" and is_dump(file):
        return "langchain"
    return "ctxs" if holds_ctxs(file) else form


def _begins_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error


def missing(path: str | Path) -> CorpusError:
    """The error for a path at which there is nothing."""
    return not_found(place_of(path), ByFace(f"give {listed_formats()}"))


def listed_formats() -> str:
    """All formats for a message."""
    return "; ".join(f"{name} ({what})" for name, what in FORMATS.items())

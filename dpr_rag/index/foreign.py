"""Reads vectors of FAISS files from other libraries in a separate process, since FAISS does not validate what it reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import CorpusError, VectorError
from dpr_rag.faces import message_of
from dpr_rag.paths import place_of

_READER = "dpr_rag.index.foreign_reader"


def read_faiss_vectors(path: str | Path) -> tuple[Vectors, str]:
    """Read all vectors of a FAISS index file, in the order in which they were added.

    Vectors of compressed kinds come back as closely as FAISS can rebuild them. FAISS checks little of what it reads, so
    another process reads the file, within limits of memory and time that grow with the file's size (except on Windows): a
    file that is damaged, or made to do harm, ends that process and not this one.

    Args:
        path: A file that ``faiss.write_index`` wrote.

    Returns:
        float32 [n, dim], and the index's metric: ``inner_product``, ``l2`` or ``other``.

    Raises:
        CorpusError: The file cannot be read, its kind cannot give vectors back, or it claims more of them than it can hold.
    """
    path = place_of(path)
    if not path.is_file():
        raise CorpusError(f"{path}: there is no such file; give the index file of a FAISS store")
    try:
        path.open("rb").close()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    told, vectors, code = _read(path)
    problem = told.get("problem") or ("" if code == 0 else _ending(code))
    if problem:
        raise CorpusError(f"{path}: FAISS cannot give its vectors back ({problem:.300}); build the store anew")
    try:
        return check_vectors(vectors), str(told["metric"])
    except VectorError as error:
        raise CorpusError(f"{path}: " + message_of(error)) from error


def _read(path: Path) -> tuple[dict[str, Any], Vectors, int]:
    """Run the reading process; returns its report, the vectors and its exit code."""
    command = [sys.executable, "-m", _READER, str(path.absolute())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)  # noqa: S603
    except OSError as error:
        raise CorpusError(
            f"{path}: {sys.executable or 'Python'}, which is to read it, cannot be started ({error}); check the installation"
        ) from error
    with process:
        try:
            told, vectors = _taken(process.stdout)
        except BaseException:
            process.kill()
            raise
    return told, vectors, process.returncode


def _taken(pipe: IO[bytes] | None) -> tuple[dict[str, Any], Vectors]:
    line = b"" if pipe is None else pipe.readline()
    told: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    vectors = np.empty((told.get("count", 0), told.get("dim", 0)), np.float32)
    rest = vectors.reshape(-1).view(np.uint8).data
    while rest and pipe is not None and (some := pipe.read(min(len(rest), 1 << 20))):
        rest[: len(some)] = some
        rest = rest[len(some) :]
    return told, vectors


def _ending(code: int) -> str:
    """The end of the reading process, in words."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"the process that read it ended with code {code}"
    return (
        f"the process that read it was ended by {name}, so the file is damaged, or of a kind that FAISS reads wrongly"
    )

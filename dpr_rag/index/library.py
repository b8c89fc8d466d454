"""FAISS: imported when it is first needed, usable in a forked child; its files, whatever their paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpr_rag.errors import ForkedProcessError
from dpr_rag.forking import REMEDY, ForkGate, has_lost_workers


def _refusal() -> ForkedProcessError:
    return ForkedProcessError(f"this process was forked while another thread was importing FAISS; {REMEDY}")


_IMPORTING = ForkGate(_refusal)


def import_faiss() -> Any:
    """Import FAISS; in a forked child, which has no OpenMP workers, it runs on one thread.

    Raises:
        ForkedProcessError: It was only half imported in the parent.
    """
    if "faiss" not in sys.modules:
        with _IMPORTING.held():
            import faiss
    import faiss

    if has_lost_workers():
        faiss.omp_set_num_threads(1)
    return faiss


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS work in the thread that calls, and in no other; other threads' calls are as before.

    One question compared with many vectors one by one takes FAISS 1.15 three times as long on two threads as on one, and six
    times the processor's work. Its graphs and clusters take one thread for a question anyway.
    """
    faiss = import_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def read_index(path: Path, *, mapped: bool = False) -> Any:
    """Read a FAISS index from a file.

    Args:
        path: The file.
        mapped: Map it into memory instead, so that FAISS reads it on demand.

    Raises:
        RuntimeError: FAISS cannot read it.
        OSError: A file with a name that is not text cannot be opened.
    """
    faiss = import_faiss()
    with _faiss_name(path, os.O_RDONLY) as name:
        return faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC if mapped else 0)


def write_index(index: Any, path: Path) -> None:
    """Write a FAISS index to a file.

    Raises:
        RuntimeError: FAISS cannot write it.
        OSError: A file with a name that is not text cannot be made.
    """
    with _faiss_name(path, os.O_RDWR | os.O_CREAT) as name:
        import_faiss().write_index(index, name)


@contextmanager
def _faiss_name(path: Path, flags: int) -> Iterator[str]:
    """The name by which FAISS opens a file: its path, or, as FAISS takes only text, its descriptor if the path is not text."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        pass
    else:
        yield name
        return
    descriptor = os.open(path, flags, 0o666)
    try:
        yield f"/dev/fd/{descriptor}"
    finally:
        os.close(descriptor)

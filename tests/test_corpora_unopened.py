"""Files that the system does not let be read: every reader says so, and none calls them damaged and to be made anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from dpr_rag.corpora import open_corpus, read_vectors
from dpr_rag.corpora.chroma_vectors import _Level0
from dpr_rag.corpora.parts import Mark, read_mark, read_part, write_part
from dpr_rag.errors import CorpusError
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.index.library import import_faiss
from dpr_rag.passages import Passage

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
TABLE = pa.table({"id": ["1"], "text": ["a"], "vector": [[1.0, 2.0]]})


def make_parquet(folder: Path) -> Path:
    parquet.write_table(TABLE, folder / "p.parquet")
    return folder / "p.parquet"


def make_arrow(folder: Path) -> Path:
    with pa.ipc.new_stream(folder / "p.arrow", TABLE.schema) as stream:
        stream.write_table(TABLE)
    return folder / "p.arrow"


def make_pdf(folder: Path) -> Path:
    pytest.importorskip("pypdf")
    (folder / "p.pdf").write_bytes(b"%PDF-1.4\n")
    return folder / "p.pdf"


def make_npy(folder: Path) -> Path:
    np.save(folder / "v.npy", np.ones((1, 2), np.float32))
    (folder / "v.ids.txt").write_text("1\n", "utf-8")
    return folder / "v.npy"


def make_npz(folder: Path) -> Path:
    np.savez(folder / "v.npz", ids=["1"], vectors=np.ones((1, 2), np.float32))
    return folder / "v.npz"


def make_part(folder: Path) -> Path:
    return write_part(folder, Mark(0, 1, 0, 0, True, 2), [Passage("1", "a")], np.ones((1, 2), np.float32))


def make_faiss(folder: Path) -> Path:
    faiss = import_faiss()
    faiss.write_index(faiss.IndexFlatIP(2), str(folder / "index.faiss"))
    return folder / "index.faiss"


def make_chroma(folder: Path) -> Path:
    (folder / "header.bin").write_bytes(b"")
    return folder / "header.bin"


CASES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "parquet": (make_parquet, lambda file: list(open_corpus(file))),
    "arrow": (make_arrow, lambda file: list(open_corpus(file))),
    "pdf": (make_pdf, lambda file: list(open_corpus(file))),
    "vectors in parquet": (make_parquet, lambda file: list(read_vectors(file))),
    "npy": (make_npy, lambda file: list(read_vectors(file))),
    "npz": (make_npz, lambda file: list(read_vectors(file))),
    "mark": (make_part, read_mark),
    "part": (make_part, read_part),
    "faiss": (make_faiss, read_faiss_vectors),
    "chroma": (make_chroma, lambda file: _Level0(file.parent, 2)),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def shut(file: Path) -> Iterator[None]:
    """Take the rights to read a file from everybody; root, whom they do not concern, becomes another user meanwhile."""
    user = os.geteuid()
    file.chmod(0)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        file.chmod(0o600)


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_may_not_be_read_is_not_called_damaged(place: Path, name: str) -> None:
    make, read = CASES[name]
    file = make(place)
    with suppress(CorpusError):
        read(file)  # what is imported at first use is found now
    with shut(file), pytest.raises(CorpusError) as raised:
        read(file)
    assert str(raised.value) == f"{file}: cannot be read (Permission denied); check the path"

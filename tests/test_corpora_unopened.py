"""Files that the system does not let be read: every reader says so, and none calls them damaged and to be made anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import PassageStore
from dpr_rag.cli.app import app
from dpr_rag.corpora import LeftOut, open_corpus, read_beir, read_texts, read_vectors
from dpr_rag.corpora.chroma_vectors import _Level0
from dpr_rag.corpora.parts import Mark, read_mark, read_part, write_part
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.index.library import import_faiss
from dpr_rag.passages import Passage
from dpr_rag.scaling import encode

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
TABLE = pa.table({"id": ["1"], "text": ["a"], "vector": [[1.0, 2.0]]})


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


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
def shut(file: Path, mode: int = 0) -> Iterator[None]:
    """Take all rights to a file or folder from everybody; root, whom they do not concern, becomes another user meanwhile."""
    user, before = os.geteuid(), file.stat().st_mode
    file.chmod(mode)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        file.chmod(before)


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_may_not_be_read_is_not_called_damaged(place: Path, name: str) -> None:
    make, read = CASES[name]
    file = make(place)
    with suppress(CorpusError):
        read(file)  # what is imported at first use is found now
    with shut(file), pytest.raises(CorpusError) as raised:
        read(file)
    assert str(raised.value) == f"{file}: cannot be read (Permission denied); check the path"


INSIDE: dict[str, Callable[[Path], object]] = {
    "open_corpus": lambda folder: list(open_corpus(folder / "p.jsonl")),
    "a format that is named": lambda folder: list(open_corpus(folder / "p.jsonl", format="jsonl")),
    "read_texts": lambda folder: list(read_texts(folder / "p.txt")),
    "read_beir": lambda folder: list(read_beir(folder)),
    "encode": lambda folder: encode([Passage("1", "a")], TinyEncoder(), folder),
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_lies_in_a_folder_that_may_not_be_entered_is_named(place: Path, name: str) -> None:
    folder = place / "closed"
    folder.mkdir()
    for file in ("p.jsonl", "corpus.jsonl"):
        (folder / file).write_text('{"id": "1", "text": "a"}\n', "utf-8")
    (folder / "p.txt").write_text("a", "utf-8")
    INSIDE[name](folder)  # what is imported at first use is found now
    said = rf"^{re.escape(str(folder))}/\S+: cannot be read \(Permission denied\); check the path$"
    with shut(folder), pytest.raises(UnreadableError, match=said):
        INSIDE[name](folder)


def test_a_folder_that_can_be_listed_and_not_entered_is_named(place: Path) -> None:
    folder = place / "closed"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"id": "1", "text": "a"}\n', "utf-8")
    with shut(folder, 0o444):
        with pytest.raises(UnreadableError, match=r"closed: cannot be listed \(Permission denied\); check its rights"):
            open_corpus(folder)


def test_a_store_in_a_folder_that_may_not_be_entered_is_named_with_a_remedy(place: Path) -> None:
    folder = place / "closed"
    with PassageStore.open(folder / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage("1", "a")])
    assert run("info", folder / "s.dpr").exit_code == 0
    with shut(folder):
        done = run("info", folder / "s.dpr")
    assert done.exit_code == 1
    said = f"{folder / 's.dpr' / 'passages.sqlite'}: Permission denied; check its rights, and those of its folders"
    assert done.stderr == f"dpr-rag: error: {said}\n"


def test_a_file_that_goes_away_while_its_folder_is_read_is_counted_as_such(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text(name, "utf-8")
    left_out = LeftOut()
    found = read_texts(tmp_path, left_out=left_out)
    assert next(found).text == "a"
    (tmp_path / "b.txt").unlink()
    assert [passage.text for passage in found] == ["c"]
    assert left_out == {"file that went away meanwhile": 1}

"""What reading a folder leaves out: counted by reason, told, and an error where it could not be read."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import (
    LeftOut,
    SkipReport,
    open_corpus,
    read_docstrings,
    read_json,
    read_qrels,
    read_questions,
    read_results,
    read_texts,
    read_training,
    read_tsv,
    read_vectors,
)
from dpr_rag.corpora.walking import in_words
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.evaluation import read_run

AS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Two files that are read, and one of everything that is not."""
    folder, outside = tmp_path / "notes", tmp_path / "outside"
    for below in (folder / "sub", folder / ".git", outside):
        below.mkdir(parents=True)
        (below / "b.md").write_text("below", "utf-8")
    (folder / "a.TXT").write_text("read", "utf-8")
    (folder / "empty.md").write_text("\n \n", "utf-8")
    for name in ("x.png", "y.PNG", "z.css", "Makefile", ".hidden.md"):
        (folder / name).write_text("not read", "utf-8")
    (folder / "linked").symlink_to(outside)
    (folder / "file-link.md").symlink_to(folder / "a.TXT")
    os.mkfifo(folder / "pipe.txt")
    return folder


LEFT = {
    "linked folder": 1,
    "hidden file or folder": 2,
    ".png file": 2,
    ".css file": 1,
    "file without an ending": 1,
    "empty file": 1,
    "special file": 1,
}
TOLD = (
    "1 empty file, 1 file without an ending, 2 hidden files or folders, 1 linked folder, 1 special file, 2 .png files, "
    "1 .css file"
)


def test_everything_that_is_passed_over_is_counted_by_reason(notes: Path) -> None:
    left_out = LeftOut()
    read = [item.id for item in read_texts(notes, left_out=left_out)]
    assert read == ["notes/a.TXT#1", "notes/file-link.md#1", "notes/sub/b.md#1"]
    assert left_out == LEFT
    assert in_words(left_out) == TOLD


def test_rare_endings_are_put_together() -> None:
    many = {f".e{n} file": n for n in range(1, 9)} | {"unreadable file": 1, "broken link": 1_000}
    assert in_words(many) == (
        "1 unreadable file, 1,000 broken links, 8 .e8 files, 7 .e7 files, 6 .e6 files, 5 .e5 files, 4 .e4 files, "
        "6 files with another ending"
    )


def test_index_says_what_it_left_out_in_one_line(notes: Path, tmp_path: Path) -> None:
    done = run("index", notes, "--store", tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("added 3,")
    assert done.stderr == f"left out: {TOLD}\n"
    quiet = tmp_path / "whole"
    quiet.mkdir()
    (quiet / "a.md").write_text("text", "utf-8")
    assert run("index", quiet, "--store", tmp_path / "t").stderr == ""


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_index_says_how_a_table_in_a_folder_of_texts_is_read(tmp_path: Path, ending: str) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("text", "utf-8")
    (tmp_path / "notes" / f"faq.{ending}").write_text("question,answer\nWho?,Ada\n", "utf-8")
    done = run("index", tmp_path / "notes", "--store", tmp_path / "s")
    assert (done.exit_code, done.stderr) == (
        0,
        f"left out: 1 .{ending} file; index tables of ids and texts by themselves: dpr-rag index FILE.{ending}; "
        "dpr-rag chat reads others, too\n",
    )


def test_broken_links_are_unreadable_and_the_rest_is_indexed(notes: Path, tmp_path: Path) -> None:
    (notes / "a-gone.md").symlink_to(tmp_path / "nowhere.md")
    (notes / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (notes / "folder-gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnreadableError, match=r"a-gone\.md: is a link to .*nowhere\.md, which is not there"):
        list(read_texts(notes))
    done = run("index", notes, "--store", tmp_path / "s")
    assert done.exit_code == 1
    assert done.stdout.startswith("added 3,")
    assert f"skipped: {notes / 'a-gone.md'}: is a link to" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("left out: 2 broken links, 1 empty file")
    assert "3 .png files" in last
    assert last.endswith("; --skip-bad accepts what cannot be read")
    done = run("index", notes, "--store", tmp_path / "s", "--skip-bad")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1].startswith("left out: 2 broken links, ")


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make files and folders of these names unreadable, which permissions cannot do for root."""
    scan, opened = os.scandir, Path.open

    def scandir(path: Any = ".") -> Any:
        if os.path.basename(os.fspath(path)) in names:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    def open_path(path: Path, *args: Any, **options: Any) -> Any:
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "open", open_path)


def test_what_may_not_be_read_is_counted_and_the_rest_is_indexed(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "sub", "a.TXT")
    with pytest.raises(UnreadableError, match=r"a\.TXT: cannot be read \(Permission denied\)"):
        list(read_texts(notes))
    report, left_out = SkipReport(), LeftOut()
    assert [item.id for item in read_texts(notes, on_bad=report, left_out=left_out)] == ["notes/file-link.md#1"]
    assert report.count == 2
    assert left_out == LEFT | {"unreadable file": 1, "unreadable folder": 1}
    done = run("index", notes, "--store", tmp_path / "s")
    assert (done.exit_code, done.stdout[:8]) == (1, "added 1,")
    assert f"skipped: {notes / 'sub'}: cannot be listed (Permission denied)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("left out: 1 unreadable folder, 1 unreadable file, 1 empty file")
    assert run("index", notes, "--store", tmp_path / "s", "--skip-bad").exit_code == 0


def test_a_text_that_is_not_utf_8_does_not_end_the_indexing_of_a_folder(notes: Path, tmp_path: Path) -> None:
    (notes / "a-latin.txt").write_bytes(b"caf\xe9\n")
    (notes / "a-wide.txt").write_bytes("café".encode("utf-16"))
    done = run("index", notes, "--store", tmp_path / "s")
    assert (done.exit_code, done.stdout[:8]) == (1, "added 3,")
    assert f"skipped: {notes / 'a-latin.txt'}:1: byte 4 (0xe9) is not UTF-8; convert the file" in done.stderr
    assert f"skipped: {notes / 'a-wide.txt'}: is UTF-16 text; convert it" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("left out: 2 unreadable files, ")
    assert last.endswith("; --skip-bad accepts what cannot be read")
    assert run("index", notes, "--store", tmp_path / "s", "--skip-bad").exit_code == 0
    alone = run("index", notes / "a-latin.txt", "--store", tmp_path / "t")
    assert (alone.exit_code, "a-latin.txt:1: byte 4 (0xe9) is not UTF-8" in alone.stderr) == (1, True)


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_permissions_are_kept_to(notes: Path, tmp_path: Path) -> None:
    (notes / "sub").chmod(0)
    (notes / "a.TXT").chmod(0)
    try:
        done = run("index", notes, "--store", tmp_path / "s")
        assert done.exit_code == 1
        assert "1 unreadable folder, 2 unreadable files" in done.stderr
    finally:
        (notes / "sub").chmod(0o700)
        (notes / "a.TXT").chmod(0o600)


def test_a_folder_that_can_be_listed_and_not_entered_is_skipped_as_others_are(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files have names, and asking what they are is refused."""
    closed = notes / "sub"
    (closed / "deep").mkdir()
    (closed / "deep" / "c.md").write_text("deeper", "utf-8")
    asked = Path.is_symlink

    def refuse_inside(path: Path) -> bool:
        if closed in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return asked(path)

    monkeypatch.setattr(Path, "is_symlink", refuse_inside)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    done = run("index", notes, "--store", tmp_path / "s")
    assert done.exit_code == 1
    assert f"skipped: {closed}: cannot be listed (Permission denied); check its rights" in done.stderr
    assert "left out: 1 unreadable folder, 1 empty file, " in done.stderr
    assert done.stdout.startswith("added 2, ")
    with pytest.raises(UnreadableError, match=r"sub: cannot be listed \(Permission denied\); check its rights"):
        list(read_texts(closed))


def test_a_folder_or_file_that_is_unreadable_itself_is_an_error(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "notes", "a.TXT")
    for form in ([], ["--format", "text"]):
        done = run("index", notes, "--store", tmp_path / "s", *form)
        assert done.exit_code == 1
        assert done.stderr.startswith("dpr-rag: error: ")
        assert "cannot be listed (Permission denied)" in done.stderr
    done = run("index", notes / "a.TXT", "--store", tmp_path / "s", "--skip-bad")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "a.TXT: cannot be read" in done.stderr


def test_beside_a_beir_corpus_nothing_is_passed_over_in_silence(tmp_path: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl", "notes.md", "corpus.jsonl.gz", "README.md"):
        (tmp_path / name).write_text(f'{{"_id": "1", "text": "{name}"}}\n', "utf-8")
    left_out = LeftOut()
    assert [(one.id, one.text) for one in open_corpus(tmp_path, left_out=left_out)] == [("1", "corpus.jsonl")]
    assert left_out == {".md file beside corpus.jsonl": 2, ".gz file beside corpus.jsonl": 1}


def test_shards_behind_broken_links_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "shard_1").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="shard_1: is a link to nothing"):
        list(read_vectors(tmp_path / "shard_*"))


def test_modules_that_cannot_be_imported_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = importlib.import_module

    def imported(name: str) -> ModuleType:
        return whole("no_such_module" if name == "_socket" else name)

    monkeypatch.setattr(importlib, "import_module", imported)
    left_out = LeftOut()
    assert list(read_docstrings(["_socket"], left_out=left_out)) == []
    assert left_out == {"module that cannot be imported": 1}
    done = run("index", "python:_socket,gzip", "--store", tmp_path / "s")
    assert "left out: 1 module that cannot be imported" in done.stderr


LINKS = {
    "gone": "is a link to {}, which is not there; mend or remove it",
    "itself": "is a link to {}, which leads in a circle; mend or remove it",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.md"])
@pytest.mark.parametrize("target", LINKS)
def test_a_corpus_that_is_a_broken_link_is_called_one(tmp_path: Path, name: str, target: str) -> None:
    link = tmp_path / name
    link.symlink_to(name if target == "itself" else target)
    for read in (open_corpus, lambda path: list(read_texts(path))):
        with pytest.raises(CorpusError) as caught:
            read(link)
        assert str(caught.value) == f"{link}: {LINKS[target].format(link.readlink())}"


@pytest.mark.parametrize(
    "read", [read_questions, read_qrels, read_results, read_training, read_run, read_tsv, read_json]
)
@pytest.mark.parametrize("target", LINKS)
def test_any_other_file_that_is_a_broken_link_is_called_one(tmp_path: Path, read: Any, target: str) -> None:
    link = tmp_path / "a.json"
    link.symlink_to("a.json" if target == "itself" else target)
    with pytest.raises(CorpusError) as caught:
        list(read(link))
    assert str(caught.value) == f"{link}: {LINKS[target].format(link.readlink())}"
    with pytest.raises(CorpusError, match=r"b\.json: cannot be read \(No such file or directory\); check the path"):
        list(read(tmp_path / "b.json"))

"""`delete`: exactly what was named goes, by id, by filter or by file; and a large part of a store not by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models, removing
from dpr_rag.cli.app import app


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="dpr-rag")


def put(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return folder


def ids(store: Path) -> set[str]:
    with PassageStore.open(store, read_only=True) as opened:
        return {passage.id for passage in opened}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return put(tmp_path / "here" / "notes", **{"my_notes": "word " * 150, "my-notes": "other", "my_notes.md#1": "odd"})


@pytest.fixture
def store(tmp_path: Path, notes: Path) -> Path:
    assert run("index", notes, "--store", tmp_path / "s").exit_code == 0
    assert ids(tmp_path / "s") == {
        "notes/my_notes.md#1",
        "notes/my_notes.md#2",
        "notes/my-notes.md#1",
        "notes/my_notes.md#1.md#1",
    }
    return tmp_path / "s"


OTHERS = {"notes/my-notes.md#1", "notes/my_notes.md#1.md#1"}


def test_only_the_files_own_passages_go(store: Path, notes: Path) -> None:
    assert run("delete", store, "--file", notes / "my_notes.md").stdout == "deleted 2; 2 left\n"
    assert ids(store) == OTHERS


@pytest.mark.parametrize("path", ["notes/my_notes.md", "my_notes.md", "./notes/my_notes.md"])
def test_a_file_that_is_gone_is_named_as_in_its_ids(
    store: Path, notes: Path, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (notes / "my_notes.md").unlink()
    monkeypatch.chdir(put(tmp_path / "elsewhere"))
    assert run("delete", store, "--file", path).stdout == "deleted 2; 2 left\n"
    assert ids(store) == OTHERS


def test_relative_paths_links_and_folders(
    store: Path, notes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(notes)
    assert run("delete", store, "--dry-run", "--file", tmp_path / "link" / "my-notes.md").stdout == (
        "would delete 1 of 4 passages: notes/my-notes.md#1\n"
    )
    monkeypatch.chdir(notes.parent)
    assert run("delete", store, "--file", "notes/my-notes.md").stdout == "deleted 1; 3 left\n"
    assert run("delete", store, "--file", "notes/").stdout == "deleted 3; 0 left\n"


def test_another_file_of_the_same_name_is_not_the_one(store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(put(tmp_path / "elsewhere" / "notes", my_notes="mine").parent)
    before = ids(store)
    done = run("delete", store, "--file", "notes/my_notes.md")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "came from 'notes/my_notes.md'" in done.stderr
    assert ids(store) == before


def test_names_that_several_files_have_are_refused(store: Path, tmp_path: Path, notes: Path) -> None:
    other = put(tmp_path / "here" / "docs", my_notes="docs")
    before = ids(store)
    assert run("index", other, "--store", store).exit_code == 0
    for folder in (notes, other):
        (folder / "my_notes.md").unlink()
    done = run("delete", store, "--file", "my_notes.md")
    assert done.exit_code == 1
    assert "my_notes.md may be any of 2 files" in done.stderr
    assert ids(store) == before | {"docs/my_notes.md#1"}
    assert run("delete", store, "--file", "docs/my_notes.md").stdout == "deleted 1; 4 left\n"
    assert ids(store) == before


def test_files_of_other_forms_and_prefixes(tmp_path: Path, store: Path) -> None:
    books = tmp_path / "books.jsonl"
    books.write_text("".join(json.dumps({"id": str(n), "text": f"t{n}"}) + "\n" for n in range(3)), "utf-8")
    assert run("index", books, "--store", store, "--prefix", "b/").stdout.startswith("added 3")
    assert ids(store) >= {"b/0", "b/1", "b/2"}
    assert run("delete", store, "--file", books).stdout == "deleted 3; 4 left\n"


def test_stores_without_sources_go_by_the_ids(tmp_path: Path) -> None:
    store, made = tmp_path / "s", ["notes/a.md#1", "notes/a.md#12", "notes/a.md#x", "notes/a.md", "b_notes/a.md#1"]
    with PassageStore.open(store, encoder=TinyEncoder("tiny")) as opened:
        opened.add([Passage(one, "text", metadata={"id": "notes/a.md#1"}) for one in made])
    assert run("delete", store, "--file", "notes/a.md").stdout == "deleted 2; 3 left\n"
    assert ids(store) == set(made[2:])


def test_files_that_nothing_came_from_are_named_as_rm_does(store: Path, notes: Path) -> None:
    done = run("delete", store, "--file", "nowhere.md")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no passage of" in done.stderr
    assert "'nowhere.md'" in done.stderr
    done = run("delete", store, "--file", notes / "my-notes.md", "--file", "nowhere.md")
    assert (done.exit_code, done.stdout) == (1, "deleted 1; 3 left\n")
    assert done.stderr == "no passage came from nowhere.md\n"


def test_a_dry_run_counts_shows_and_leaves_everything(store: Path) -> None:
    before = ids(store)
    where = '{"id": {"$startswith": "notes/my_notes.md#"}}'
    done = run("delete", store, "--dry-run", "--filter", where)
    assert done.stdout.startswith("would delete 3 of 4 passages: notes/my_notes.md#1")
    done = run("delete", store, "--dry-run", "notes/my_notes.md#2", "nobody", "notes/my_notes.md#2")
    assert done.stdout == "would delete 1 of 4 passages: notes/my_notes.md#2\n"
    assert done.stderr == "1 of 2 ids are not in the store\n"
    assert ids(store) == before


def test_many_are_asked_for_on_a_terminal_alone(store: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    asked: list[str] = []

    def confirm(text: str, **options: bool) -> None:
        asked.append(text)
        if len(asked) == 1:
            raise removing.typer.Abort

    monkeypatch.setattr(removing, "_at_terminal", Terminal.isatty)
    monkeypatch.setattr(removing.typer, "confirm", confirm)
    where = '{"id": {"$startswith": "notes/my_notes.md#"}}'
    before = ids(store)
    assert run("delete", store, "--filter", where).exit_code == 1
    assert ids(store) == before
    assert asked[0].startswith("delete 3 of 4 passages: notes/my_notes.md#1, ")
    assert run("delete", store, "notes/my-notes.md#1").exit_code == 0
    assert len(asked) == 1  # one passage is no accident
    assert run("delete", store, "--filter", where, "--yes").stdout == "deleted 3; 0 left\n"
    assert len(asked) == 1


def test_an_answer_is_read_from_the_terminal(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "_at_terminal", lambda: True)
    where = '{"id": {"$startswith": "notes/"}}'
    refused = run("delete", store, "--filter", where, stdin="n\n")
    assert (refused.exit_code, len(ids(store))) == (1, 4)
    assert "delete 4 of 4 passages" in refused.stderr
    assert "deleted 4; 0 left" in run("delete", store, "--filter", where, stdin="y\n").stdout


def test_one_way_to_name_them(store: Path) -> None:
    for args in (["x", "--file", "y"], ["--filter", "{}", "--file", "y"], []):
        assert run("delete", store, *args).exit_code == 2


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_current_folder(store: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a variable of the shell that is not set."""
    monkeypatch.chdir(store.parent)
    before = len(ids(store))
    done = run("delete", store, "--file", path)
    assert done.exit_code == 2
    assert "a PATH is empty; write . for the current folder" in " ".join(done.output.replace("│", " ").split())
    assert len(ids(store)) == before > 0

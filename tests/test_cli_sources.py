"""`index` from several places into one store: nothing of another project goes unasked, and what stays out is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import write_vectors


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


def texts(store: Path) -> dict[str, str]:
    with PassageStore.open(store, read_only=True) as opened:
        return {passage.id: passage.text for passage in opened}


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    for project in "AB":
        (tmp_path / project / "docs").mkdir(parents=True)
        (tmp_path / project / "docs" / "README.md").write_text(f"project {project}", "utf-8")
        lines = [{"id": str(n), "text": f"{project} line {n}"} for n in (1, 2)]
        (tmp_path / project / "books.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    (tmp_path / "B" / "docs" / "own.md").write_text("own", "utf-8")
    return tmp_path


def test_folders_of_one_name_do_not_overwrite_each_other(projects: Path) -> None:
    store = projects / "s"
    assert run("index", projects / "A" / "docs", "--store", store).exit_code == 0
    done = run("index", projects / "B" / "docs", "--store", store)
    assert done.exit_code == 1
    assert done.stdout.startswith("added 1, replaced 0, unchanged 0 in ")
    assert done.stderr == (
        f"left out 1 passages whose ids other files have brought: {projects / 'A' / 'docs' / 'README.md'} (1); "
        "--replace puts these in their place, --prefix NAME/ adds them under ids of their own\n"
    )
    assert texts(store) == {"docs/README.md#1": "project A", "docs/own.md#1": "own"}


def test_prefix_and_replace_are_the_remedies(projects: Path) -> None:
    store = projects / "s"
    run("index", projects / "A" / "docs", "--store", store)
    assert run("index", projects / "B" / "docs", "--store", store, "--prefix", "b/").exit_code == 0
    assert texts(store) == {
        "docs/README.md#1": "project A",
        "b/docs/README.md#1": "project B",
        "b/docs/own.md#1": "own",
    }
    done = run("index", projects / "B" / "docs", "--store", store, "--replace")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("added 1, replaced 1, unchanged 0 in ")
    assert run("index", projects / "A" / "docs", "--store", store).exit_code == 1


def test_files_of_one_name_and_lines_that_count_from_one(projects: Path) -> None:
    store = projects / "s"
    for name, said in (("docs/README.md", "README.md (1)"), ("books.jsonl", "books.jsonl (2)")):
        assert run("index", projects / "A" / name, "--store", store).exit_code == 0
        done = run("index", projects / "B" / name, "--store", store)
        assert (done.exit_code, said in done.stderr) == (1, True)
    assert set(texts(store).values()) == {"project A", "A line 1", "A line 2"}


def test_again_from_anywhere_is_nothing_new(projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = projects / "s"
    run("index", projects / "A" / "docs", "--store", store)
    monkeypatch.chdir(projects / "A")
    (projects / "link").symlink_to(projects / "A")
    for path in ("docs", "./docs/", projects / "link" / "docs"):
        done = run("index", path, "--store", store)
        assert (done.exit_code, done.stdout[:36]) == (0, "added 0, replaced 0, unchanged 1 in "[:36])
    monkeypatch.chdir(projects / "B")
    assert run("index", "docs", "--store", store).exit_code == 1


def test_stores_of_before_are_taken_over_silently(projects: Path) -> None:
    store = projects / "s"
    with PassageStore.open(store, encoder=TinyEncoder("tiny")) as opened:
        opened.add([Passage("docs/README.md#1", "project A", "README")])
    assert run("index", projects / "A" / "docs", "--store", store).stdout.startswith("added 0, replaced 0, unchanged 1")
    assert run("index", projects / "B" / "docs", "--store", store).exit_code == 1


def test_given_vectors_keep_to_the_same_rule(projects: Path) -> None:
    store, vectors = projects / "s", projects / "v.npy"
    write_vectors(vectors, [(["1", "2"], np.eye(2, 64, dtype=np.float32))])
    assert run("index", projects / "A" / "books.jsonl", "--store", store, "--vectors", vectors).exit_code == 0
    done = run("index", projects / "B" / "books.jsonl", "--store", store, "--vectors", vectors)
    assert (done.exit_code, "left out 2 passages" in done.stderr) == (1, True)
    done = run("index", projects / "B" / "books.jsonl", "--store", store, "--vectors", vectors, "--prefix", "b")
    assert done.exit_code == 0, done.output
    assert sorted(texts(store)) == ["1", "2", "b1", "b2"]


def test_modules_of_the_standard_library_are_one_source_however_they_are_named(tmp_path: Path) -> None:
    store = tmp_path / "s"
    assert run("index", "python:json,gzip", "--store", store).exit_code == 0
    assert run("index", "python:gzip", "--store", store).exit_code == 0


def test_nobody_sees_where_hits_come_from(projects: Path) -> None:
    run("index", projects / "A" / "docs", "--store", projects / "s")
    done = run("search", projects / "s", "project", "--json")
    assert json.loads(done.stdout)["hits"][0]["metadata"] == {}
    assert str(projects) not in done.stdout


def test_a_folder_that_moved_is_indexed_again(projects: Path) -> None:
    """Its passages are the same, and the file that brought them is no longer there."""
    store = projects / "s"
    run("index", projects / "A" / "books.jsonl", "--store", store)
    (projects / "A").rename(projects / "C")
    (projects / "C").joinpath("books.jsonl").write_text(
        json.dumps({"id": "1", "text": "A line 1"}) + "\n" + json.dumps({"id": "2", "text": "new"}) + "\n", "utf-8"
    )
    done = run("index", projects / "C" / "books.jsonl", "--store", store)
    assert (done.exit_code, done.stdout.split(" in ")[0]) == (1, "added 0, replaced 0, unchanged 1")
    assert f"{projects / 'A' / 'books.jsonl'} (1, which is no longer there); --replace" in done.stderr
    assert run("index", projects / "C" / "books.jsonl", "--store", store, "--replace").exit_code == 0
    assert texts(store)["2"] == "new"
    assert run("delete", store, "--file", projects / "C" / "books.jsonl").stdout.startswith("deleted 2")


def test_what_two_files_say_alike_stays_with_the_first(projects: Path) -> None:
    store, copy = projects / "s", projects / "copy.jsonl"
    copy.write_bytes((projects / "A" / "books.jsonl").read_bytes())
    run("index", projects / "A" / "books.jsonl", "--store", store)
    done = run("index", copy, "--store", store)
    assert (done.exit_code, done.stdout.split(" in ")[0]) == (0, "added 0, replaced 0, unchanged 2")
    assert run("delete", store, "--file", copy).exit_code == 1
    assert run("delete", store, "--file", projects / "A" / "books.jsonl").stdout.startswith("deleted 2")


def test_columns_are_named_by_options_and_the_advice_says_so(tmp_path: Path) -> None:
    table = tmp_path / "p.tsv"
    table.write_text("name\tvalue\tz\tyear\nd1\tA tragedy.\tHamlet\t1601\n", "utf-8")
    done = run("index", table, "--store", tmp_path / "s")
    assert done.exit_code == 1
    assert "name them with --id-column, --text-column and --title-column, or" in done.stderr
    done = run("index", table, "--store", tmp_path / "s", "--id-column", "name")
    assert "name it with --text-column NAME" in done.stderr
    named = ("--id-column", "name", "--text-column", "value", "--title-column", "z")
    assert run("index", table, "--store", tmp_path / "s", *named).exit_code == 0
    with PassageStore.open(tmp_path / "s", read_only=True) as opened:
        assert [(one.id, one.title, one.visible_metadata) for one in opened] == [("d1", "Hamlet", {"year": "1601"})]
    done = run("index", tmp_path, "--format", "text", "--store", tmp_path / "s", "--id-column", "name")
    assert (done.exit_code, "the format text has no columns" in done.stderr) == (1, True)


def test_rows_without_text_and_title_are_counted(tmp_path: Path) -> None:
    rows = [{"_id": "1", "title": "Hamlet", "text": ""}, {"_id": "2", "title": "", "text": ""}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = run("index", tmp_path, "--store", tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert "left out: 1 passage without text and title\n" in done.stderr
    assert texts(tmp_path / "s") == {"1": "Hamlet"}


@pytest.mark.parametrize("batch", [1, 512])
@pytest.mark.parametrize(
    ("name", "data", "between"),
    [
        (
            "p.jsonl",
            '{"id": "1", "text": "a"}\n\n{"id": "1", "text": "a"}\n{"id": "2", "text": "b"}\n{"id": "1", "text": "c"}\n',
            (1, 5),
        ),
        ("p.tsv", "id\ttext\n1\ta\n2\tb\n1\tc\n", (2, 4)),
        ("p.json", '[\n{"id": "1", "text": "a"},\n{"id": "2", "text": "b"},\n{"id": "1", "text": "c"}]', (2, 4)),
    ],
)
def test_an_id_that_comes_twice_is_named_by_the_lines_of_both(
    tmp_path: Path, name: str, data: str, between: tuple[int, int], batch: int
) -> None:
    path, store = tmp_path / name, tmp_path / "s"
    path.write_text(data, "utf-8")
    done = run("index", path, "--store", store, "--prefix", "x/", "--batch-size", batch)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    first, second = between
    assert f"the first is at {path}:{first}" in done.stderr
    assert f"{path}:{second}: the id 'x/1' comes twice in one run, with different contents" in done.stderr
    skipped = run("index", path, "--store", store, "--skip-bad", "--batch-size", batch)
    assert skipped.exit_code == 0, skipped.output
    assert f"skipped: {path}:{second}: the id '1' came before with other contents" in skipped.stderr
    assert "skipped 1 malformed entries" in skipped.stderr
    assert {key: text for key, text in texts(store).items() if "/" not in key} == {"1": "a", "2": "b"}

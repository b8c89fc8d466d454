"""A path that begins with ``~`` lies in a home folder, wherever it enters; ``./~`` is a folder of that name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from conftest import HashEncoder
from typer.testing import CliRunner

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.cli.options import folder_of
from dpr_rag.corpora import (
    Question,
    open_corpus,
    read_questions,
    read_texts,
    read_vectors,
    write_jsonl,
    write_questions,
    write_tsv,
    write_vectors,
)
from dpr_rag.encoders.checkpoints import convert
from dpr_rag.errors import PathError
from dpr_rag.paths import place_of, replacing
from dpr_rag.store import source_path
from dpr_rag.training.folder import OutputFolder

PASSAGES = [Passage("1", "a b", "T"), Passage("2", "c")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder beside the working directory, in which nothing may appear."""
    folder, work = tmp_path / "home", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(work)
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: HashEncoder())
    return folder


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~", "{home}"),
        ("~/x.dpr", "{home}/x.dpr"),
        ("./~/x", "{work}/~/x"),
        ("./~nobody-of-that-name/x", "{work}/~nobody-of-that-name/x"),
        ("~$report.txt", "{work}/~$report.txt"),
        ("a/~/b", "a/~/b"),
        ("-", "-"),
        ("a", "a"),
        ("a:b", "a:b"),
        ("price $5.txt", "price $5.txt"),
        ("a$HOME", "a$HOME"),
    ],
)
def test_place_of_a_path(home: Path, given: str, meant: str) -> None:
    expected = Path(meant.format(home=home, work=os.getcwd()))
    assert place_of(given) == place_of(place_of(given)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (":memory:", r"names no folder; PassageStore\.temporary\(\) is a store that is gone on close"),
        ("file:///tmp/a%20b", r"is a URI, expected a path of this machine, such as /tmp/a b"),
        ("file:/tmp/x", r"is a URI, expected a path of this machine, such as /tmp/x"),
        ("s3://bucket/x", r"is a URI, expected a path of this machine$"),
        ("$HOME/x", r"holds \$HOME, which is not expanded; write what it stands for"),
        ("data/${USER}/x", r"holds \$\{USER\}, which is not expanded"),
        (
            "~nobody-of-that-name/x",
            r"begins with a user ~nobody-of-that-name whom this machine does not know; write \./~",
        ),
        ("a\0b", r"holds a NUL character"),
        ("a/" + "ü" * 128, r"is too long, expected at most 255 bytes a name; shorten it"),
        ("a/" * 2_100, r"is too long, expected at most \d,\d{3} bytes in all; shorten it"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_what_is_no_path_of_this_machine_is_refused_and_makes_no_folder(
    home: Path, kind: Callable[[str], str | Path], given: str, said: str
) -> None:
    with pytest.raises(PathError, match=said):
        PassageStore.open(kind(given))
    with pytest.raises(PathError, match=said):
        open_corpus(kind(given))
    done = CliRunner().invoke(app, ["index", "a.jsonl", "--store", given])
    assert done.exit_code == 2
    assert os.listdir() == []


@pytest.mark.parametrize("given", [":memory:", "file:/x", "s3://b/x", "$HOME/x", "~nobody-of-that-name/x"])
def test_a_store_of_an_odd_name_that_is_there_still_opens(home: Path, given: str) -> None:
    Path(f"./{given}").mkdir(parents=True)
    with PassageStore.open(given, encoder=HashEncoder()) as store:
        store.add(PASSAGES)
    with PassageStore.open(Path.cwd() / Path(f"./{given}"), create=False) as store:
        assert list(store) == PASSAGES


@pytest.mark.parametrize("kind", [str, Path])
def test_stores_lie_in_the_home_folder(home: Path, kind: Callable[[str], Path]) -> None:
    with PassageStore.open(kind("~/a.dpr"), encoder=HashEncoder()) as store:
        store.add(PASSAGES)
        assert store.path == home / "a.dpr"
        store.backup(kind("~/copy"))
    PassageStore.restore(kind("~/copy"), kind("~/b.dpr"))
    with PassageStore.open(home / "b.dpr", create=False) as store:
        assert list(store) == PASSAGES
    assert os.listdir() == []


def test_corpora_lie_in_the_home_folder(home: Path) -> None:
    write_jsonl("~/p.jsonl", PASSAGES)
    write_tsv("~/p.tsv", PASSAGES)
    assert list(open_corpus("~/p.jsonl")) == list(open_corpus("~/p.tsv")) == PASSAGES
    write_questions("~/q.jsonl", [Question("1", "who?", ("x",))])
    assert [one.question for one in read_questions("~/q.jsonl")] == ["who?"]
    write_vectors("~/v.npy", [(["1", "2"], np.eye(2, dtype=np.float32))])
    assert [names for names, _ in read_vectors("~/*.npy", "~/v.ids.txt")] == [["1", "2"]]
    (home / "a.txt").write_text("word")
    assert [one.text for one in read_texts("~/a.txt")] == ["word"]
    assert source_path("~/a.txt") == str(home / "a.txt")
    assert os.listdir() == []


def test_models_and_training_lie_in_the_home_folder(home: Path) -> None:
    tiny.bert(home / "bert")
    encoder = DualEncoder.from_pretrained("~/bert", profile="dpr")
    encoder.save_pretrained("~/saved")
    convert("~/saved", "~/whole.cp")
    convert("~/whole.cp", "~/again", base="~/bert")
    assert {"saved", "whole.cp", "again"} <= {one.name for one in home.iterdir()}
    assert OutputFolder("~/out").path == home / "out"
    assert os.listdir() == []


def test_a_folder_called_tilde_is_walked_as_it_stands(home: Path) -> None:
    Path("./~").mkdir()
    Path("./~", "a.txt").write_text("word")
    (home / "a.txt").write_text("another")
    assert [one.text for one in open_corpus(".")] == ["word"]
    done = CliRunner().invoke(app, ["index", ".", "--store=./~/s.dpr"])
    assert done.exit_code == 0, done.output
    assert "s.dpr" in os.listdir("./~")
    done = CliRunner().invoke(app, ["delete", "./~/s.dpr", "--file", "./~/a.txt"])
    assert "deleted 1" in done.output


def test_options_of_commands_lie_in_the_home_folder(home: Path) -> None:
    write_jsonl(home / "p.jsonl", PASSAGES)
    write_questions(home / "q.jsonl", [Question("1", "a?", ("a",), ("1",))])
    (home / "asked.txt").write_text("a\n")
    for line in (
        ["index", "~/p.jsonl", "--store=~/s.dpr"],
        ["search", "~/s.dpr", "--file=~/asked.txt", "--json"],
        ["info", "~/s.dpr", "--json"],
        ["evaluate", "~/s.dpr", "~/q.jsonl", "--report=~/r.html", "--output=~/r.json", "--write-run=~/r.run"],
        ["mine", "~/q.jsonl", "--store=~/s.dpr", "--output=~/train.json", "--from", "bm25"],
        ["optimize", "~/s.dpr"],
        ["check", "~/s.dpr"],
        ["backup", "~/s.dpr", "~/copy"],
        ["restore", "~/copy", "~/t.dpr"],
        ["delete", "~/t.dpr", "--file=~/p.jsonl", "--yes"],
    ):
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, (line, done.output)
    assert {"s.dpr", "r.html", "r.json", "r.run", "train.json", "copy", "t.dpr"} <= set(os.listdir(home))
    with PassageStore.open(home / "t.dpr", create=False) as store:
        assert store.count() == 0
    assert json.loads((home / "r.json").read_text())[0]["question"] == "a?"
    assert os.listdir() == []


@pytest.mark.parametrize("address", ["milvus://user:secret@host/c", "http://user:secret@host/x", "https://secret@host"])
def test_no_message_repeats_the_secret_of_an_address(address: str) -> None:
    for call in (place_of, folder_of):
        with pytest.raises(PathError, match="holds no user and no password") as caught:
            call(address)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" * 240])
def test_as_long_a_name_as_the_file_system_takes_is_written(name: str, tmp_path: Path) -> None:
    for text in ("first", "second"):
        with replacing(tmp_path / name, PathError) as partial:
            partial.write_text(text)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "second")]

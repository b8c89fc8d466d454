"""`evaluate`: the figures of known hits, and the files that other tools read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, write_questions

PASSAGES = [Passage("1", "a tragedy", "Hamlet"), Passage("2", "a comedy", "Errors"), Passage("3", "an epic", "Iliad")]
ASKED = [
    Question("q1", "Hamlet tragedy", ("tragedy",), ("1",)),
    Question("q2", "epic Iliad", ("epic",), ("3",)),
    Question("q3", "Hamlet", ("comedy",), ("2",)),
    Question("q4", "comedy", ("comedy",), ("2",)),
]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag", env={"COLUMNS": "250"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder("tiny"))
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder("tiny")) as opened:
        opened.add(PASSAGES)
    write_questions(tmp_path / "q.jsonl", ASKED)
    return tmp_path / "s"


def test_figures_are_those_of_the_hits(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--mode", "dense", "--mode", "bm25", "--k", 3)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("4 questions; a passage is right where it holds an answer")
    assert lines[1].split() == ["dense", "bm25"]
    # BM25 finds three of four answers first, and never q3's, whose words stand in another passage
    top = {line.split()[0]: [float(value) for value in re.findall(r"([0-9.]+) \(", line)] for line in lines[2:4]}
    assert [values[1] for values in top.values()] == [75.0] * len(top)
    assert "top-1" in top
    assert [line for line in lines if line.startswith("dense, bm25")]


def test_files_hold_the_last_modes_hits(store: Path, tmp_path: Path) -> None:
    results, trec = tmp_path / "r.json", tmp_path / "r.trec"
    done = run(
        *("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--limit", 2),
        *("--output", results, "--run", trec, "--quiet"),
    )
    assert done.exit_code == 0, done.output
    written = json.loads(results.read_text())
    assert [(one["question"], [ctx["id"] for ctx in one["ctxs"]]) for one in written] == [
        ("Hamlet tragedy", ["1"]),
        ("epic Iliad", ["3"]),
    ]
    assert [line.split()[:4] for line in trec.read_text().splitlines()] == [
        ["q1", "Q0", "1", "1"],
        ["q2", "Q0", "3", "1"],
    ]


def test_what_cannot_be_judged_is_said(store: Path, tmp_path: Path) -> None:
    write_questions(tmp_path / "bare.jsonl", [Question("q", "who?")])
    done = run("evaluate", store, tmp_path / "bare.jsonl")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "Traceback" not in done.output

"""What the command line writes where texts, paths and names are hostile, and where the terminal knows ASCII only."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HashEncoder
from typer.testing import CliRunner

import dpr_rag.cli
from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models, removing
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, write_questions

EVIL = "a\x1b[2J\x9b1A\x07\u202eb\u2066\rc\x7f"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
START = """
import sys
sys.path.insert(0, {tests!r})
from conftest import HashEncoder
from dpr_rag.cli import main, models
models.ModelChoice.load = lambda choice: HashEncoder()
main()
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store in whose every string somebody has put what steers a terminal."""
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: HashEncoder())
    monkeypatch.setattr(removing, "_at_terminal", lambda: True)
    folder = tmp_path / f"{EVIL}.dpr"
    encoder = HashEncoder()
    encoder.source = f"{EVIL} + {EVIL}"
    with PassageStore.open(folder, encoder=encoder) as opened:
        opened.add(
            [Passage(f"{n}{EVIL}", f"{EVIL} word\n{EVIL}", f"{EVIL} title", {EVIL: EVIL, "n": n}) for n in range(3)]
        )
    return folder


def lines(store: Path, folder: Path) -> list[list[object]]:
    """Commands that name the store, its passages, or something that is not there."""
    (folder / f"{EVIL}.jsonl").write_text(json.dumps({"id": EVIL, "text": "x"}) + "\n{\n", "utf-8")
    write_questions(folder / f"{EVIL}.q.jsonl", [Question("1", f"{EVIL} word", (EVIL,), (EVIL,))])
    corpus, questions, other = folder / f"{EVIL}.jsonl", folder / f"{EVIL}.q.jsonl", folder / "other.dpr"
    return [
        ["search", store, f"{EVIL} word"],
        ["search", store, "--filter", EVIL, "word"],
        ["search", store, "--filter", json.dumps({EVIL: {"$nope": EVIL}}), "word"],
        ["search", store, "--mode", EVIL, "word"],
        ["search", folder / EVIL / "nowhere", "word"],
        ["search", store, f"--{EVIL}", "word"],
        ["info", store],
        ["info", store, EVIL],
        [f"--{EVIL}"],
        [EVIL],
        ["index", corpus, "--store", other, "--skip-bad"],
        ["index", corpus, "--store", other],
        ["index", corpus, "--store", other, "--prefix", EVIL, "--skip-bad", "--index", "hnsw", "--language", "german"],
        ["index", folder / EVIL, "--store", other],
        ["index", corpus, "--store", other, "--format", EVIL],
        ["index", corpus, "--store", other, "--vectors", folder / EVIL],
        ["evaluate", store, questions, "--output", folder / f"{EVIL}.out", "--report", folder / f"{EVIL}.html"],
        ["evaluate", store, questions, "--by", "passage"],
        ["tune", store, questions],
        ["mine", questions, "--store", store, "--output", folder / f"{EVIL}.json", "--from", "bm25"],
        ["train", folder / EVIL, "-o", folder / f"{EVIL}.out", "--init", EVIL],
        ["convert", folder / EVIL, folder / f"{EVIL}.cp"],
        ["check", store],
        ["optimize", store, "--index", EVIL],
        ["optimize", store],
        ["backup", store, folder / f"{EVIL}.copy"],
        ["restore", folder / f"{EVIL}.copy", folder / f"{EVIL}.again"],
        ["restore", folder / EVIL, folder / f"{EVIL}.again"],
        ["delete", store, "--file", EVIL],
        ["delete", store, "--dry-run", "--filter", '{"n": {"$gte": 0}}'],
        ["delete", store, "--filter", '{"n": {"$gte": 0}}'],
    ]


def test_nothing_that_people_read_steers_their_terminal(store: Path, tmp_path: Path) -> None:
    shown = []
    for line in lines(store, tmp_path):
        done = CliRunner().invoke(app, [str(part) for part in line], input="n\n")
        assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
        assert STEERING.findall(done.output) == [], (line, done.output)
        shown.append(done.output)
    found = dict(zip(map(str, (line[0] for line in lines(store, tmp_path))), shown, strict=False))
    assert r"0a\x1b[2J\x9b1A\x07\u202eb\u2066 c\x7f" in shown[0]
    assert "delete 3 of 3 passages: 0a\\x1b" in found["delete"].replace("\n", "")


@pytest.mark.parametrize("line", [["search", "STORE", f"{EVIL} word", "--json"], ["info", "STORE", "--json"]])
def test_json_holds_no_raw_control_characters_and_the_same_values(store: Path, line: list[str]) -> None:
    done = CliRunner().invoke(app, [str(store) if part == "STORE" else part for part in line])
    assert done.exit_code == 0, done.output
    assert STEERING.findall(done.stdout) == []
    found = json.loads(done.stdout)
    if line[0] == "info":
        assert found["path"] == str(store)
    else:
        hit = found["hits"][0]
        assert (hit["title"], hit["text"]) == (f"{EVIL} title", f"{EVIL} word\n{EVIL}")
        assert hit["metadata"][EVIL] == EVIL


def run(environment: dict[str, str], *args: object) -> subprocess.CompletedProcess[bytes]:
    code = START.format(tests=str(Path(__file__).parent))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    line = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(line, capture_output=True, env=kept | environment, check=False)


@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii"),
        ({"PYTHONIOENCODING": "ascii:strict"}, "ascii"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
    ],
)
def test_terminals_without_unicode_get_escapes(environment: dict[str, str], encoding: str, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s.dpr", encoder=HashEncoder()) as opened:
        opened.add([Passage("日本", "café 東京 λ …", "Zürich 😀", {"ключ": "значение"})])
    (tmp_path / "q.jsonl").write_text('{"question": "東京?", "answers": ["東京"]}\n' * 20, "utf-8")
    (tmp_path / "asked.txt").write_text("東京 café\n", "utf-8")
    store = tmp_path / "s.dpr"
    commands: list[list[object]] = [
        ["search", store, "--file", tmp_path / "asked.txt"],
        ["search", store, "--file", tmp_path / "asked.txt", "--mode", "bm25", "--json"],
        ["info", store],
        ["info", store, "--json"],
        ["evaluate", store, tmp_path / "q.jsonl"],
        ["tune", store, tmp_path / "q.jsonl", "--dry-run"],
        ["delete", store, "--dry-run", "--filter", '{"n": 1}'],
        ["--help"],
        ["search", "--help"],
    ]
    for line in commands if environment == {"PYTHONIOENCODING": "ascii"} else commands[:2]:
        done = run(environment, *line)
        assert done.returncode == 0, (line, done.stderr.decode())
        done.stdout.decode(encoding)
        if "--json" in line and line[0] == "search":
            hit = json.loads(done.stdout.decode(encoding))["hits"][0]
            assert (hit["id"], hit["title"], hit["text"]) == ("日本", "Zürich 😀", "café 東京 λ …")
        elif line[0] == "search" and line[1] == store:
            assert rb"\u65e5\u672c" in done.stdout
    failed = run(environment, "search", tmp_path / "nowhere", "--file", tmp_path / "asked.txt")
    assert failed.returncode == 1
    assert b"Traceback" not in failed.stderr
    failed.stderr.decode(encoding)


def test_commands_write_through_the_terminal_alone() -> None:
    folder = Path(dpr_rag.cli.__file__).parent
    for file in folder.glob("*.py"):
        if file.name != "terminal.py":
            names = {
                node.attr for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Attribute)
            }
            assert not names & {"echo", "secho", "confirm", "prompt"}, file.name

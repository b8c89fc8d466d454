"""Runs the README: its Python blocks in order, and its command lines and those of the pages as far as their arguments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from documents import PAGES, ROOT, blocks, command_lines, run, words_of
from readers import save_plain_reader

from dpr_rag.cli.app import app
from dpr_rag.filters.operators import OPERATORS
from dpr_rag.index.kinds import AUTO_FLAT_LIMIT, KINDS

TEXT = (ROOT / "README.md").read_text("utf-8")
LINES = [line for text in [TEXT, *(page.read_text("utf-8") for page in PAGES)] for line in command_lines(text)]


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    save_plain_reader(tmp_path / "bert", tmp_path / "my-reader")
    run(TEXT, "README.md")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in printed] == ["Hamlet"]
    assert 0 < float(printed[0].split()[0]) <= 1


def test_skipped_blocks_compile_and_are_few() -> None:
    skipped = blocks("python", TEXT, skipped=True)
    assert len(skipped) == 2
    for body in skipped:
        compile(body, "README.md", "exec")


@pytest.mark.parametrize("line", LINES)
def test_command_line_is_understood(line: str) -> None:
    words = words_of(line)
    command = typer.main.get_group(app).commands[words[0]]
    with command.make_context(words[0], words[1:]) as context:
        assert context.params


def test_operators_and_kinds_are_the_ones_there_are() -> None:
    named = set(re.findall(r"\$([a-z_]+)", TEXT.split("Operators:")[1].split("\n\n")[0]))
    assert named == {*OPERATORS, "and", "or", "not"}
    rows = [line.split("|")[1] for line in TEXT.split("## Index kinds")[1].splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([^`]+)`", "".join(rows))) == {"auto", *KINDS}
    assert f"{AUTO_FLAT_LIMIT:,} passages" in TEXT


def test_make_verbs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r"make ([a-z]+)", TEXT)
    assert [verb for verb in re.findall(r"`?make ([a-z]+)`", TEXT) if f"\n{verb}:" not in makefile] == []


def test_linked_files_exist() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []

"""Runs the README: its Python blocks in order, and its command lines and those of the pages as far as their arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from readers import save_plain_reader

from dpr_rag.cli.app import app
from dpr_rag.filters.operators import OPERATORS
from dpr_rag.index.kinds import AUTO_FLAT_LIMIT, KINDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")
PAGES = "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(?P<mark><!-- test: skip \([^)]+\) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL)


def blocks(kind: str, *, skipped: bool = False, text: str = TEXT) -> list[str]:
    return [found["body"] for found in BLOCK.finditer(text) if found["kind"] == kind and bool(found["mark"]) == skipped]


def command_lines() -> list[str]:
    lines = "\n".join([*blocks("sh"), *blocks("sh", text=PAGES)]).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.lstrip().startswith("dpr-rag ")]


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    save_plain_reader(tmp_path / "bert", tmp_path / "my-reader")
    names: dict[str, object] = {}
    for body in blocks("python"):
        exec(compile(body, "README.md", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in printed] == ["Hamlet"]
    assert 0 < float(printed[0].split()[0]) <= 1


def test_skipped_blocks_compile_and_are_few() -> None:
    skipped = blocks("python", skipped=True)
    assert len(skipped) == 2
    for body in skipped:
        compile(body, "README.md", "exec")


@pytest.mark.parametrize("line", command_lines())
def test_command_line_is_understood(line: str) -> None:
    words = shlex.split(line.split(" < ")[0], comments=True)[1:]
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

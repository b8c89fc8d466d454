"""Runs the README: its Python blocks in order, and its command lines and those of the pages as far as their arguments.

It is the front page: short, its figures are those of the pages that it names, and all that it links to is there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from documents import PAGES, ROOT, blocks, command_lines, run, words_of
from readers import save_plain_reader

from dpr_rag.cli.app import app

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
    assert blocks("python", TEXT, skipped=True) == []
    skipped = [body for page in PAGES for body in blocks("python", page.read_text("utf-8"), skipped=True)]
    assert len(skipped) == 2
    for body in skipped:
        compile(body, "a page", "exec")


@pytest.mark.parametrize("line", LINES)
def test_command_line_is_understood(line: str) -> None:
    words = words_of(line)
    command = typer.main.get_group(app).commands[words[0]]
    with command.make_context(words[0], words[1:]) as context:
        assert context.params


def test_it_is_a_front_page() -> None:
    assert TEXT.count("\n") <= 150


def test_figures_are_those_of_the_pages() -> None:
    table = TEXT.split("| instead of |")[1].split("\n\n")[0]
    rows = [line.split("|")[3] for line in table.splitlines() if "](" in line]
    assert len(rows) == 5
    for row in rows:
        ((page, _),) = re.findall(r"\]\(([^)#]+)#([^)]+)\)", row)
        cells = set(re.findall(r"[\d.,]*\d", "".join(re.findall(r"^\|.*\|$", (ROOT / page).read_text("utf-8"), re.M))))
        figures = set(re.findall(r"[\d.]*\d", row.split("(")[0]))
        assert len(figures) >= 2
        assert figures - cells <= {"64"}  # callers, who are told beside the table


def test_make_verbs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r"make ([a-z]+)", TEXT)
    assert [verb for verb in re.findall(r"`?make ([a-z]+)`", TEXT) if f"\n{verb}:" not in makefile] == []


def test_linked_files_exist() -> None:
    linked = re.findall(r"\]\(([^)#:]+)(?:#([^)]+))?\)", TEXT)
    assert linked
    shown = re.findall(r' src="([^"]+)"', TEXT)
    assert [name for name in [*(name for name, _ in linked), *shown] if not (ROOT / name).exists()] == []
    for name, place in linked:
        headings = re.findall(r"^#+ (.+)$", (ROOT / name).read_text("utf-8"), re.M) if place else []
        assert not place or place in [re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings]


def test_it_leads_to_every_way_of_using_it() -> None:
    linked = set(re.findall(r"\]\(([^)#:]+)", TEXT))
    pages = {str(page.relative_to(ROOT)) for page in PAGES if page.parent.name in ("start", "learn", "how-to")}
    assert pages <= linked

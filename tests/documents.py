"""Documents that the tests run: their blocks of code in order, with the marks that stand before them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "made"]
_BLOCK = re.compile(
    r"(?:<!-- test: (?P<mark>skip \([^)]+\)|run) -->\n)?"
    r'^(?P<indent> *)```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^ *```',
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """One block of code.

    Attributes:
        kind: Its language.
        body: Without the indentation of a list.
        mark: ``run`` where command lines are to be run, ``skip`` where Python is not, or empty.
        title: The file that it is the content of, or empty.
    """

    kind: str
    body: str
    mark: str
    title: str


def blocks_of(text: str) -> Iterator[Block]:
    """All blocks of a document in their order."""
    for found in _BLOCK.finditer(text):
        mark = (found["mark"] or "").partition(" ")[0]
        yield Block(found["kind"], textwrap.dedent(found["body"]), mark, found["title"] or "")


def blocks(kind: str, text: str, *, skipped: bool = False) -> list[str]:
    """The bodies of one kind: those that run, or those that are marked to be skipped."""
    return [one.body for one in blocks_of(text) if one.kind == kind and (one.mark == "skip") == skipped]


def command_lines(text: str) -> list[str]:
    """The lines of ``dpr-rag`` in a document, each in one piece."""
    lines = "\n".join(blocks("sh", text)).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.lstrip().startswith("dpr-rag ")]


def words_of(line: str) -> list[str]:
    """The arguments of a command line, without its comment and what it reads."""
    return shlex.split(line.split(" < ")[0], comments=True)[1:]


def run(text: str, name: str) -> dict[str, object]:
    """Run a document in the current folder: write its files, run its Python, and the commands that are marked.

    Returns:
        The names that its Python made.
    """
    from dpr_rag.cli.app import app

    names: dict[str, object] = {}
    for one in blocks_of(text):
        if one.title:
            Path(one.title).parent.mkdir(parents=True, exist_ok=True)
            Path(one.title).write_text(one.body, "utf-8")
        elif one.kind == "python" and one.mark != "skip":
            exec(compile(one.body, name, "exec"), names)  # noqa: S102
        elif one.mark == "run":
            for line in command_lines(f"```sh\n{one.body}```"):
                done = CliRunner().invoke(app, words_of(line), prog_name="dpr-rag")
                assert done.exit_code == 0, f"{name}: {line}: {done.output}"
    return names

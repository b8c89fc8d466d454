"""Write the generated pages: the commands' help, and copies of the adapters' READMEs and of SECURITY.md.

python docs/tools/generate.py FOLDER
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from dpr_rag.cli.app import app

ROOT = Path(__file__).parent.parent.parent
COPIES = {
    "langchain.md": ROOT / "integrations" / "langchain" / "README.md",
    "llama-index.md": ROOT / "integrations" / "llama-index" / "README.md",
    "security.md": ROOT / "SECURITY.md",
}
_HEAD = """# Command line

Made from `dpr-rag COMMAND --help`. Exit codes: 0 done, 1 an error (one line on standard error) or a part of a corpus left out,
2 wrong usage, 129 the terminal was closed, 130 interrupted, 143 ended by SIGTERM."""


def commands_page() -> str:
    """All commands with their arguments and options, as ``--help`` shows them."""
    group = typer.main.get_group(app)
    parts = [_HEAD]
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## {name}", _escaped(command.help), f"```text\ndpr-rag {name} {usage}\n```"]
        parts += ["\n".join(_parameter_lines(command, context))]
    return "\n\n".join(parts) + "\n"


def _parameter_lines(command: Any, context: typer.Context) -> Iterator[str]:
    """Arguments and options as a list, which wraps on a phone."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) or (parameter.make_metavar(context), parameter.help or "")
        name, text = (" ".join(part.split()) for part in record)
        yield f"- `{name.removesuffix(' <str>')}`: {_escaped(text)}"


def _escaped(text: str | None) -> str:
    """Text on one line, with what Markdown would interpret escaped."""
    line = " ".join((text or "").split()).replace("<", "&lt;")
    return re.sub(r"([\\*_\[\]`])", r"\\\1", line)


def relinked(text: str, source: Path) -> str:
    """A page's text with its links to pages of the documentation changed to lead from ``docs/reference/made``.

    Raises:
        ValueError: A link leads to a file that the site does not have.
    """

    def relink(link: re.Match[str]) -> str:
        address, hash_, anchor = link[1].partition("#")
        if not address or urlsplit(address).scheme:
            return link[0]
        page = (source.parent / address).resolve()
        if not (page.is_file() and page.is_relative_to(ROOT / "docs")):
            raise ValueError(f"{source.name} links to {address}, which is no page of docs/: give its whole address")
        return f"]({os.path.relpath(page, ROOT / 'docs' / 'reference' / 'made')}{hash_}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", relink, text)


def generate(folder: Path) -> None:
    """Write all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(commands_page(), "utf-8")
    for name, source in COPIES.items():
        (folder / name).write_text(relinked(source.read_text("utf-8"), source), "utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))

"""Write the pages that are made of what stands elsewhere: the commands' help, the adapters' READMEs, SECURITY.md.

python docs/tools/generate.py FOLDER
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
2 wrong usage, 130 interrupted, 143 ended by SIGTERM."""


def commands_page() -> str:
    """All commands with their arguments and options, as ``--help`` tells them."""
    group = typer.main.get_group(app)
    parts = [_HEAD]
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## {name}", _plain(command.help), f"```text\ndpr-rag {name} {usage}\n```"]
        parts += ["\n".join(_lines(command, context))]
    return "\n\n".join(parts) + "\n"


def _lines(command: Any, context: typer.Context) -> Iterator[str]:
    """Arguments and options as a list, which wraps on a phone."""
    for one in command.get_params(context):
        told = one.get_help_record(context) or (one.make_metavar(context), one.help or "")
        name, text = (" ".join(part.split()) for part in told)
        yield f"- `{name.removesuffix(' <str>')}`: {_plain(text)}"


def _plain(text: str | None) -> str:
    """One line of text that Markdown leaves as it is."""
    line = " ".join((text or "").split()).replace("<", "&lt;")
    return re.sub(r"([\\*_\[\]`])", r"\\\1", line)


def generate(folder: Path) -> None:
    """Write all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(commands_page(), "utf-8")
    for name, source in COPIES.items():
        (folder / name).write_text(source.read_text("utf-8"), "utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))

"""The --help texts: every command has one, and it says what the command and each of its parts are for."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from dpr_rag.cli.app import app
from dpr_rag.corpora import FORMATS
from dpr_rag.corpora.opening import WITH_VECTORS

COMMANDS = (
    "index",
    "search",
    "ask",
    "info",
    "chat",
    "ui",
    "mcp",
    "serve",
    "evaluate",
    "tune",
    "mine",
    "train",
    "delete",
    "check",
    "optimize",
    "recover",
    "backup",
    "restore",
    "reencode",
    "convert",
    "encode",
    "load",
    "export",
    "merge",
    "copy",
    "demo",
)
MEANT = {
    "index": [
        "--store",
        "--model",
        "--context-model",
        "--format",
        "--index",
        "--skip-bad",
        "--prefix",
        "--replace",
        "--vectors",
        "--dtype",
        "--quiet",
    ],
    "evaluate": ["--mode", "--limit", "--output", "--run", "--report", "--by", "--seed"],
    "mine": ["--store", "--output", "--from", "--margin", "--first", "--last", "--keep"],
    "train": ["--init", "--output", "--dev", "--batch", "--lr", "--towers", "--temperature", "--steps", "--select"],
    "tune": ["--by", "--dry-run", "--k", "--json"],
    "serve": ["--host", "--port", "--token", "--writable", "--uds", "STORE"],
    "search": ["--file", "--json", "--filter", "--model", "--k"],
    "ask": ["STORE", "QUESTION", "--reader", "--rerank", "--certainty", "--json", "--filter", "--k"],
    "info": ["--recall", "--json"],
    "chat": ["STORE", "--llm", "--base-url", "--host", "--port", "--conversations"],
    "ui": ["--host", "--port", "--model"],
    "mcp": ["--transport", "--writable", "--host", "--port"],
    "delete": ["--filter", "--file", "--dry-run", "--yes", "ID"],
    "optimize": ["--index"],
    "restore": ["COPY", "DIR"],
    "reencode": ["--model", "--quiet"],
    "convert": ["SOURCE", "TARGET"],
    "encode": [
        "CORPUS",
        "--out",
        "--shard",
        "--part-size",
        "--engine",
        "--address",
        "--workers",
        "--model",
        "--format",
    ],
    "load": ["OUT", "--store", "--index", "--dtype", "--model"],
    "export": ["STORE", "--out", "--filter", "--part-size"],
    "merge": ["STORE", "--out", "--index", "--partition-key"],
    "copy": ["SOURCE", "TARGET", "--index", "--batch-size"],
    "demo": ["--store", "--quiet"],
}


def help_of(*args: str) -> str:
    done = CliRunner().invoke(app, [*args, "--help"], prog_name="dpr-rag", env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert done.exit_code == 0
    return done.stdout


def test_root_help_lists_every_command() -> None:
    text = help_of()
    assert [name for name in COMMANDS if f" {name} " not in text] == []
    assert {command.name for command in typer.main.get_group(app).commands.values()} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help(name: str) -> None:
    text = help_of(name)
    assert f"Usage: dpr-rag {name}" in text
    assert [part for part in MEANT.get(name, ["DIR"]) if part not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_part_is_explained(name: str) -> None:
    command = typer.main.get_group(app).commands[name]
    assert command.help
    assert [part.name for part in command.params if not getattr(part, "help", None)] == []


@pytest.mark.parametrize("name", ["index", "encode"])
def test_every_format_is_named(name: str) -> None:
    command = typer.main.get_group(app).commands[name]
    helps = {part.name: " ".join(part.help.split()) for part in command.params if getattr(part, "help", None)}
    (told,) = (text for text in helps.values() if "found by name and content" in text)
    assert told == f"One of {', '.join(FORMATS)} (default: found by name and content)."
    if name == "index":
        assert f"({', '.join(WITH_VECTORS)})" in helps["keep_vectors"]

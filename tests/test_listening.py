"""A port that is taken is told before a model is loaded: by every command that listens, with the option that helps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore

# in a process of its own, as tests may not open sockets
ASKED = """
import json, socket, sys
from typer.testing import CliRunner
from dpr_rag.cli import models
from dpr_rag.cli.app import app
loaded = []
models.ModelChoice.load = lambda choice: loaded.append(1) or sys.exit("loaded")
with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    found = {}
    for command in (["chat"], ["ui"], ["serve"], ["mcp", "--transport", "http"]):
        result = CliRunner().invoke(app, [command[0], "s.dpr", *command[1:], "--port", str(port)])
        found[command[0]] = [" ".join(result.stderr.split()).replace(str(port), "PORT"), len(loaded)]
print(json.dumps(found))
"""


@pytest.mark.timeout(400)
def test_every_command_that_listens_looks_at_its_port_before_it_loads_a_model(tmp_path: Path) -> None:
    for extra in ("gradio", "fastapi", "mcp"):
        pytest.importorskip(extra, exc_type=ImportError)
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage("1", "Hamlet is a tragedy", "Hamlet")])
    done = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ), check=True
    )
    told = "nobody can listen on 127.0.0.1:PORT (address already in use); name another --port, or 0 for a free one"
    assert json.loads(done.stdout) == {name: [f"dpr-rag: error: {told}", 0] for name in ("chat", "ui", "serve", "mcp")}
    assert not (tmp_path / "s.dpr.chat").exists()

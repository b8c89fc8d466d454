"""The chatbot with a server that speaks OpenAI's protocol, as Ollama, vLLM and llama.cpp do: a small one, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpr_rag import DualEncoder, Passage, PassageStore

pytestmark = pytest.mark.timeout(200)
SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass

    def do_GET(self):
        self.said(json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode(), "application/json")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with open("asked.jsonl", "a") as file:
            file.write(json.dumps({"path": self.path, **asked}) + "\\n")
        if "refuse" in asked["messages"][-1]["content"]:
            self.send_error(400, "no")
            return
        words = ["Krill", " in the", " sea", " [1]."]
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
        parts = [{"role": "assistant", "content": ""}, *({"content": word} for word in words), {}]
        lines = [
            "data: " + json.dumps({**chunk, "choices": [
                {"index": 0, "delta": part, "finish_reason": None if part else "stop"}]}) + "\\n\\n"
            for part in parts
        ]
        self.said("".join([*lines, "data: [DONE]\\n\\n"]).encode(), "text/event-stream")

    def said(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
TALK = """
import sys
from pathlib import Path
from dpr_rag import DualEncoder, PassageStore
from dpr_rag.pages.answering import Settings
from dpr_rag.pages.chatting import Chat
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.models import open_model

with PassageStore.open("s.dpr", encoder=DualEncoder.default()) as store:
    chat = Chat(store, Memory(Path("chat")), Path("labelled.jsonl"), open_model("openai:tiny", sys.argv[1]))
    kept = None
    for question in ("what do whales eat?", "and where?", "refuse"):
        *growing, (kept, turns) = chat.ask(question, kept, Settings(min_relevance=0.0))
        print(len(growing), turns[-1].searched, turns[-1].reply, sep="|")
"""


def test_a_server_of_openais_kind_answers_and_what_it_refuses_is_told(tmp_path: Path) -> None:
    pytest.importorskip("langchain_openai", reason="needs langchain-openai")
    with PassageStore.open(tmp_path / "s.dpr", encoder=DualEncoder.default()) as store:
        store.add([Passage("w", "Blue whales eat krill.", "Whales")])
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        done = subprocess.run(
            [sys.executable, "-c", TALK, address], cwd=tmp_path, capture_output=True, text=True, env=env, timeout=150
        )
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        server.stdout.close()  # type: ignore[union-attr]
    assert done.returncode == 0, done.stderr
    first, second, third = (line.split("|") for line in done.stdout.splitlines())
    assert int(first[0]) >= 4, "it streams"
    assert first[1:] == ["what do whales eat?", "Krill in the sea [1]."]
    assert second[1:] == ["Krill in the sea [1].", "Krill in the sea [1]."]
    assert third[2].startswith("⚠ openai:tiny did not answer: ")
    asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
    assert {(one["path"], one["model"], one["stream"]) for one in asked} == {("/v1/chat/completions", "tiny", True)}
    assert "Blue whales eat krill." in asked[0]["messages"][0]["content"]

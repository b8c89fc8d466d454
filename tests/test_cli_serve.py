"""`dpr-rag serve` as a process: a store over a Unix socket by the public client, and how the process ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore, RemoteRetriever, RemoteStore, Retriever
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.cli.serving import named_stores
from dpr_rag.errors import AccessError, ServiceError

HERE = "http://localhost"
TOKEN = "a-token-of-the-tests"
# The one seam: a deterministic encoder in place of a model; a question "until FILE" waits for that file, a minute at most.
START = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import TinyEncoder
from dpr_rag.cli import main, models
class Slow(TinyEncoder):
    def encode_questions(self, questions):
        for question in questions:
            end = time.monotonic() + 60
            while question.startswith("until ") and time.monotonic() < end and not Path(question.split()[1]).exists():
                time.sleep(0.005)
        return super().encode_questions(questions)
models.ModelChoice.load = lambda choice: Slow()
main()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "plays.dpr"
    with PassageStore.open(path, encoder=TinyEncoder()) as opened:
        opened.add([Passage("1", "Hamlet is a tragedy", "Hamlet"), Passage("2", "Faust is a play", "Faust")])
    return path


@contextmanager
def serving(tmp_path: Path, *args: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, once it has said where it listens, and the path of its socket."""
    uds = str(tmp_path / "s")
    code = START.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, "serve", *map(str, args), "--uds", uds]
    variables = {**os.environ, **environment}
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=variables) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == f"unix:{uds}  (Ctrl-C ends it)\n", line + process.communicate(timeout=60)[1]
            yield process, uds
        finally:
            process.kill()


def test_a_store_end_to_end_and_an_end_in_order(store: Path, tmp_path: Path) -> None:
    with serving(tmp_path, store) as (process, uds):
        assert os.stat(uds).st_mode & 0o077 == 0
        with RemoteRetriever(HERE, uds=uds) as remote, PassageStore.open(store, encoder=TinyEncoder()) as opened:
            assert remote.retrieve("Hamlet") == Retriever(opened).retrieve("Hamlet")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "", "")
    assert not Path(uds).exists()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_before_the_end(store: Path, tmp_path: Path, sign: signal.Signals) -> None:
    with serving(tmp_path, store) as (process, uds), RemoteRetriever(HERE, uds=uds, retries=0, timeout=300) as remote:
        found: list[str] = []
        question = f"until {tmp_path / 'go'} Hamlet"
        asking = threading.Thread(target=lambda: found.append(remote.retrieve(question, 1)[0].passage.id))
        asking.start()
        _wait_until_it_works(uds)
        process.send_signal(sign)
        _wait_until_it_listens_no_more(uds)
        assert found == []
        (tmp_path / "go").touch()
        asking.join(60)
        _, errors = process.communicate(timeout=60)
    assert (found, process.returncode, errors) == (["1"], 0, "")


def _wait_until_it_works(uds: str) -> None:
    import httpx

    with httpx.Client(transport=httpx.HTTPTransport(uds=uds), base_url=HERE) as client:
        deadline = time.monotonic() + 30
        while "dpr_rag_waiting_questions 1.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _wait_until_it_listens_no_more(uds: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(uds)
            except OSError:
                return
        time.sleep(0.01)
    raise AssertionError("it goes on listening")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("signs", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
def test_two_signals_end_at_once(store: Path, tmp_path: Path, signs: tuple[signal.Signals, signal.Signals]) -> None:
    with serving(tmp_path, store) as (process, uds), RemoteRetriever(HERE, uds=uds, retries=0, timeout=300) as remote:
        failed: list[Exception] = []

        def ask() -> None:
            try:
                remote.retrieve(f"until {tmp_path / 'never'}", 1)
            except ServiceError as error:
                failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        _wait_until_it_works(uds)
        process.send_signal(signs[0])
        _wait_until_it_listens_no_more(uds)
        assert process.poll() is None
        process.send_signal(signs[1])
        assert process.wait(45) == 128 + signs[1]
        asking.join(45)
    assert len(failed) == 1
    with serving(tmp_path, store) as (process, uds), RemoteRetriever(HERE, uds=uds) as remote:
        assert remote.retrieve("Hamlet", 1)[0].passage.id == "1"  # the socket that was left is replaced


def test_writing_by_a_token_of_the_environment_and_two_stores(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.dpr"
    with PassageStore.open(other, encoder=TinyEncoder()):
        pass
    with serving(tmp_path, store, f"b={other}", "--writable", DPR_RAG_TOKEN=TOKEN) as (_, uds):
        with RemoteStore(f"{HERE}?store=b", token=TOKEN, uds=uds) as remote:
            assert remote.add([Passage("9", "Macbeth")])["added"] == 1
            assert [hit.passage.id for hit in remote.rank(["Macbeth"], 5)[0]] == ["9"]
        with RemoteStore(HERE, "plays", token="no", uds=uds) as remote, pytest.raises(AccessError):
            remote.count()
    with PassageStore.open(other, create=False) as opened:
        assert [one.id for one in opened] == ["9"]


def refused(*args: object) -> str:
    done = CliRunner().invoke(
        app, ["serve", *map(str, args)], prog_name="dpr-rag", env={"COLUMNS": "300", "NO_COLOR": "1"}
    )
    assert done.exit_code in (1, 2)
    return done.stderr


def test_other_machines_and_writing_take_a_token(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPR_RAG_TOKEN", raising=False)
    assert "a token is needed; set the environment variable DPR_RAG_TOKEN" in refused(store, "--host", "192.0.2.1")
    assert "whoever may write needs a token" in refused(store, "--writable")
    monkeypatch.setenv("DPR_RAG_TOKEN", "")
    assert "the environment variable DPR_RAG_TOKEN is empty" in refused(store)


def test_what_cannot_be_served_is_told(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPR_RAG_TOKEN", raising=False)
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    assert "there is no store at" in refused(tmp_path / "none", "--uds", tmp_path / "s")
    (tmp_path / "taken").write_text("text")
    assert "there is something at" in refused(store, "--uds", tmp_path / "taken")
    assert "two stores are called 'plays'" in refused(store, store)


def test_names_of_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.dpr").mkdir()
    assert named_stores(["wiki.dpr", "x=some/where.dpr", "/srv/plain"]) == {
        "wiki": "wiki.dpr",
        "x": "some/where.dpr",
        "plain": "/srv/plain",
    }
    assert named_stores(["c=a=b.dpr"]) == {"c": "a=b.dpr"}

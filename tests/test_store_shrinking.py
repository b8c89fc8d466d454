"""``optimize`` gives what deletions left empty back to the disk, and loses nothing over it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore
from dpr_rag.cli.app import app
from dpr_rag.storage import connecting, shrinking
from dpr_rag.storage.schema import FORMAT

DIM = 512
KEPT = [f"{n}" for n in range(0, 4000, 10)]
READER = """
import sys
from dpr_rag import PassageStore
import numpy as np
with PassageStore.open(sys.argv[1], create=False, read_only=True) as store:
    seen = iter(store)
    first = next(seen).id
    print(len(store), flush=True)
    sys.stdin.readline()
    print(first, sum(1 for _ in seen) + 1, store.search(np.eye(1, 512, dtype="f4"), 1)[0][0].passage.id, flush=True)
    store.check()
"""
OPTIMIZE = """
import sys
from dpr_rag import PassageStore
with PassageStore.open(sys.argv[1], create=False) as store:
    print("ready", flush=True)
    store.optimize()
"""


def file_of(path: Path) -> Path:
    return path / "passages.sqlite"


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture
def emptied(tmp_path: Path) -> Path:
    """A store of 4000 passages, of which 400 are left."""
    path = tmp_path / "store.dpr"
    with PassageStore.open(path) as store:
        store.add([Passage(str(n), f"text {n}", metadata={"n": n}) for n in range(4000)], vectors=vectors(4000))
        store.delete([str(n) for n in range(4000) if n % 10])
    return path


def is_whole(path: Path) -> bool:
    with PassageStore.open(path, create=False, read_only=True) as store:
        assert store.check().passages == 400
        rows = vectors(4000)[::10]
        hits = [line[0] for line in store.search(rows, 1)]
        assert [hit.passage.id for hit in hits] == KEPT
        assert [hit.passage.metadata["n"] for hit in hits] == [int(name) for name in KEPT]
        np.testing.assert_allclose([hit.score for hit in hits], (rows**2).sum(axis=1), rtol=1e-5)
    return True


def test_file_shrinks_and_keeps_all_that_is_in_it(emptied: Path) -> None:
    os.chmod(file_of(emptied), 0o640)
    before = file_of(emptied).stat()
    with PassageStore.open(emptied) as store:
        generation = store.info().generation
        store.optimize()
        assert store.info().generation == generation + 1  # of the new base; the file's pages are no commit
        after = file_of(emptied).stat()
        assert store.count() == 400
    assert before.st_size > 8_000_000
    assert after.st_size < 2_000_000
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert is_whole(emptied)


def test_little_is_left_where_it_is(emptied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "WORTH_BYTES", 100 << 20)
    size = file_of(emptied).stat().st_size
    with PassageStore.open(emptied) as store:
        store.optimize()
    assert file_of(emptied).stat().st_size == size


def test_no_room_is_no_failure(
    emptied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shrinking.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    size = file_of(emptied).stat().st_size
    with caplog.at_level(logging.INFO, "dpr_rag.storage.shrinking"), PassageStore.open(emptied) as store:
        store.optimize()
    assert file_of(emptied).stat().st_size == size
    assert "of room, and 10 are free" in caplog.text
    assert is_whole(emptied)


def test_open_reader_of_another_process_keeps_reading(emptied: Path) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(emptied)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin
    assert reader.stdout
    assert reader.stdout.readline() == "400\n"
    with PassageStore.open(emptied) as store:
        store.optimize()
        assert file_of(emptied).stat().st_size < 2_000_000
        store.add([Passage("new", "new")], vectors=100 * np.eye(1, DIM, dtype=np.float32))
    out, _ = reader.communicate("\n", timeout=60)
    assert out.split()[0] == "0"
    assert out.split()[2] == "new"
    assert reader.returncode == 0


def test_read_transaction_stays_right_and_the_file_shrinks_later(emptied: Path) -> None:
    reading = sqlite3.connect(file_of(emptied), isolation_level=None)
    reading.execute("BEGIN")
    assert reading.execute("SELECT count(*) FROM passage").fetchone() == (400,)
    with PassageStore.open(emptied) as store:
        store.optimize()
        assert reading.execute("SELECT count(*), sum(length(vector)) FROM vector_a").fetchone() == (400, 400 * 4 * DIM)
        reading.close()
    assert file_of(emptied).stat().st_size < 2_000_000
    assert is_whole(emptied)


def test_busy_store_is_left_as_it_is(emptied: Path, caplog: pytest.LogCaptureFixture) -> None:
    writing = sqlite3.connect(file_of(emptied), isolation_level=None)
    size = file_of(emptied).stat().st_size
    with PassageStore.open(emptied) as store, caplog.at_level(logging.DEBUG, "dpr_rag.storage.shrinking"):
        writing.execute("BEGIN IMMEDIATE")
        shrinking.shrink(store._engine.database, wait=0.05)
        writing.execute("ROLLBACK")
    writing.close()
    assert "was not made smaller" in caplog.text
    assert file_of(emptied).stat().st_size == size
    assert is_whole(emptied)


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_kill_in_the_midst_loses_nothing(emptied: Path, pause: float) -> None:
    done = subprocess.Popen([sys.executable, "-c", OPTIMIZE, str(emptied)], stdout=subprocess.PIPE, text=True)
    assert done.stdout
    assert done.stdout.readline() == "ready\n"
    time.sleep(pause)
    done.send_signal(signal.SIGKILL)
    done.wait(60)
    done.stdout.close()
    assert is_whole(emptied)
    with PassageStore.open(emptied) as store:
        store.optimize()
    assert file_of(emptied).stat().st_size < 2_000_000
    assert is_whole(emptied)


def test_interrupt_ends_it_and_the_file_stays(
    emptied: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    monkeypatch.setattr(shrinking, "_STEPS", 1)
    monkeypatch.setattr(shrinking, "_look_for_interrupts", lambda: signal.raise_signal(signal.SIGINT) or 0)
    with PassageStore.open(emptied) as store:
        with pytest.raises(KeyboardInterrupt):
            shrinking.shrink(store._engine.database, wait=1)
        assert store.count() == 400
    assert is_whole(emptied)


def test_command_says_what_was_freed(emptied: Path) -> None:
    done = CliRunner().invoke(app, ["optimize", str(emptied)], prog_name="dpr-rag")
    assert done.exit_code == 0, done.output
    assert "freed " in done.stdout
    again = CliRunner().invoke(app, ["optimize", str(emptied)], prog_name="dpr-rag")
    assert "freed " not in again.stdout


def test_watching_process_takes_the_smaller_file_for_the_same_store(emptied: Path) -> None:
    with PassageStore.open(emptied, encoder=None) as watching, PassageStore.open(emptied) as store:
        assert watching.count() == 400
        store.optimize()
        assert watching.count() == 400
        watching.add([Passage("x", "x")], vectors=np.ones((1, DIM), np.float32))
        assert store.get(["x"])[0].text == "x"


def test_reader_without_locks_sees_the_smaller_file(emptied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PassageStore.open(emptied) as store:
        with monkeypatch.context() as patch:
            patch.setattr(connecting, "_is_readable", lambda *_: False)
            unlocked = PassageStore.open(emptied, create=False, read_only=True)
            assert unlocked.count() == 400
        store.optimize()
    with monkeypatch.context() as patch, unlocked:
        patch.setattr(connecting, "_is_readable", lambda *_: False)
        assert unlocked.check().passages == 400
        assert [passage.id for passage in unlocked] == KEPT


@pytest.mark.parametrize("name", [f"format-{number}" for number in range(1, FORMAT)])
def test_store_of_an_older_format_is_the_same_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "store.dpr"
    shutil.copytree(Path(__file__).parent / "golden" / name, path)
    with PassageStore.open(path, create=False) as store:
        before = list(store)
        question = np.eye(1, store.dim, dtype=np.float32)
        hits = store.search(question, 5)
        monkeypatch.setattr(shrinking, "WORTH_BYTES", -1)
        monkeypatch.setattr(shrinking, "_WORTH_SHARE", -1.0)
        with sqlite3.connect(file_of(path)) as other:
            version = other.execute("PRAGMA schema_version").fetchone()[0]
        other.close()
        store.optimize()
        assert store.check().passages == len(before)
        assert list(store) == before
        assert [hit.passage.id for hit in store.search(question, 5)[0]] == [hit.passage.id for hit in hits[0]]
    with sqlite3.connect(file_of(path)) as other:
        assert other.execute("PRAGMA schema_version").fetchone()[0] > version  # it was written anew
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert other.execute("PRAGMA application_id").fetchone()[0] == 0x64707221
    other.close()

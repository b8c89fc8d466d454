"""What a store takes and leaves on a machine: descriptors, permissions, folders of killed processes, and a full disk."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import PassageStore, Ranking, Retriever
from dpr_rag.errors import StoreError
from dpr_rag.lexical import Postings
from dpr_rag.storage.claims import Claim
from dpr_rag.store import compaction, lexicon

QUESTION = np.ones((1, 16), np.float32)


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with the names of the tests' conftest."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from conftest import *\n"
    command = [sys.executable, "-c", start + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_burst_of_threads_leaves_few_descriptors(store: PassageStore) -> None:
    store.add(make_passages(50))
    together = threading.Barrier(40)

    def search(_: int) -> int:
        waited = []

        def keep(passage: object) -> bool:
            if not waited:
                waited.append(together.wait(60))
            return True

        return len(store.search(QUESTION, 50, keep)[0])

    store.search(QUESTION, 50)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(search, range(40))) == [50] * 40
    assert len(store._engine.database._idle) <= 4
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 8


def test_too_many_open_files_are_called_by_their_name(store: PassageStore) -> None:
    store.add(make_passages(5))
    code = """
import os, resource
from dpr_rag.errors import StoreError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
store = PassageStore.open(sys.argv[1], read_only=True)
held = []
def hold_all():
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
hold_all()
store._engine.database._idle.clear()
hold_all()  # what the idle connections had, too
try:
    store.get(["1"])
except StoreError as error:
    print(error)
"""
    assert "Too many open files; close some files, or raise" in run(code, store.path).stdout


def test_too_many_open_files_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 10)
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), index="hnsw") as store:
        store.add(make_passages(50))
        store.optimize()
        store.rank(["passage"], 3, ranking=Ranking("bm25"))
        assert {path.name for path in store.path.rglob("*")} >= {"faiss", "fields", "terms"}
    code = """
import os, resource
from dpr_rag import Ranking
from dpr_rag.errors import StoreError
def ask():
    with PassageStore.open(sys.argv[1], read_only=True, encoder=HashEncoder()) as store:
        store.search(np.ones((1, 16), np.float32), 3)
        store.rank(["passage"], 3, ranking=Ranking("bm25"))
ask()  # so that all is imported
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held, told = [], set()
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
while True:  # fewer are held each time, until none is missing
    os.close(held.pop())
    try:
        ask()
        break
    except StoreError as error:
        told.add("ulimit -n" in str(error))
print(told)
"""
    ran = run(code, tmp_path / "store")
    assert ran.stdout == "{True}\n", ran
    assert not ran.stderr  # no warning of damage, after which a search would do without the index


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o002, 0o664, 0o775), (0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
            store.add(make_passages(5))
            store.optimize()
            for path in [store.path, *store.path.rglob("*")]:
                assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), path
            store.backup(tmp_path / "copy")
            for path in [store.path, *(tmp_path / "copy").rglob("*")]:
                assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), path
            assert (tmp_path / "copy").stat().st_mode & 0o777 == folder
    finally:
        os.umask(before)


def test_what_killed_backups_left_goes_with_the_next_one(store: PassageStore) -> None:
    store.add(make_passages(5))
    parent = store.path.parent
    dead = parent / "copy.partial-1-0123abcd"
    others = [parent / "copy.partial-mine", parent / "copy2.partial-1-0123abcd"]
    for folder in (dead, *others):
        folder.mkdir()
        (folder / "passages.sqlite").write_text("half")
    held = Claim(parent, "copy.partial-")
    store.backup(parent / "copy")
    assert not dead.exists()
    assert all((folder / "passages.sqlite").read_text() == "half" for folder in others)
    assert held.path.is_dir()
    held.release()


@pytest.mark.parametrize("call", [(os, "open"), (fcntl, "flock")], ids=["open", "flock"])
def test_a_working_folder_that_another_process_takes_for_abandoned_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str]
) -> None:
    """Between making a folder and holding its lock stand two calls of the system; a sweep may come before each of them."""
    whole: Callable[..., Any] = getattr(*call)
    gone = []

    def after_a_sweep(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        for folder in tmp_path.iterdir():
            folder.rmdir()
            gone.append(folder)
        return whole(*given, **named)

    monkeypatch.setattr(*call, after_a_sweep)
    claim = Claim(tmp_path, "building-")
    assert len(gone) == 1
    assert list(tmp_path.iterdir()) == [claim.path] != gone
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_of_temporary_stores_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import tempfile; tempfile.tempdir = sys.argv[1]\n"
    code += "import os\nstore = PassageStore.temporary(encoder=HashEncoder())\n"
    code += "store.add(make_passages(3)); os.kill(os.getpid(), 9)"
    assert run(code, tmp_path).returncode == -9
    (left,) = tmp_path.glob("dpr-rag-*")
    (tmp_path / "dpr-rag-notes").mkdir()
    with PassageStore.temporary() as one, PassageStore.temporary() as two:
        assert sorted(tmp_path.iterdir()) == sorted([one.path.parent, two.path.parent, tmp_path / "dpr-rag-notes"])
        assert one.path.parent.stat().st_mode & 0o777 == 0o700
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["dpr-rag-notes"]


def test_an_optimize_that_cannot_write_changes_nothing(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(30))
    Retriever(store, mode="bm25").retrieve("number")
    store.optimize("hnsw")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((compaction, "write_vectors"), (Postings, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(StoreError, match=r"No space left on device.*free some space"):
                store.optimize("hnsw", language="german")
        info = store.info()
        assert (info.language, info.kind, info.base) == ("english", "hnsw", 30)
        assert store.check().indexed == 30
    store.optimize(language="german")
    assert store.info().language == "german"
    assert store.check().passages == 30


FULL = """
import resource
from dpr_rag.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write fails, as on a full disk
"""


def test_a_store_on_a_full_disk_can_be_read(store: PassageStore) -> None:
    store.add(make_passages(5))
    store.close()
    code = f"""{FULL}
with PassageStore.open(sys.argv[1], read_only=True) as store:
    print(len(store.search(np.ones((1, 16)), 9)[0]), store.check().passages)
"""
    done = run(code, store.path)
    assert (done.stdout, done.stderr) == ("5 5\n", "")


def test_a_full_disk_is_named_when_a_store_is_opened_for_writing(store: PassageStore) -> None:
    store.add(make_passages(5))
    store.close()
    code = f"""{FULL}
try:
    PassageStore.open(sys.argv[1])
except StoreError as error:
    print(error)
"""
    done = run(code, store.path)
    assert "free some space on the disk" in done.stdout
    assert "batch" not in done.stdout

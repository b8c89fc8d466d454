"""A store is the thing that was opened, not a path: replaced folders, links among its parts, copies over crashed stores."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import (
    NotAStoreError,
    StoreCorrupted,
    StoreError,
    StoreLocked,
    StoreNotFoundError,
    StoreReplacedError,
)
from dpr_rag.storage import connecting

QUESTION = np.ones((1, 16), np.float32)


def of_owner(owner: str, count: int = 80) -> list[Passage]:
    return [Passage(f"{owner}-{at}", f"{owner} text number {at}", metadata={"owner": owner}) for at in range(count)]


def fill(path: Path, owner: str) -> None:
    """A store of one owner's passages with an index and postings; the generations of all of them are alike."""
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(of_owner(owner))
        store.optimize()
        Retriever(store, mode="bm25").retrieve("text")


def by_rename(store: Path, other: Path) -> None:
    store.rename(store.with_name("aside"))
    other.rename(store)


def by_rebuilding(store: Path, other: Path) -> None:
    shutil.rmtree(store)
    shutil.copytree(other, store)


def by_overwriting(store: Path, other: Path) -> None:
    """As ``cp -r other/. store/``: the files keep their inodes."""
    shutil.copytree(other, store, dirs_exist_ok=True)


def by_relinking(store: Path, other: Path) -> None:
    """As ``ln -sfn``; the fixture made the path a link."""
    link = store.with_name("link")
    link.symlink_to(other)
    os.replace(link, store)


USES: dict[str, Callable[[PassageStore], object]] = {
    "dense": lambda store: store.search(QUESTION, 80, {"owner": "a"}),
    "bm25": lambda store: Retriever(store, mode="bm25").retrieve("text number", k=80),
    "hybrid": lambda store: Retriever(store, mode="hybrid").retrieve("text number", k=80),
    "predicate": lambda store: store.search(QUESTION, 80, lambda passage: True),
    "get": lambda store: store.get(["a-1"]),
    "count": lambda store: store.count({"owner": "a"}),
    "list": list,
    "sample": lambda store: store.sample(5),
    "check": lambda store: store.check(),
    "add": lambda store: store.add([Passage("new", "what is acknowledged stays")]),
    "delete": lambda store: store.delete([f"b-{at}" for at in range(20)]),
    "optimize": lambda store: store.optimize("hnsw"),
    "backup": lambda store: store.backup(store.path.with_name("backup")),
    "tune": lambda store: store.set_tuned(None),
}


@pytest.mark.parametrize("replace", [by_rename, by_rebuilding, by_overwriting, by_relinking])
@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize("use", USES)
def test_a_replaced_store_is_never_mixed_with_the_other(
    tmp_path: Path, use: str, replace: Callable[[Path, Path], None], read_only: bool
) -> None:
    if read_only and use in ("add", "delete", "optimize", "tune"):
        pytest.skip("changes are refused anyway")
    fill(tmp_path / "v1", "a")
    fill(tmp_path / "v2", "b")
    path = tmp_path / "v1"
    if replace is by_relinking:
        path = tmp_path / "current"
        path.symlink_to(tmp_path / "v1")
    with PassageStore.open(path, encoder=HashEncoder(), read_only=read_only) as store:
        for warm in ("dense", "bm25", "count"):
            USES[warm](store)
        replace(path, tmp_path / "v2")
        with pytest.raises(StoreReplacedError, match="open it again"):
            USES[use](store)
    with PassageStore.open(path, encoder=HashEncoder()) as now:
        assert now.check().passages == 80
        assert {hit.passage.metadata["owner"] for hit in now.search(QUESTION, 80)[0]} == {"b"}


def test_closing_a_replaced_store_leaves_the_new_ones_log_alone(tmp_path: Path) -> None:
    fill(tmp_path / "v1", "a")
    old = PassageStore.open(tmp_path / "v1", encoder=HashEncoder())
    old.add([Passage("late", "in the log of the old store")])
    by_rename(tmp_path / "v1", shutil.copytree(tmp_path / "v1", tmp_path / "empty") and _new(tmp_path / "fresh"))
    with PassageStore.open(tmp_path / "v1", encoder=HashEncoder()) as new:
        new.add(make_passages(3))
        old.close()
        new.add(make_passages(3, 10))
        with PassageStore.open(tmp_path / "v1", read_only=True) as reader:
            assert reader.check().passages == 6


def _new(path: Path) -> Path:
    PassageStore.open(path, encoder=HashEncoder()).close()
    return path


def test_a_commit_into_a_store_put_aside_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "v1", "a")
    fill(tmp_path / "v2", "b")
    with PassageStore.open(tmp_path / "v1", encoder=HashEncoder()) as store:
        with pytest.raises(StoreReplacedError), store._engine.writing():
            by_rename(tmp_path / "v1", tmp_path / "v2")


def test_an_earlier_copy_of_the_same_store_written_over_it_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "store", "a")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add([Passage("new", "added after the copy")])
        assert len(store.search(QUESTION, 100)[0]) == 81
        store._engine.database._close_idle()
        by_overwriting(tmp_path / "store", tmp_path / "copy")
        with pytest.raises(StoreReplacedError, match="open it again"):
            store.search(QUESTION, 100)


def test_every_store_and_every_copy_has_a_name_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "a", "a")
    fill(tmp_path / "b", "b")
    with PassageStore.open(tmp_path / "a") as store:
        store.backup(tmp_path / "copy")
    PassageStore.restore(tmp_path / "copy", tmp_path / "restored")
    names = {_name(tmp_path / folder) for folder in ("a", "b", "copy", "restored")}
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


def _name(path: Path) -> str:
    with PassageStore.open(path, read_only=True) as store:
        return store._engine.state().store


# --- links


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody's, with a folder in it that looks like a segment; nothing of it may change."""
    folder = tmp_path / "home"
    (folder / "base-1-0123abcd").mkdir(parents=True)
    (folder / "base-1-0123abcd" / "thesis.txt").write_text("years of work")
    (folder / "photos").mkdir()
    (folder / "letter.txt").write_text("dear")
    before = sorted(str(path) for path in folder.rglob("*"))
    yield folder
    assert sorted(str(path) for path in folder.rglob("*")) == before
    assert (folder / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("part", ["index", "writer.json", "passages.sqlite", "passages.sqlite-wal"])
def test_a_store_of_which_a_part_is_a_link_is_refused(tmp_path: Path, home: Path, part: str) -> None:
    fill(tmp_path / "store", "a")
    place = tmp_path / "store" / part
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(home if part == "index" else home / "letter.txt")
    for read_only in (False, True):
        with pytest.raises(StoreError, match=rf"{part} is a link to .*; the parts of a store are never links"):
            PassageStore.open(tmp_path / "store", encoder=HashEncoder(), read_only=read_only)


@pytest.mark.parametrize("use", ["optimize", "add", "bm25"])
def test_what_becomes_a_link_later_is_not_followed(tmp_path: Path, home: Path, use: str) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add(make_passages(2500))
        (store.path / "index").symlink_to(home)
        (store.path / "writer.json").unlink(missing_ok=True)
        (store.path / "writer.json").symlink_to(home / "letter.txt")
        try:
            USES[use](store)
        except StoreError as error:
            assert "never links" in str(error)  # noqa: PT017
        (store.path / "index").unlink()
        (store.path / "writer.json").unlink()
        assert store.check().passages in (2500, 2501)


def test_the_link_of_a_store_as_a_whole_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "v1", "a")
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    with PassageStore.open(tmp_path / "current", encoder=HashEncoder()) as store:
        store.add([Passage("new", "one more")])
        store.optimize()
    with PassageStore.open(tmp_path / "v1") as store:
        assert store.check().passages == 81


# --- readers that may not write


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may read and only this user may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


READER = """
import os, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from conftest import HashEncoder, make_passages
from dpr_rag import PassageStore
from dpr_rag.errors import StoreError

def ask(store):
    found = store.search(np.ones((1, 16)), 500)[0]
    print(len(found), "5" in {hit.passage.id for hit in found}, flush=True)

with PassageStore.temporary(encoder=HashEncoder()) as store:  # what is imported late may be out of that user's reach
    store.add(make_passages(40))
    store.optimize("hnsw")
    ask(store)
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
with PassageStore.open(sys.argv[1], read_only=True) as store:
    for line in sys.stdin:
        try:
            ask(store)
        except StoreError as error:
            print(type(error).__name__, error, flush=True)
"""


class ForeignReader:
    """A process of a user who may not write the store."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER, str(path), str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "40 True\n"

    def ask(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.mark.parametrize("log_first", [False, True], ids=["opened without a log", "opened beside a writer"])
def test_a_reader_that_may_not_write_sees_every_commit(shared: Path, log_first: bool) -> None:
    path = shared / "store"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(40))
        store.optimize()
        store.add(make_passages(2, 40))
        if os.geteuid() != 0:
            path.chmod(0o555)
        reader = ForeignReader(path) if log_first else None
        if reader is not None:
            assert reader.ask() == "42 True"
    reader = reader or ForeignReader(path)
    try:
        assert reader.ask() == "42 True"
        path.chmod(0o755)
        for _ in range(2):
            with PassageStore.open(path, encoder=HashEncoder()) as store:
                store.delete(["5"])
                assert reader.ask() == "41 False"
                store.add(make_passages(200, 100), batch_size=10)
                assert reader.ask() == "241 False"
                store.optimize("hnsw")
                assert reader.ask() == "241 False"
            assert reader.ask() == "241 False"
            with PassageStore.open(path, encoder=HashEncoder()) as store:
                store.delete([str(at) for at in range(100, 300)])
                store.add(make_passages(1, 5))
            assert reader.ask() == "42 True"
    finally:
        reader.close()


def add_elsewhere(path: Path, count: int, start: int) -> None:
    """Add passages in another process."""
    code = "import sys; sys.path.insert(0, sys.argv[2]); from conftest import *\n"
    code += (
        "PassageStore.open(sys.argv[1], encoder=HashEncoder()).add(make_passages(int(sys.argv[3]), int(sys.argv[4])))"
    )
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent), str(count), str(start)]
    subprocess.run(command, check=True)


def test_what_changes_while_it_is_read_without_locks_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(20))
    monkeypatch.setattr(connecting, "_is_readable", lambda *_: False)  # as where the folder cannot be written
    with PassageStore.open(path, read_only=True) as reader:
        assert len(reader.search(QUESTION, 50)[0]) == 20
        asked: list[str] = []

        def while_another_writes(passage: Passage) -> bool:
            if not asked:
                add_elsewhere(path, 5, 100)
            asked.append(passage.id)
            return True

        assert len(reader.search(QUESTION, 50, while_another_writes)[0]) == 25
        assert len(asked) > 25
        with pytest.raises(StoreLocked, match="ask again"), reader._engine.reading():
            add_elsewhere(path, 1, 200)
        assert len(reader) == 26


# --- copies over crashed stores


CRASHING = """
import os, sys
sys.path.insert(0, sys.argv[2])
from conftest import HashEncoder, make_passages
from dpr_rag import Passage, PassageStore
store = PassageStore.open(sys.argv[1], encoder=HashEncoder())
store.add([Passage(f"bad-{at}", f"bad import {at}") for at in range(int(sys.argv[3]))])
os.kill(os.getpid(), 9)
"""


def crash(path: Path, count: int = 30) -> None:
    """A process that is killed after an import, which leaves its log."""
    done = subprocess.run([sys.executable, "-c", CRASHING, str(path), str(Path(__file__).parent), str(count)])
    assert done.returncode == -signal.SIGKILL
    assert (path / "passages.sqlite-wal").stat().st_size > 0


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A store after a bad import and a kill, and ``backup`` beside it from before."""
    fill(tmp_path / "store", "a")
    with PassageStore.open(tmp_path / "store") as store:
        store.backup(tmp_path / "backup")
    crash(tmp_path / "store")
    return tmp_path / "store"


def contents(path: Path) -> list[str]:
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.check().passages == len(store)
        found = {hit.passage.id for hit in store.search(QUESTION, 500)[0]}
        assert found == {passage.id for passage in store}
        return sorted(found)


GOOD = sorted(f"a-{at}" for at in range(80))


def test_restore_brings_back_exactly_the_backup(crashed: Path) -> None:
    PassageStore.restore(crashed.with_name("backup"), crashed)
    assert contents(crashed) == GOOD
    assert contents(crashed.with_name("backup")) == GOOD
    assert [path.name for path in crashed.iterdir() if path.name.startswith("restoring")] == []
    with PassageStore.open(crashed) as store:
        state = store._engine.state()
        assert [path.name for path in (crashed / "index").iterdir()] == [state.base["directory"]]
        assert store.check().indexed == 80


@pytest.mark.parametrize(
    "copy", [shutil.copyfile, shutil.copy2, lambda a, b: os.replace(shutil.copy(a, f"{b}.new"), b)]
)
def test_a_backup_copied_by_hand_over_a_killed_store_is_not_mixed_with_its_log(
    crashed: Path, copy: Callable[[Path, Path], object]
) -> None:
    log = (crashed / "passages.sqlite-wal").read_bytes()
    copy(crashed.with_name("backup") / "passages.sqlite", crashed / "passages.sqlite")
    for read_only in (False, True):
        with pytest.raises(StoreCorrupted, match=r"log of another store.*dpr-rag restore COPY"):
            PassageStore.open(crashed, encoder=HashEncoder(), read_only=read_only)
    assert (crashed / "passages.sqlite-wal").read_bytes() == log
    PassageStore.restore(crashed.with_name("backup"), crashed)
    assert contents(crashed) == GOOD


def test_the_own_log_of_a_killed_store_is_played_back(crashed: Path) -> None:
    assert contents(crashed) == sorted([*GOOD, *(f"bad-{at}" for at in range(30))])


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_kill_right_after_the_migration_of_an_older_format_is_no_foreign_log(tmp_path: Path, number: int) -> None:
    path = Path(shutil.copytree(Path(__file__).parent / "golden" / f"format-{number}", tmp_path / "store"))
    code = "import os, sys; from dpr_rag import PassageStore; PassageStore.open(sys.argv[1]); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(path)])
    assert (path / "passages.sqlite-wal").stat().st_size > 0
    with PassageStore.open(path) as store:
        assert store.check().passages == 11


def test_restore_refuses_while_the_store_is_open(crashed: Path) -> None:
    with PassageStore.open(crashed, encoder=HashEncoder()) as store:
        with pytest.raises(StoreLocked, match="open in this process; close it"):
            PassageStore.restore(crashed.with_name("backup"), crashed)
        assert len(store) == 110
    reader = ForeignProcess(crashed)
    try:
        with pytest.raises(StoreLocked, match="open in another process; close it there"):
            PassageStore.restore(crashed.with_name("backup"), crashed)
    finally:
        reader.close()
    assert len(contents(crashed)) == 110
    PassageStore.restore(crashed.with_name("backup"), crashed)
    assert contents(crashed) == GOOD


class ForeignProcess:
    """Another process of this user that has a store open, idle."""

    def __init__(self, path: Path) -> None:
        code = "import sys; from dpr_rag import PassageStore\n"
        code += "store = PassageStore.open(sys.argv[1]); print(len(store), flush=True); input()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert int(self._process.stdout.readline()) > 0

    def close(self) -> None:
        self._process.communicate("\n", timeout=60)


@pytest.mark.parametrize("damage", [b"", b"no database at all", None])
def test_restore_needs_nothing_of_the_store_that_it_replaces(crashed: Path, damage: bytes | None) -> None:
    database = crashed / "passages.sqlite"
    if damage is None:
        data = bytearray(database.read_bytes())
        data[100:] = os.urandom(len(data) - 100)
        database.write_bytes(data)
    else:
        database.write_bytes(damage)
    PassageStore.restore(crashed.with_name("backup"), crashed)
    assert contents(crashed) == GOOD


@pytest.mark.parametrize("step", ["rename", "replace", "unlink"])
def test_a_restore_that_is_cut_short_leaves_one_of_the_two(
    crashed: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        original = Path.rename
        if step == "rename":
            patch.setattr(
                Path, "rename", lambda self, to: cut() if self.name.startswith("base-") else original(self, to)
            )
        elif step == "replace":
            patch.setattr(os, "replace", cut)
        else:
            patch.setattr(Path, "unlink", lambda self, **_: cut() if self.name.endswith("-wal") else None)
        with pytest.raises(PowerCut):
            PassageStore.restore(crashed.with_name("backup"), crashed)
    if step == "unlink":
        with pytest.raises(StoreCorrupted, match="dpr-rag restore COPY"):
            PassageStore.open(crashed)
        PassageStore.restore(crashed.with_name("backup"), crashed)
        assert contents(crashed) == GOOD
    else:
        assert len(contents(crashed)) == 110


def test_a_damaged_copy_replaces_nothing(crashed: Path) -> None:
    copy = crashed.with_name("backup")
    with sqlite3.connect(copy / "passages.sqlite") as connection:
        connection.execute("UPDATE passage SET text = 'other' WHERE row = 3")
    connection.close()
    with pytest.raises(StoreCorrupted, match="row 3"):
        PassageStore.restore(copy, crashed)
    assert len(contents(crashed)) == 110


def test_restore_says_what_it_cannot_take(crashed: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no store at"):
        PassageStore.restore(tmp_path / "nowhere", crashed)
    with pytest.raises(StoreError, match="over itself"):
        PassageStore.restore(crashed, crashed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(NotAStoreError, match="is no dpr-rag store"):
        PassageStore.restore(crashed.with_name("backup"), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    PassageStore.restore(crashed.with_name("backup"), tmp_path / "fresh")
    assert contents(tmp_path / "fresh") == GOOD


def test_restore_takes_an_empty_folder_and_what_is_left_of_a_store(crashed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    PassageStore.restore(crashed.with_name("backup"), tmp_path / "empty")
    assert contents(tmp_path / "empty") == GOOD
    (crashed / "passages.sqlite").unlink()
    (crashed / "restoring-1-0123abcd").mkdir()
    PassageStore.restore(crashed.with_name("backup"), crashed)
    assert contents(crashed) == GOOD
    assert not (crashed / "restoring-1-0123abcd").exists()

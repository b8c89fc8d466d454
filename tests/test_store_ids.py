"""Damaged pages of SQLite's index on ids: no passage is hidden by one, none deleted in name only, none stored twice."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import StoreCorrupted
from dpr_rag.storage.ids import prove_absent
from dpr_rag.storage.reader import StoreReader

COUNT = 3000
KEY = 16
LEAF, INTERIOR = 10, 2
USES: dict[str, Callable[[PassageStore, str], object]] = {
    "delete": lambda store, one: store.delete([one]) == 1,
    "add": lambda store, one: store.add([Passage(one, "other text")], vectors=[[1, 2]]).replaced == 1,
    "get": lambda store, one: [passage.id for passage in store.get([one])] == [one],
    "vectors": lambda store, one: list(store.get_vectors([one])) == [one],
    "in": lambda store, one: one in store,
}


class Pages:
    """The pages of the index on ids in a store file."""

    def __init__(self, data: bytes) -> None:
        self.size = int.from_bytes(data[16:18], "big")
        self.data = data
        self.keys = {at: found for at in range(self.size, len(data), self.size) if (found := self._keys(at))}
        self.leaves = [at for at in self.keys if data[at] == LEAF]

    def _keys(self, page: int) -> list[str]:
        head = {LEAF: 8, INTERIOR: 12}.get(self.data[page], 0)
        cells = [self.cell(page, head + 2 * at) for at in range(self.number(page + 3))] if head else []
        places = [self.data.find(b"key-", at, at + 12) for at in cells]
        return [self.data[at : at + KEY].decode() for at in places if at >= 0]

    def number(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 2], "big")

    def cell(self, page: int, at: int) -> int:
        return page + self.number(page + at)

    def of(self, page: int) -> bytes:
        return self.data[page : page + self.size]


def copied(pages: Pages, old: bytes, choose: random.Random) -> tuple[int, bytes]:
    """A page was written to the place of another one as well."""
    source, target = choose.sample(pages.leaves, 2)
    return target, pages.of(source)


def lost_write(pages: Pages, old: bytes, choose: random.Random) -> tuple[int, bytes]:
    """A page is as an earlier commit left it."""
    target = choose.choice([at for at in pages.leaves if b"" != old[at : at + pages.size] != pages.of(at)])
    return target, old[target : target + pages.size]


def cut_short(pages: Pages, old: bytes, choose: random.Random) -> tuple[int, bytes]:
    """A page has lost its last entries."""
    target = choose.choice(pages.leaves)
    kept = choose.randrange(len(pages.keys[target]) // 2)
    return target, pages.of(target)[:3] + kept.to_bytes(2, "big") + pages.of(target)[5:]


def other_child(pages: Pages, old: bytes, choose: random.Random) -> tuple[int, bytes]:
    """An inner page leads to another page."""
    target = next(at for at in pages.keys if pages.data[at] == INTERIOR)
    page = bytearray(pages.of(target))
    places = [pages.cell(target, 12 + 2 * at) - target for at in range(pages.number(target + 3))]
    one, other = choose.sample(places, 2)
    page[one : one + 4] = page[other : other + 4]
    return target, bytes(page)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pages, bytes, list[str]]:
    """A store file, the same file one commit earlier, and the ids in it."""
    path = tmp_path_factory.mktemp("written") / "store"
    choose = random.Random(5)
    ids = [f"key-{number:012d}" for number in choose.sample(range(10**12), COUNT)]
    files = []
    for part in (ids[: COUNT - 200], ids[COUNT - 200 :]):
        with PassageStore.open(path) as store:
            store.add([Passage(one, "text") for one in part], vectors=np.ones((len(part), 2)))
        files.append((path / "passages.sqlite").read_bytes())
    return Pages(files[1]), files[0], ids


def stored(data: bytes, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "passages.sqlite").write_bytes(data)
    return folder


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("damage", [copied, lost_write, cut_short, other_child])
def test_a_damaged_page_of_the_index_never_hides_a_passage(
    written: tuple[Pages, bytes, list[str]], tmp_path: Path, damage: Callable[..., tuple[int, bytes]], use: str
) -> None:
    pages, old, ids = written
    choose = random.Random(damage.__name__)
    noticed = 0
    for trial in range(4):
        target, page = damage(pages, old, choose)
        data = pages.data[:target] + page + pages.data[target + pages.size :]
        assert data != pages.data
        candidates = ids if damage is other_child else pages.keys[target]
        path = stored(data, tmp_path / str(trial))
        for one in choose.sample(candidates, 3):
            with PassageStore.open(path) as store:
                try:
                    assert USES[use](store, one), one
                except StoreCorrupted:
                    noticed += 1
    assert noticed


def test_the_proof_of_the_index_follows_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[StoreReader] = []
    real = StoreReader.prove_ids
    monkeypatch.setattr(StoreReader, "prove_ids", lambda self: (proofs.append(self), real(self))[1])
    for _ in range(3):
        with PassageStore.open(tmp_path / "s") as store:
            assert store.get(["unknown", "b"]) == store.get(["b"])
            store.add([Passage(one, "text ü") for one in ("b", "ü", "a", "\U0010ffff")], vectors=np.ones((4, 2)))
            store.add([Passage("a", "other"), Passage("b", "text ü", metadata={"n": 1})], vectors=np.ones((2, 2)))
            assert store.delete(["ü", "unknown"]) == 1
            assert store.delete(["\U0010ffff"]) == 1
    assert len(proofs) == 3  # once each time it was opened
    with PassageStore.open(tmp_path / "s") as store:
        assert store.check().passages == 2
    proofs.clear()
    with PassageStore.open(tmp_path / "s") as store:
        assert (store.delete(["a"]), store.delete(["b"]), len(store)) == (1, 1, 0)
        assert proofs == []  # nothing was unknown
        assert store._engine.state().id_sum == 0
        assert store.delete(["a"]) == 0


def test_a_process_proves_the_index_before_it_holds_others_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing: list[bool] = []
    real = StoreReader.prove_ids
    monkeypatch.setattr(StoreReader, "prove_ids", lambda self: (writing.append(hasattr(self, "now")), real(self))[1])
    for use in (
        lambda store: store.add([Passage("a", "text")], vectors=[[1, 2]]),
        lambda store: store.delete(["unknown", "a"]),
    ):
        with PassageStore.open(tmp_path / "s") as store:
            use(store)
    assert writing == [False, False]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A connection to a small store's file behind its back."""
    path = tmp_path / "s"
    with PassageStore.open(path) as store:
        store.add([Passage(one, "text") for one in "bdfh"], vectors=np.ones((4, 2)))
    connection = sqlite3.connect(path / "passages.sqlite", isolation_level=None)
    yield connection, path
    connection.close()


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DELETE FROM passage WHERE id = 'd'"], "holds 3 of 4 passages, or others"),
        (["INSERT INTO passage VALUES (9, 'e', '', '{}', '', 0)"], "holds 5 of 4 passages, or others"),
        (["UPDATE passage SET id = 'e' WHERE id = 'd'"], "holds 4 of 4 passages, or others"),
        (
            ["UPDATE passage SET id = '%s' WHERE id = '%s'" % (new, old) for old, new in ("dx", "fd", "xf")],  # noqa: S608, UP031
            "holds 4 of 4 passages, or others",
        ),
    ],
    ids=["less", "more", "another", "exchanged"],
)
def test_an_index_of_other_passages_is_noticed(
    index: tuple[sqlite3.Connection, Path], statements: list[str], message: str
) -> None:
    connection, path = index
    for statement in statements:
        connection.execute(statement)
    for use in (lambda: store.delete(["a"]), lambda: store.add([Passage("a", "text")], vectors=[[1, 2]])):
        with PassageStore.open(path) as store, pytest.raises(StoreCorrupted, match=message):
            use()


def test_check_proves_the_index(index: tuple[sqlite3.Connection, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = index
    monkeypatch.setattr(StoreReader, "problems", lambda self: [])
    with PassageStore.open(path) as store:
        with store._engine.writing() as writer:
            writer.now = replace(writer.now, id_sum=writer.now.id_sum + 1)
            writer.commit_state()
        with pytest.raises(StoreCorrupted, match="the index on ids holds 4 of 4 passages, or others"):
            store.check()


def test_neighbours_are_looked_up_once_for_all_ids_between_them(index: tuple[sqlite3.Connection, Path]) -> None:
    connection, _ = index
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    prove_absent(connection, ["z", "a", "c1", "c2", "e", "c", "zz", "y"], "")
    assert len([one for one in asked if one.startswith("SELECT")]) == 4
    prove_absent(connection, [], "")
    assert len(asked) == 4


def test_what_an_older_store_does_not_have_is_not_there(tmp_path: Path) -> None:
    """It keeps no sum of its ids, so that SQLite compares the index with the table."""
    place = shutil.copytree(Path(__file__).parent / "golden" / "format-4", tmp_path / "s")
    with PassageStore.open(place, read_only=True) as store:
        assert [one.id for one in store.get(["id-5", "id-4", "unknown"])] == ["id-4"]
        assert "id-5" not in store
    with PassageStore.open(place) as store:
        assert store.delete(["id-5", "id-4", "unknown"]) == 1
        assert store.check().passages == 10

"""What adapters keep in a store: records that are as durable as passages, and passages found by mark."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import PRIVATE_KEY, Passage, PassageStore
from dpr_rag.errors import PassageError, StoreCorrupted, StoreReadOnlyError
from dpr_rag.storage import marks
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.store.private import Private

ROWS = np.eye(6, dtype=np.float32)


def marked(at: int, source: object, twin: str | None = None) -> Passage:
    listed = [f"node:{at}", source, ["{}"], *([] if twin is None else [twin])]
    return Passage(str(at), f"text {at}", metadata={PRIVATE_KEY: listed})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def edit(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path / FILE_NAME)
    with connection:
        connection.execute(sql)
    connection.close()


def test_records_survive_and_come_in_order_of_insertion(path: Path) -> None:
    with PassageStore.open(path) as store:
        assert store.private.read("a") == {}
        assert store.private.write({"a": {"z": {"n": 1}, "b": [None, "ä\ud800\0"]}, "c": {"z": 2.5}}) == 3
        assert store.private.write({"a": {"z": {"n": 2}, "none": None}}) == 1
    with PassageStore.open(path, read_only=True) as store:
        assert list(store.private.read("a").items()) == [("z", {"n": 2}), ("b", [None, "ä\ud800\0"])]
        assert store.private.read("a", ["b", "\ud800", "nowhere"]) == {"b": [None, "ä\ud800\0"]}
        assert store.private.write({"c": {"z": 2.5}, "a": {"nowhere": None}}) == 0
        with pytest.raises(StoreReadOnlyError):
            store.private.write({"c": {"z": 3}})
        store.check()


def test_records_are_committed_together_or_not_at_all(path: Path) -> None:
    with PassageStore.open(path) as store:
        with pytest.raises(PassageError, match=r"'b', key 'k': the value is not JSON .* convert it"):
            store.private.write({"a": {"k": 1}, "b": {"k": object()}})
        with pytest.raises(PassageError, match="expected strings that can be stored as UTF-8"):
            store.private.write({"a": {"k": 1, "\ud800": 1}})
        assert store.private.read("a") == {}


def test_searches_do_not_notice_records(path: Path) -> None:
    with PassageStore.open(path) as store:
        store.add([marked(0, "source:d")], vectors=ROWS[:1])
        before = store.info().generation
        store.private.write({"a": {"k": 1}})
        store.private.write({"a": {"k": None}})
        assert store.info().generation == before
        assert store.search(ROWS[:1], 1)[0][0].passage.id == "0"
        store.add([marked(1, "source:d")], vectors=ROWS[1:2])
        store.check()


def test_a_backup_has_the_records(path: Path, tmp_path: Path) -> None:
    with PassageStore.open(path) as store:
        store.private.write({"a": {"k": 1}})
        store.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy") as copy:
        assert copy.private.read("a") == {"k": 1}


def test_threads_write_at_once(path: Path) -> None:
    with PassageStore.open(path) as store:
        threads = [
            threading.Thread(target=lambda at=at: store.private.write({"a": {f"{at}-{n}": n for n in range(20)}}))
            for at in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.private.read("a")) == 160
        store.check()


@pytest.mark.parametrize(
    ("sql", "reading"),
    [
        ("UPDATE entry SET value = '2' WHERE key = 'k'", "the entry 'k' is damaged"),
        ("UPDATE entry SET key = 'other' WHERE key = 'k'", "the entry 'other' is damaged"),
        ("DELETE FROM entry WHERE key = 'k'", None),
    ],
)
def test_damage_is_named(sql: str, reading: str | None, path: Path) -> None:
    with PassageStore.open(path) as store:
        store.private.write({"a": {"k": 1, "l": 2}})
    edit(path, sql)
    with PassageStore.open(path) as store:
        if reading is not None:
            with pytest.raises(StoreCorrupted, match=reading):
                store.private.read("a")
        with pytest.raises(StoreCorrupted, match=reading or "1 entries where 2 were committed"):
            store.check()


def test_passages_by_mark(path: Path) -> None:
    with PassageStore.open(path) as store:
        given = [
            *(marked(0, "source:d"), marked(1, "source:e", "twin"), marked(2, 7, "twin"), marked(3, ["source:d"])),
            Passage("4", "t", metadata={PRIVATE_KEY: {"1": "source:d"}, "x": ["", "source:d"]}),
        ]
        store.add(given, vectors=ROWS[:5])
        assert store.private.marked(["source:d", "twin", "\ud800", "a\0"]) == given[:3]
        assert store.private.present(one for one in ("source:d", "source:f", "twin")) == {"source:d", "twin"}
        assert store.private.marked(one for one in ("twin",)) == given[1:3]
        store.add([marked(0, "source:f")], vectors=ROWS[:1])
        assert store.private.marked(["source:d"]) == []
        assert store.private.delete_marked(["source:f", "source:e"]) == 2
        assert [passage.id for passage in store] == ["2", "3", "4"]
        assert store.private.delete_marked(["source:f"]) == 0
        store.check()


def test_marks_are_found_by_index(path: Path) -> None:
    with PassageStore.open(path) as store, store._engine.reading() as reader:
        for place in marks.PLACES:
            sql = f"SELECT row FROM passage WHERE {marks._at(place)} IN (SELECT value FROM json_each('[]'))"  # noqa: S608
            told = reader.connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            assert any(f"USING INDEX passage_mark_{place}" in row[3] for row in told)


def test_passages_in_place_of_others_that_say_the_same(path: Path) -> None:
    with PassageStore.open(path) as store:
        store.add([marked(0, "source:d"), marked(1, "source:d"), Passage("other", "text 2")], vectors=ROWS[:3])
        given = [Passage("new", "text 0"), Passage("newer", "text 1"), Passage("newest", "text 3")]
        report = store.private.add(
            given,
            vectors=ROWS[3:6],
            instead={"new": ["0", "nowhere"], "newer": ["1"], "newest": ["other"]},
            batch_size=2,
        )
        assert (report.added, report.replaced) == (1, 2)
        assert [passage.id for passage in store] == ["other", "new", "newer", "newest"]
        store.check()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_older_formats_have_none_until_they_are_migrated(number: int, path: Path) -> None:

    shutil.copytree(Path(__file__).parent / "golden" / f"format-{number}", path)
    with PassageStore.open(path, read_only=True) as store:
        assert store.private.read("a") == {}
        assert store.private.marked(["source:d"]) == []
    with PassageStore.open(path) as store:
        assert store.private.write({"a": {"k": 1}}) == 1
        assert store.private.read("a") == {"k": 1}
        assert store.private.marked(["source:d"]) == []
        store.check()


def with_damaged_keys(path: Path, key: bytes) -> int:
    """Change a key wherever an index of SQLite's holds it, and return at how many places that is."""
    data = bytearray((path / "passages.sqlite").read_bytes())
    size, found = int.from_bytes(data[16:18], "big"), 0
    for page in range(size, len(data), size):
        at = data.find(key, page, page + size)
        while data[page] in (2, 10) and at >= 0:
            data[at + len(key) - 3] ^= 1
            found, at = found + 1, data.find(key, at + 1, page + size)
    (path / "passages.sqlite").write_bytes(data)
    return found


@pytest.mark.parametrize(
    "use",
    [
        lambda private: private.marked(["source:d017"]),
        lambda private: private.present(["source:d017"]),
        lambda private: private.delete_marked(["source:d017"]),
    ],
    ids=["marked", "present", "delete"],
)
def test_a_damaged_index_on_marks_hides_no_passage(tmp_path: Path, use: Callable[[Private], object]) -> None:
    path = tmp_path / "s"
    with PassageStore.open(path) as store:
        store.add([marked(at, f"source:d{at:03}") for at in range(60)], vectors=np.ones((60, 2)))
    assert with_damaged_keys(path, b"source:d017") == 1
    with PassageStore.open(path) as store, pytest.raises(StoreCorrupted, match="passage_mark_1"):
        use(store.private)


@pytest.mark.parametrize(
    "use",
    [
        lambda private: private.read("docs", ["key-17"]),
        lambda private: private.read("docs"),
        lambda private: private.write({"docs": {"key-17": None}}),
        lambda private: private.write({"docs": {"key-17": "new"}}),
    ],
    ids=["read", "read all", "remove", "write"],
)
def test_a_damaged_index_on_records_hides_none(tmp_path: Path, use: Callable[[Private], object]) -> None:
    path = tmp_path / "s"
    with PassageStore.open(path) as store:
        assert store.private.write({"docs": {f"key-{at}": at for at in range(60)}}) == 60
    assert with_damaged_keys(path, b"key-17") == 1
    with (
        PassageStore.open(path) as store,
        pytest.raises(StoreCorrupted, match=r"sqlite_autoindex_entry_1|'key,17' is damaged"),
    ):
        use(store.private)


def test_a_record_that_is_lost_is_noticed(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.private.write({"docs": {"a": 1, "b": 2}})
    connection = sqlite3.connect(tmp_path / "s" / "passages.sqlite", isolation_level=None)
    connection.execute("DELETE FROM entry WHERE key = 'a'")
    connection.close()
    for keys in (None, ["a"], ["c"]):
        with PassageStore.open(tmp_path / "s") as store, pytest.raises(StoreCorrupted, match="1 entries where 2 were"):
            store.private.read("docs", keys)


def same(passage_id: str, tenant: str) -> Passage:
    return Passage(passage_id, "the same text", "title", {"tenant": tenant})


def test_what_a_passage_of_a_view_succeeds_is_of_the_view_too() -> None:
    with PassageStore.temporary() as store:
        store.add([same("a1", "a"), same("b1", "b")], vectors=np.eye(2))
        view = store.restricted({"tenant": "a"})
        view.private.add([same("a2", "a")], vectors=[[1.0, 0.0]], instead={"a2": ["a1", "b1"]})
        assert [passage.id for passage in store] == ["b1", "a2"]


@pytest.mark.parametrize("vector", [[1.0, 0.0], [0.0, 1.0]], ids=["unchanged", "another vector"])
def test_a_passage_never_makes_room_for_itself(vector: list[float]) -> None:
    with PassageStore.temporary() as store:
        store.add([same("a1", "a"), same("a2", "a")], vectors=np.eye(2)[[0, 0]])
        store.private.add([same("a1", "a")], vectors=[vector], instead={"a1": ["a1", "a2"]})
        assert [passage.id for passage in store] == ["a1"]
        assert store.get_vectors(["a1"])["a1"].tolist() == vector
        assert store.check().passages == 1

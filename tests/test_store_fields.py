"""Metadata kept by field beside a base segment: filters over it equal plain evaluation, and nothing stale or damaged counts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from conftest import Oracle, assert_equals_oracle

from dpr_rag import PRIVATE_KEY, Passage, PassageStore, Retriever
from dpr_rag.derived import file_checksum
from dpr_rag.errors import StoreCorrupted, StoreReadOnlyError
from dpr_rag.storage import collecting, fields
from dpr_rag.storage.reader import StoreReader
from dpr_rag.store import compaction

DIM = 8
WHERE = [
    {"n": {"$lt": 0.25}},
    {"n": {"$between": [0.2, 0.7]}, "tag": {"$ne": "a"}},
    {"$or": [{"tag": "b"}, {"$not": {"list": {"$contains": 3}}}]},
    {"id": {"$in": ["p3", "p150", "p205"]}},
    {"title": {"$like": "t1%"}},
    {"nowhere": {"$exists": False}},
    {"nowhere": 1},
]


def passage(at: int) -> Passage:
    metadata: dict[str, object] = {"n": (at * 37 % 101) / 101, "list": [at % 5, "x"]}
    return Passage(f"p{at}", f"text {at}", f"t{at % 13}", metadata | ({"tag": "abc"[at % 3]} if at % 4 else {}))


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def filled(path: Path) -> tuple[PassageStore, Oracle]:
    """A store with a base of 200 passages, a tail of 20, and a few of both deleted."""
    store, oracle = PassageStore.open(path), Oracle()
    for start, count in ((0, 200), (200, 20)):
        passages, rows = [passage(at) for at in range(start, start + count)], vectors(count, start)
        store.add(passages, vectors=rows)
        oracle.add(passages, rows)
        if not start:
            store.optimize()
    gone = ["p3", "p77", "p205"]
    assert store.delete(gone) == oracle.delete(gone) == 3
    return store, oracle


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("all passages were read")


@pytest.mark.parametrize("where", WHERE)
def test_filters_ask_the_columns_of_the_base(where: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreReader, "prove_passages", refuse)
    store, oracle = filled(tmp_path / "s")
    with store:
        assert_equals_oracle(store, oracle, vectors(3, 9), 30, where)
        assert store.count(where) == len(oracle.where(where))
        found = Retriever(store, k=300, mode="bm25").retrieve("text", filter=where)
        assert {hit.passage.id for hit in found} == set(oracle.where(where))
    with PassageStore.open(tmp_path / "s", read_only=True) as reopened:
        assert_equals_oracle(reopened, oracle, vectors(3, 9), 30, where)


@pytest.mark.parametrize("where", WHERE)
def test_what_a_filter_deletes_is_found_by_the_columns(
    where: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreReader, "prove_passages", refuse)
    store, oracle = filled(tmp_path / "s")
    store.close()
    with PassageStore.open(tmp_path / "s") as store:
        gone = oracle.where(where)
        assert store.delete(filter=where) == len(gone)
        oracle.delete(gone)
        assert {one.id for one in store} == set(oracle.passages)
        assert store.delete(filter=where) == 0
    with PassageStore.open(tmp_path / "s") as reopened:
        assert_equals_oracle(reopened, oracle, vectors(3, 9), 30)


def test_what_a_filter_deletes_after_edits_in_place_by_predicate_or_without_columns(tmp_path: Path) -> None:
    store, oracle = filled(tmp_path / "s")
    with store:
        store.add([Passage("p5", "text 5", "t5", {"n": 9})], vectors=vectors(1, 5))
        assert store.delete(filter={"n": 9}) == 1
        assert store.delete(filter=lambda one: one.id in ("p6", "p206", "p5")) == 2
        with PassageStore.open(tmp_path / "s", read_only=True) as reading, pytest.raises(StoreReadOnlyError):
            reading.delete(filter={"n": 1})
    contents = next((tmp_path / "s").rglob("fields.json"))
    contents.write_bytes(contents.read_bytes()[:-2])
    with PassageStore.open(tmp_path / "s") as store:
        gone = [one for one in oracle.where({"tag": "b"}) if one not in ("p5", "p6", "p206")]
        assert store.delete(filter={"tag": "b"}) == len(gone)
        assert {one.id for one in store} == {*oracle.passages} - {*gone, "p5", "p6", "p206"}


@pytest.mark.parametrize(
    "sql", ["UPDATE passage SET text = 'other' WHERE id = 'p20'", "UPDATE passage SET crc = 7 WHERE id = 'p20'"]
)
def test_damage_of_what_a_filter_deletes_is_named(sql: str, tmp_path: Path) -> None:
    filled(tmp_path / "s")[0].close()
    altered(tmp_path / "s", sql)
    with PassageStore.open(tmp_path / "s") as store:
        with pytest.raises(StoreCorrupted, match=r"passage 'p20' \(row 21\) is damaged"):
            store.delete(filter={"title": "t7"})
        assert len(store) == 217


def test_what_was_added_since_the_last_look_is_deleted_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, oracle = filled(tmp_path / "s")
    with store, PassageStore.open(tmp_path / "s") as other:
        late = passage(300)
        writing = type(store._engine).writing

        def overtaken(engine: object, **kwargs: object) -> object:
            if engine is store._engine and late.id not in other:
                other.add([late], vectors=vectors(1, 300))
            return writing(engine, **kwargs)

        monkeypatch.setattr(type(store._engine), "writing", overtaken)
        everything = {"n": {"$gte": 0}}
        assert store.delete(filter=everything) == len(oracle.passages) + 1
        assert len(store) == 0


def test_a_predicate_is_asked_about_every_passage(tmp_path: Path) -> None:
    store, oracle = filled(tmp_path / "s")
    with store:
        hits = store.search(vectors(1, 9), 300, lambda one: one.id.endswith("7"))[0]
        assert {hit.passage.id for hit in hits} == {one for one in oracle.passages if one.endswith("7")}


def test_metadata_changed_in_place_counts_at_once(tmp_path: Path) -> None:
    store, oracle = filled(tmp_path / "s")
    with store:
        row = store.get_vectors(["p10"])["p10"][None]
        changed = Passage("p10", "text 10", "t10", {"n": 5, "tag": "new"})
        assert store.add([changed], vectors=row).replaced == 1
        oracle.passages["p10"] = changed
        for where in [{"n": 5}, {"tag": "new"}, {"list": {"$contains": 0}}]:
            assert_equals_oracle(store, oracle, vectors(2, 9), 30, where)
        assert store.check().passages == len(oracle.passages)
        store.optimize()
        assert store.search(row, 5, {"tag": "new"})[0][0].passage == changed


def test_what_only_an_adapter_sees_leaves_the_columns_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreReader, "prove_passages", refuse)
    store, oracle = filled(tmp_path / "s")
    with store:
        old = oracle.passages["p10"]
        private = Passage(old.id, old.text, old.title, {**old.metadata, PRIVATE_KEY: ["x"]})
        assert store.add([private], vectors=store.get_vectors(["p10"])["p10"][None]).replaced == 1
        oracle.passages["p10"] = private
        assert_equals_oracle(store, oracle, vectors(2, 9), 30, {"n": {"$lt": 0.5}})


def test_a_backup_keeps_the_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, oracle = filled(tmp_path / "s")
    with store:
        store.backup(tmp_path / "copy")
    monkeypatch.setattr(StoreReader, "prove_passages", refuse)
    with PassageStore.open(tmp_path / "copy") as copy:
        assert_equals_oracle(copy, oracle, vectors(2, 9), 30, {"n": {"$lt": 0.5}})


def test_what_changes_during_a_fold_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, oracle = filled(tmp_path / "s")
    original = compaction.finish_base

    def while_another_writes(*args: object, **options: object) -> object:
        row = other.get_vectors(["p10"])["p10"][None]
        oracle.passages["p10"] = Passage("p10", "text 10", "t10", {"n": 5})
        assert other.add([oracle.passages["p10"]], vectors=row).replaced == 1
        assert other.delete(["p11"]) == oracle.delete(["p11"]) == 1
        return original(*args, **options)

    monkeypatch.setattr(compaction, "finish_base", while_another_writes)
    with store, PassageStore.open(tmp_path / "s") as other:
        store.optimize()
        for where in ({"n": 5}, {"n": {"$lt": 0.5}}):
            assert_equals_oracle(store, oracle, vectors(2, 9), 30, where)
        assert store.check().passages == len(oracle.passages)


def altered(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path / "passages.sqlite")
    with connection:
        connection.execute(sql)
    connection.close()


def test_damage_of_the_database_neither_changes_nor_hides_what_the_columns_say(tmp_path: Path) -> None:
    filled(tmp_path / "s")[0].close()
    altered(tmp_path / "s", """UPDATE passage SET metadata = '{"n":0.1}' WHERE id = 'p20'""")
    with PassageStore.open(tmp_path / "s") as store:
        assert "p20" not in {hit.passage.id for hit in store.search(vectors(1, 9), 300, {"n": 0.1})[0]}
        assert store.search(vectors(1, 9), 300, {"nowhere": 1}) == [[]]  # no passage is read for advice on it
        with pytest.raises(StoreCorrupted, match=r"'p20' .*is damaged"):
            store.search(vectors(1, 9), 300, {"title": "t7"})


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("""UPDATE passage SET metadata = '{"n":0.1}' WHERE id = 'p210'""", "'p210' .*is damaged"),
        ("DELETE FROM passage WHERE id = 'p210'", "holds 18 of 19 passages above row 200"),
    ],
)
def test_damage_behind_the_base_is_noticed(sql: str, message: str, tmp_path: Path) -> None:
    filled(tmp_path / "s")[0].close()
    altered(tmp_path / "s", sql)
    with PassageStore.open(tmp_path / "s") as store, pytest.raises(StoreCorrupted, match=message):
        store.search(vectors(1, 9), 3, {"n": 0.99})


@pytest.mark.parametrize("name", [fields.FIELDS, fields.CONTENTS])
def test_damaged_columns_are_set_aside(name: str, tmp_path: Path) -> None:
    store, oracle = filled(tmp_path / "s")
    store.close()
    (file,) = (tmp_path / "s").rglob(name)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    with PassageStore.open(tmp_path / "s") as store:
        assert_equals_oracle(store, oracle, vectors(2, 9), 30, {"n": {"$lt": 0.5}})
        assert store._engine.unusable == []
        with pytest.raises(StoreCorrupted, match=r"optimize\(\) builds a new index"):
            store.check()
        store.optimize()
        assert store.check().indexed == len(oracle.passages)


def test_check_holds_the_columns_against_the_passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lying(collecting.ColumnsBuilder):
        def add(self, passage: Passage) -> None:
            super().add(Passage(passage.id, passage.text, "other") if passage.id == "p9" else passage)

    monkeypatch.setattr(compaction, "ColumnsBuilder", Lying)
    store = filled(tmp_path / "s")[0]
    with store, pytest.raises(StoreCorrupted, match="holds other metadata than the store"):
        store.check()


@pytest.mark.parametrize(("limit", "value"), [("MOST_BYTES", 25_000), ("MOST_FIELDS", 3)])
def test_fields_beyond_the_limits_are_read_from_the_passages(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, limit, value)
    store, oracle = filled(tmp_path / "s")
    with store:
        known = [name for name in ("id", "title", "n", "list", "tag") if _known(store, name)]
        assert known == ["id", "title", "n"] if limit == "MOST_FIELDS" else known == ["title", "list", "tag"]
        for where in WHERE:
            assert_equals_oracle(store, oracle, vectors(2, 9), 30, where)
        assert store.check().passages == len(oracle.passages)


def _known(store: PassageStore, name: str) -> bool:
    (folder,) = {file.parent for file in store.path.rglob(fields.FIELDS)}
    files = {one: file_checksum(folder / one) for one in (fields.FIELDS, fields.CONTENTS)}
    return name in fields.Fields(folder, files).at(5)


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    values = [
        1,
        1.0,
        True,
        -0.0,
        0.0,
        2**63 - 1,
        2**53 + 1,
        1e308,
        "",
        "1",
        "\0",
        "ü",
        None,
        False,
        [],
        [1, {"a": 1.5}],
        {},
    ]
    passages = [Passage(str(at), "t", metadata={"v": value}) for at, value in enumerate(values)]
    collected = collecting.ColumnsBuilder()
    for one in (*passages, Passage("none", "t")):
        collected.add(one)
    found = fields.Fields(tmp_path, {name: file_checksum(tmp_path / name) for name in collected.write(tmp_path)})
    assert [repr(found.at(at)["v"]) for at in range(len(values))] == [repr(value) for value in values]
    assert found.at(len(values)) == {"id": "none"}

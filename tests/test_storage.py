"""The database under a store: what SQLite's troubles become, waiting, forks, closing, folding side by side."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import HashEncoder, clustered, make_passages

from dpr_rag import PassageStore
from dpr_rag.errors import StoreClosedError, StoreCorrupted, StoreError, StoreLocked, StoreNotFoundError
from dpr_rag.index.matrix import SegmentDamagedError
from dpr_rag.index.segments import Base, Manifest
from dpr_rag.storage.database import Database
from dpr_rag.store import folding


def run(store: PassageStore, *statements: str) -> None:
    """Change the file behind the store's back."""
    connection = sqlite3.connect(store.path / "passages.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_full_disk_stores_nothing_of_the_batch(store: PassageStore) -> None:
    store.add(make_passages(10))
    writer = store._engine.database._writer
    assert writer is not None
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full; check the disk and the permissions, nothing of this batch"):
        store.add(make_passages(5000, 100), batch_size=5000)
    assert store.check().passages == 10
    writer.execute("PRAGMA max_page_count = 1000000")
    store.add(make_passages(5, 100))
    assert store.check().passages == 15


def test_text_that_is_no_utf8_is_damage(store: PassageStore) -> None:
    store.add(make_passages(3))
    run(store, "UPDATE passage SET text = CAST(x'fffe' AS TEXT) WHERE id = '1'")
    with pytest.raises(StoreCorrupted, match="damaged"):
        store.get(["1"])


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE state SET value = '{}'", "record is damaged"),
        ("DELETE FROM state", "record is missing"),
        ("DROP TABLE passage", "no such table"),
        ("UPDATE passage SET metadata = '[1]' WHERE id = '1'", "passage '1'"),
        ("UPDATE passage SET row = 999 WHERE id = '1'", "damaged"),
        ("DELETE FROM removed", "removed passages is damaged"),
        ("UPDATE vector_a SET vector = x'00' WHERE row = 2", "vector of row 2 is damaged"),
    ],
)
def test_damaged_tables_are_noticed(store: PassageStore, statement: str, message: str) -> None:
    store.add(make_passages(5))
    store.delete(["4"])
    store.close()
    run(store, statement)

    def use() -> None:
        with PassageStore.open(store.path, encoder=HashEncoder()) as damaged:
            list(damaged)
            damaged.search(np.ones((1, 16)), 5)

    with pytest.raises(StoreCorrupted, match=message):
        use()


def test_check_names_all_that_is_wrong(store: PassageStore) -> None:
    store.add(make_passages(20))
    store.optimize()
    run(store, "DELETE FROM vector_a WHERE row = 20", "DELETE FROM passage WHERE row = 20")
    with pytest.raises(StoreCorrupted, match=r"19 passages where 20.*vectors do not belong.*holds other passages"):
        store.check()


def test_check_notices_a_base_of_other_vectors(store: PassageStore, tmp_path: Path) -> None:
    store.add(make_passages(20))
    store.optimize()
    with PassageStore.open(tmp_path / "other") as other:
        other.add(make_passages(20), vectors=clustered(20, 16))
        other.optimize()
        base = other._engine.state().base
        assert base is not None
        os.rename(other.path / "index" / base["directory"], store.path / "index" / base["directory"])
    with store._engine.writing() as writer:
        writer.set_base(base, built_from=0, index="flat")
        writer.commit_state()
    with pytest.raises(StoreCorrupted, match="base segment holds other passages"):
        store.check()
    store.optimize()
    assert store.check().indexed == 20


def test_a_foreign_mark_on_a_store_is_damage(store: PassageStore) -> None:
    store.close()
    run(store, "PRAGMA application_id = 7")
    with pytest.raises(StoreCorrupted, match="lost the mark"):
        PassageStore.open(store.path)


@pytest.mark.parametrize("statement", ["SELECT 1", "PRAGMA journal_mode = WAL"])
def test_a_store_whose_creation_was_cut_short_is_none_yet(tmp_path: Path, statement: str) -> None:
    connection = sqlite3.connect(tmp_path / "passages.sqlite")
    connection.execute(statement)
    connection.close()
    with pytest.raises(StoreNotFoundError, match="create=True"):
        PassageStore.open(tmp_path, read_only=True)
    with pytest.raises(StoreNotFoundError):
        PassageStore.open(tmp_path, create=False)
    with PassageStore.open(tmp_path, encoder=HashEncoder()) as store:
        store.add(make_passages(2))
        assert store.check().passages == 2


def test_a_store_without_its_shared_memory_file_is_read_as_it_lies(store: PassageStore) -> None:
    store.add(make_passages(5))
    store.close()
    # where the folder cannot be written, SQLite cannot make this file; a folder in its place has the same effect
    (store.path / "passages.sqlite-shm").mkdir()
    with PassageStore.open(store.path, read_only=True) as reader:
        assert len(reader.search(np.ones((1, 16)), 9)[0]) == 5


def test_a_thread_that_waits_too_long_is_told(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), timeout=0.1) as store:
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with store._engine.database.writing():
                held.set()
                release.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(10)
        with pytest.raises(StoreLocked, match=r"another thread of this process .* for 0\.1 s"):
            store.delete(["1"])
        release.set()
        thread.join()


def test_a_holder_that_left_no_name_is_another_process(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), timeout=0.05) as store:
        other = sqlite3.connect(tmp_path / "store" / "passages.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (tmp_path / "store" / "writer.json").write_text("no json")
        with pytest.raises(StoreLocked, match="written by another process"):
            store.delete(["1"])
        other.close()


def test_closing_while_a_search_runs_lets_it_finish(store: PassageStore) -> None:
    store.add(make_passages(5))
    with store._engine.reading() as reader:
        store.close()
        assert reader.state().passages == 5
    with pytest.raises(StoreClosedError):
        len(store)


def test_a_failed_transaction_leaves_nothing(store: PassageStore) -> None:
    store.add(make_passages(3))

    def fail() -> None:
        with store._engine.writing() as writer:
            writer.remove([1, 2])
            raise OSError("in the middle")

    with pytest.raises(OSError, match="in the middle"):
        fail()
    assert store.check().passages == 3


def test_a_row_that_lost_its_vector_cannot_be_deleted_in_silence(store: PassageStore) -> None:
    store.add(make_passages(3))
    run(store, "DELETE FROM vector_a WHERE row = 2")
    with pytest.raises(StoreCorrupted, match="1 passages have lost their vectors"):
        store.delete(["1"])
    with pytest.raises(StoreCorrupted, match="2 vectors for 3 passages"):
        store.optimize()


def test_of_two_folds_side_by_side_one_wins(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(30))
    original = folding._build

    def while_another_folds(*arguments: object) -> Manifest | None:
        built = original(*arguments)
        monkeypatch.setattr(folding, "_build", original)
        with PassageStore.open(store.path, encoder=HashEncoder()) as other:
            other.optimize("hnsw")
        return built

    monkeypatch.setattr(folding, "_build", while_another_folds)
    store.optimize("flat")
    assert (store.info().kind, store.info().base) == ("hnsw", 30)
    assert len(list((store.path / "index").iterdir())) == 1
    assert store.check().indexed == 30


def test_changes_made_while_a_base_is_built_are_kept(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(30))
    store.optimize()
    original = folding._build

    def while_another_writes(*arguments: object) -> Manifest | None:
        built = original(*arguments)
        store.delete(["3", "4"])
        store.add(make_passages(2, 100))
        return built

    monkeypatch.setattr(folding, "_build", while_another_writes)
    store.optimize("hnsw")
    assert (store.info().base, store.info().tail, store.info().deleted) == (30, 2, 2)
    ids = [hit.passage.id for hit in store.search(np.ones((1, 16)), 50)[0]]
    assert sorted(ids) == sorted(str(at) for at in [*range(3), *range(5, 30), 100, 101])
    assert store.check().indexed == 28


def test_remains_of_dead_builds_are_removed_and_living_ones_left(store: PassageStore) -> None:
    store.add(make_passages(3))
    living = f"building-{os.getpid()}-ab"
    for name in ("building-999999999-ab", "building-x", "base-7-old", living):
        (store.path / "index" / name).mkdir(parents=True)
    store.optimize()
    base = store._engine.state().base
    assert base is not None
    assert sorted(path.name for path in (store.path / "index").iterdir()) == sorted([base["directory"], living])


def test_a_backup_without_its_segment_is_whole(store: PassageStore, tmp_path: Path) -> None:
    store.add(make_passages(20))
    store.optimize("hnsw")
    base = store._engine.state().base
    assert base is not None
    for file in (store.path / "index" / base["directory"]).iterdir():
        file.unlink()
    (store.path / "index" / base["directory"]).rmdir()
    store.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy", encoder=HashEncoder()) as copy:
        assert len(copy.search(np.ones((1, 16)), 50)[0]) == 20


def test_a_base_with_too_few_rows_is_damaged(store: PassageStore) -> None:
    store.add(make_passages(20))
    store.optimize()
    base = store._engine.state().base
    assert base is not None
    manifest = Manifest.from_json({**base, "count": 21, "files": {}})
    with pytest.raises(SegmentDamagedError):
        Base(store.path / "index" / base["directory"], manifest)


def test_many_small_additions_between_searches(store: PassageStore, encoder: HashEncoder) -> None:
    for at in range(80):
        store.add(make_passages(1, at))
        question = encoder.encode_questions([f"text number {at} title {at % 7}"])
        assert len(store.search(question, 100)[0]) == at + 1
    assert store.check().passages == 80


def test_a_database_is_forgotten_in_a_forked_child(store: PassageStore) -> None:
    store.add(make_passages(3))
    database: Database = store._engine.database
    database._pid = -1
    store._engine._pid = -1
    try:
        assert len(store.search(np.ones((1, 16)), 5)[0]) == 3
        assert database._pid == os.getpid()
        store._engine._pid = database._pid = -1
        store.add(make_passages(1, 5))
    finally:
        faiss.omp_set_num_threads(os.cpu_count() or 1)
    assert store.check().passages == 4

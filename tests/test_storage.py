"""The database under a store: what SQLite's troubles become, waiting, forks, closing, compaction side by side."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, clustered, make_passages

from dpr_rag import Passage, PassageStore, Retriever, forking
from dpr_rag.derived import SegmentDamagedError
from dpr_rag.errors import (
    IndexKindError,
    StoreClosedError,
    StoreCorrupted,
    StoreError,
    StoreLocked,
    StoreNotFoundError,
    VectorError,
)
from dpr_rag.index.segments import Base, Manifest
from dpr_rag.storage import database, schema
from dpr_rag.storage.claims import Claim
from dpr_rag.storage.database import Database
from dpr_rag.store import background_compaction, compaction, reencoding


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
    with pytest.raises(
        StoreError, match="full; free some space on the disk and check it; what was stored before is untouched"
    ):
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
        ("DROP TABLE passage", "has lost its (index|table) 'passage"),
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


def test_the_format_told_is_the_files_own(store: PassageStore) -> None:
    store.add(make_passages(3))
    assert store.info().format == schema.FORMAT
    store.close()
    run(store, "PRAGMA user_version = 1")
    with PassageStore.open(store.path, read_only=True) as reader:
        assert reader.info().format == 1
    with PassageStore.open(store.path) as migrated:
        assert migrated.info().format == schema.FORMAT


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
    original = compaction.finish_base

    def while_another_compacts(*arguments: object, **options: object) -> Manifest:
        built = original(*arguments, **options)
        monkeypatch.setattr(compaction, "finish_base", original)
        with PassageStore.open(store.path, encoder=HashEncoder()) as other:
            other.optimize("hnsw")
        return built

    monkeypatch.setattr(compaction, "finish_base", while_another_compacts)
    store.optimize("flat")
    assert (store.info().kind, store.info().base) == ("hnsw", 30)
    assert len(list((store.path / "index").iterdir())) == 1
    assert store.check().indexed == 30


def test_changes_made_while_a_base_is_built_are_kept(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(30))
    store.optimize()
    original = compaction.finish_base

    def while_another_writes(*arguments: object, **options: object) -> Manifest:
        built = original(*arguments, **options)
        store.delete(["3", "4"])
        store.add(make_passages(2, 100))
        return built

    monkeypatch.setattr(compaction, "finish_base", while_another_writes)
    store.optimize("hnsw")
    assert (store.info().base, store.info().tail, store.info().deleted) == (30, 2, 2)
    ids = [hit.passage.id for hit in store.search(np.ones((1, 16)), 50)[0]]
    assert sorted(ids) == sorted(str(at) for at in [*range(3), *range(5, 30), 100, 101])
    assert store.check().indexed == 28


def test_remains_of_dead_builds_are_removed_and_living_ones_left(store: PassageStore) -> None:
    store.add(make_passages(3))
    # numbers of processes say nothing: in another container they are others'
    dead = [f"building-{os.getpid()}-0123abcd", "building-1-0123abcd", "base-7-0123abcd", "words-7-0123abcd"]
    not_ours = ["base-7-old", "base-camp", "building-x", "my notes", "words"]
    for name in (*dead, *not_ours):
        (store.path / "index" / name).mkdir(parents=True)
    living = Claim(store.path / "index", "building-")
    store.optimize()
    base = store._engine.state().base
    assert base is not None
    left = sorted(path.name for path in (store.path / "index").iterdir())
    assert left == sorted([base["directory"], living.path.name, *not_ours])
    living.release()
    assert not living.path.exists()


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


def test_a_fork_closes_connections_and_lets_the_parent_open_new_ones(store: PassageStore) -> None:
    store.add(make_passages(3))
    database: Database = store._engine.database
    forking.before_fork()
    assert (database._idle, database._writer) == ([], None)
    forking.after_fork()
    assert len(store.search(np.ones((1, 16)), 5)[0]) == 3
    assert store.check().passages == 3


def test_a_transaction_that_crosses_a_fork_makes_the_child_refuse(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(make_passages(3))
    monkeypatch.setattr(forking, "_PATIENCE", 0.01)
    with store._engine.reading():
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                len(store)
            except StoreClosedError as error:
                code = 0 if "forked while" in str(error) and "spawn" in str(error) else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(store) == 3


def test_what_a_forked_child_adds_survives_its_parents_close(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = PassageStore.open(path, encoder=HashEncoder())
    store.add(make_passages(5))
    closed, close = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.add(make_passages(1, 100))
            os.read(closed, 1)
            store.add(make_passages(10, 200))
            code = 0 if len(store) == 16 else 2
        finally:
            os._exit(code)
    store.close()
    os.write(close, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with PassageStore.open(path) as reopened:
        assert reopened.check().passages == 16


def test_children_forked_from_a_busy_parent_read_and_write(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add(make_passages(50))
        stop = threading.Event()

        def search() -> None:
            while not stop.is_set():
                store.search(np.ones((1, 16)), 3, {"half": 1})

        def write() -> None:
            while not stop.is_set():
                store.add(make_passages(3, 1000))
                store.delete(["1000", "1001", "1002"])

        threads = [threading.Thread(target=work) for work in (search, search, write)]
        for thread in threads:
            thread.start()
        codes = []
        for child in range(8):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    store.search(np.ones((1, 16)), 3)
                    store.add(make_passages(1, 2000 + child))
                    code = 0
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 8
        assert len(store.get([str(2000 + child) for child in range(8)])) == 8
        store.check()


def test_a_forked_child_does_not_remove_its_parents_temporary_store() -> None:
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add(make_passages(2))
        pid = os.fork()
        if pid == 0:
            try:
                store.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert store.path.is_dir()
        assert len(store) == 2
    assert not store.path.exists()


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


def test_an_interrupt_while_a_transaction_begins_leaves_none_open(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(make_passages(2))

    def interrupted(folder: Path) -> None:
        raise Interrupted

    monkeypatch.setattr(database, "note_holder", interrupted)
    with pytest.raises(Interrupted):
        store.add(make_passages(1, 10))
    monkeypatch.undo()
    store.add(make_passages(1, 10))
    assert store.check().passages == 3


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with PassageStore.open("store", encoder=HashEncoder()) as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.add(make_passages(3))
        with store._engine.reading(), store._engine.reading() as second:
            assert second.state().passages == 3
    assert (tmp_path / "store" / "passages.sqlite").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_upserts_are_folded_too(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 100)
    for version in range(30):
        store.add([Passage(str(at), f"text {at} version {version}") for at in range(20)])
        assert store.wait_for_compaction()
    info = store.info()
    assert info.passages == 20
    with store._engine.reading() as reader:
        assert len(reader.removed(0)) <= 120
    assert store.check().passages == 20


def test_replacing_what_comes_while_iterating_ends(store: PassageStore) -> None:
    store.add(make_passages(1200))
    report = store.add((Passage(p.id, f"new {p.text}", p.title, p.metadata) for p in store), batch_size=100)
    assert report.replaced == 1200
    assert {passage.text.split()[0] for passage in store} == {"new"}


def test_backups_end_beside_a_busy_writer_and_leave_other_folders_alone(store: PassageStore, tmp_path: Path) -> None:
    store.add(make_passages(3000))
    (tmp_path / "copy.partial").mkdir()
    (tmp_path / "copy.partial" / "mine").touch()
    stop = threading.Event()

    def write() -> None:
        number = 10_000
        while not stop.is_set():
            number += 1
            store.add(make_passages(1, number))

    thread = threading.Thread(target=write)
    thread.start()
    store.backup(tmp_path / "copy")
    stop.set()
    thread.join()
    assert (tmp_path / "copy.partial" / "mine").exists()
    with PassageStore.open(tmp_path / "copy", encoder=HashEncoder()) as copy:
        assert 3000 <= copy.check().passages <= len(store)


def test_a_backup_whose_segment_was_replaced_meanwhile_passes_its_check(
    store: PassageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(make_passages(30))
    store.optimize()
    original = Database.backup

    def then_fold(self: Database, target: Path) -> None:
        original(self, target)
        store.optimize("hnsw")

    monkeypatch.setattr(Database, "backup", then_fold)
    store.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy", encoder=HashEncoder()) as copy:
        assert copy.check().indexed == 0
        assert len(copy.search(np.ones((1, 16)), 50)[0]) == 30


def with_words(store: PassageStore, count: int = 2_500) -> list[str]:
    """Fill a store, have its postings written to disk, and return what a question finds."""
    store.add(make_passages(count))
    found = words_of(store)
    assert store._engine.state().lexical["count"] == count
    return found


def words_of(store: PassageStore) -> list[str]:
    return [f"{hit.passage.id} {hit.score:.9f}" for hit in Retriever(store, k=5, mode="bm25").retrieve("number 1234")]


def test_a_backup_takes_the_postings_along(store: PassageStore, tmp_path: Path) -> None:
    found = with_words(store)
    store.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy", read_only=True) as copy:
        assert copy._engine.state().lexical == store._engine.state().lexical
        assert copy.check().passages == 2_500
        assert words_of(copy) == found
    assert found[0].startswith("1234 ")


def test_a_backup_whose_postings_were_lost_meanwhile_has_none(
    store: PassageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = with_words(store)
    store.optimize()
    original = shutil.copytree

    def too_late(source: Path, target: Path) -> None:
        if source.name.startswith("words-"):
            (source / "rows").unlink()  # as when another process removes the folder, file by file
        original(source, target)

    monkeypatch.setattr(shutil, "copytree", too_late)
    store.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy", read_only=True) as copy:
        assert copy._engine.state().lexical is None
        assert copy.check().indexed == 2_500
        assert words_of(copy) == found
        assert list((copy.path / "index").glob("words-*")) == []


def test_an_index_that_cannot_be_trained_does_not_fail_the_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 20)
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), index="IVF4096,Flat") as store:
        assert store.add(make_passages(30)).added == 30
        assert store.wait_for_compaction()
        assert (store.info().kind, store.info().index, store.info().tail) == ("flat", "IVF4096,Flat", 0)
        assert "30 passages are too few to train IVF4096,Flat: exact until there are more" in store.info().reason
        assert "30 vectors of 16 dimensions" in caplog.text
        assert len(store.search(np.ones((1, 16)), 50)[0]) == 30


def test_vectors_that_an_index_or_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store") as store:
        store.add(make_passages(3), vectors=[[70_000.0, 1], [80_000.0, 1], [90_000.0, 1]])
        with pytest.raises(IndexKindError, match="in float16; choose another"):
            store.optimize("fp16")
        assert [hit.passage.id for hit in store.search([[1.0, 0]], 3)[0]] == ["2", "1", "0"]
        with pytest.raises(VectorError, match="overflow float32"):
            store.add(make_passages(1), vectors=[[1e20, 1]])
        with pytest.raises(VectorError, match="overflow float32"):
            store.search([[1e20, 1]], 1)


def test_two_reencodings_at_once_do_not_mix(store: PassageStore) -> None:
    store.add(make_passages(30))
    first, second = HashEncoder(salt="first"), HashEncoder(salt="second")
    with PassageStore.open(store.path) as other:

        def take_over(done: int, total: int) -> None:
            if done == 10:
                other.reencode(second)

        with pytest.raises(StoreError, match="'hash-16-second' meanwhile"):
            store.reencode(first, batch_size=10, progress=take_over)
    with PassageStore.open(store.path, encoder=second) as after:
        assert after.check().passages == 30
        question = second.encode_questions(["number 7"])
        scores = {hit.passage.id: hit.score for hit in after.search(question, 30)[0]}
        expected = {p.id: float(second.encode_passages([p])[0] @ question[0]) for p in after}
        assert scores == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_same_reencoding_twice_at_once_is_one(store: PassageStore) -> None:
    store.add(make_passages(30))
    new = HashEncoder(salt="new")
    with PassageStore.open(store.path) as other:

        def join_in(done: int, total: int) -> None:
            if done == 10:
                other.reencode(HashEncoder(salt="new"), batch_size=7)

        store.reencode(new, batch_size=10, progress=join_in)
    assert store.info().fingerprint == new.fingerprint
    assert store.check().passages == 30


def test_a_deletion_just_before_a_batch_is_read_ends_a_reencoding(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(make_passages(12))
    looked = reencoding._finished

    calls: list[int] = []

    def finished(*args: Any) -> bool:
        done = looked(*args)
        calls.append(1)
        if len(calls) == 2:  # ten are encoded, and the last two seen
            assert store.delete(["10", "11"]) == 2
        return done

    monkeypatch.setattr(reencoding, "_finished", finished)
    new = HashEncoder(salt="new")
    assert store.reencode(new, batch_size=10) == 10
    assert store.info().fingerprint == new.fingerprint
    assert store.check().passages == 10


@pytest.mark.parametrize("ids", [[5], [None], [["a"]]])
def test_ids_that_are_no_strings_are_refused(store: PassageStore, ids: list[object]) -> None:
    store.add(make_passages(6))
    for use in (store.get, store.delete):
        with pytest.raises(StoreError, match="expected a string"):
            use(ids)
    assert store.get(["\ud800"]) == []
    assert len(store) == 6


def test_damage_that_a_filter_would_hide_is_noticed(store: PassageStore) -> None:
    store.add(make_passages(20))
    store.close()
    run(store, "UPDATE passage SET metadata = replace(metadata, '\"half\":1', '\"half\":0') WHERE id = '7'")
    for use in (
        lambda damaged: damaged.search(np.ones((1, 16)), 3, {"half": 1}),
        lambda damaged: damaged.count({"half": 1}),
        lambda damaged: damaged.delete(filter={"half": 0}),
    ):
        with (
            PassageStore.open(store.path, encoder=HashEncoder()) as damaged,
            pytest.raises(StoreCorrupted, match="'7'"),
        ):
            use(damaged)


def create_and_add(path: str, number: int) -> None:
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(1, number))


def test_processes_may_create_one_store_at_the_same_time(tmp_path: Path) -> None:
    for trial in range(10):
        path = str(tmp_path / str(trial))
        pids = []
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    create_and_add(path, number)
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
        with PassageStore.open(path) as store:
            assert store.check().passages == 4


def test_readers_open_and_search_while_another_folds(store: PassageStore) -> None:
    store.add(make_passages(20))
    store.optimize()
    heard, tell = os.pipe()
    os.set_blocking(heard, False)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(tell)
            rounds, enough = 0, False
            while rounds < 150 or not enough:
                rounds += 1
                with contextlib.suppress(BlockingIOError):
                    enough = enough or os.read(heard, 1) in (b".", b"")  # nobody is there any more
                with PassageStore.open(store.path, read_only=True) as reader:
                    reader.info()
                    assert len(reader.search(np.ones((1, 16)), 30)[0]) == 20
            code = 0
        finally:
            os._exit(code)
    compactions = 0
    ended, status = os.waitpid(pid, os.WNOHANG)
    while not ended:
        store.optimize("flat" if compactions % 2 else "hnsw")
        compactions += 1
        if compactions == 11:
            os.write(tell, b".")
        ended, status = os.waitpid(pid, os.WNOHANG)
    os.close(heard)
    os.close(tell)
    assert os.waitstatus_to_exitcode(status) == 0
    assert compactions > 10

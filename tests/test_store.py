"""What a store promises, and every error that it has of its own."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, clustered, golden_passages, make_passages

from dpr_rag import PRIVATE_KEY, Passage, PassageStore, Retriever
from dpr_rag.errors import (
    EncoderMismatchError,
    FilterError,
    IndexKindError,
    NotAStoreError,
    PassageError,
    StoreClosedError,
    StoreCorrupted,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StoreReadOnlyError,
    VectorError,
)
from dpr_rag.storage import schema
from dpr_rag.store import AddReport, background_compaction, segment_folders

GOLDEN = Path(__file__).parent / "golden"
ODD = [
    "plain",
    "NUL \x00 inside",
    "ü\u0301 \U0001f600",
    "line\nbreak\ttab",
    "\x00a",
    " a ",
    "'; DROP TABLE passage; --",
]


def test_any_text_comes_back_byte_for_byte(store: PassageStore) -> None:
    passages = [Passage(f"id {text}", text, text, {text: [text, {"deep": [None, True, 1, 1.5, text]}]}) for text in ODD]
    store.add(passages)
    assert list(store) == passages
    assert store.get([passage.id for passage in passages]) == passages
    assert store.check().passages == len(ODD)


def test_adding_again_encodes_only_what_changed(store: PassageStore, encoder: HashEncoder) -> None:
    assert store.add(make_passages(30), batch_size=7) == AddReport(added=30)
    assert encoder.passages_encoded == 30
    assert store.add(make_passages(30)) == AddReport(unchanged=30)
    assert encoder.passages_encoded == 30
    changed = [Passage("3", "another text", "title 3"), Passage("4", "text number 4", "title 4", {"only": "metadata"})]
    assert store.add(changed) == AddReport(replaced=2)
    assert encoder.passages_encoded == 31
    assert store.get(["3", "4"]) == changed
    assert [passage.id for passage in store][-1] == "3"
    assert store.check().passages == 30


def test_metadata_of_another_type_is_a_change(store: PassageStore) -> None:
    store.add([Passage("a", "t", metadata={"x": 1})])
    assert store.add([Passage("a", "t", metadata={"x": True})]) == AddReport(replaced=1)
    assert store.count({"x": True}) == 1
    assert store.count({"x": 1}) == 0


def test_an_interrupted_add_keeps_what_was_committed_and_goes_on(store: PassageStore, encoder: HashEncoder) -> None:
    def broken() -> Iterator[Passage]:
        yield from make_passages(25)
        raise OSError("the disk of the corpus is gone")

    totals: list[int] = []
    with pytest.raises(OSError, match="corpus"):
        store.add(broken(), batch_size=10, progress=lambda report: totals.append(report.total))
    assert totals == [10, 20]
    assert len(store) == 20
    assert store.add(make_passages(40), batch_size=10) == AddReport(added=20, unchanged=20)
    assert encoder.passages_encoded == 40


def test_given_vectors_always_replace(store: PassageStore) -> None:
    store.add(make_passages(3), vectors=np.eye(3, 16))
    assert store.add(make_passages(3), vectors=np.eye(3, 16)) == AddReport(unchanged=3)
    assert store.add(make_passages(3), vectors=2 * np.eye(3, 16)) == AddReport(replaced=3)
    assert [hit.score for hit in store.search(np.eye(1, 16), 3)[0]] == [2.0, 0.0, 0.0]
    assert store.add(iter(make_passages(2, 10)), vectors=iter([[1.0] * 16, [2.0] * 16])) == AddReport(added=2)


def test_delete_by_ids_or_filter(store: PassageStore) -> None:
    store.add(make_passages(20))
    assert store.delete(["1", "1", "2", "unknown"]) == 2
    assert store.delete(filter={"half": 0}) == 9
    assert store.delete([]) == 0
    assert [passage.id for passage in store] == [str(at) for at in range(3, 20, 2)]
    with pytest.raises(StoreError, match="neither ids nor a filter"):
        store.delete()
    with pytest.raises(StoreError, match=r"wrap it as \['11'\]"):
        store.delete("11")
    assert len(store) == 9


@pytest.mark.parametrize("compacted", [False, True])
def test_of_ids_and_a_filter_both_have_to_fit(store: PassageStore, compacted: bool) -> None:
    store.add(make_passages(20))
    if compacted:
        store.optimize()
    asked: list[str] = []

    def is_two(passage: Passage) -> bool:
        asked.append(passage.id)
        return passage.id == "2"

    assert store.delete(["1", "2", "3", "nowhere"], filter={"half": 1}) == 2
    assert store.delete(["2", "4"], filter=is_two) == 1
    assert sorted(asked) == ["2", "4"]  # not the whole store
    assert store.delete([], filter={"half": 1}) == store.delete(["5"], filter={"half": 0}) == 0
    assert [passage.id for passage in store] == ["0", *map(str, range(4, 20))]
    with pytest.raises(FilterError, match="answered str"):
        store.delete(["4"], filter=lambda passage: "no")  # type: ignore[arg-type, return-value]
    assert "4" in store


def test_get_count_and_contains(store: PassageStore) -> None:
    passages = make_passages(1200)
    store.add(passages)
    assert store.get(["7", "none", "3", "7"]) == [passages[7], passages[3], passages[7]]
    assert store.get([passage.id for passage in passages]) == passages
    assert (store.count(), store.count({"rare": 3}), store.count({"title": "title 1"})) == (1200, 24, 172)
    assert "7" in store
    assert "none" not in store
    assert 7 not in store
    with pytest.raises(FilterError):
        store.count({"$nonsense": 1})


def test_the_tail_is_folded_when_it_has_outgrown_the_base(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 50)
    monkeypatch.setattr("dpr_rag.index.kinds.AUTO_FLAT_LIMIT", 200)
    store.add(make_passages(50))
    assert (store.info().base, store.info().tail) == (0, 50)
    store.add(make_passages(1, 50))
    assert store.wait_for_compaction()
    assert (store.info().base, store.info().tail, store.info().kind) == (51, 0, "flat")
    with caplog.at_level(logging.INFO, "dpr_rag"):
        store.add(make_passages(200, 51))
        assert store.wait_for_compaction()
    assert (store.info().base, store.info().kind) == (251, "hnsw-sq8")
    assert "the index is now hnsw-sq8 instead of flat" in caplog.text
    store.delete(["0"])
    store.add(make_passages(50, 251))
    assert (store.info().base, store.info().tail, store.info().deleted) == (251, 50, 1)
    store.add(make_passages(1, 301))
    assert store.wait_for_compaction()
    assert (store.info().base, store.info().tail, store.info().deleted) == (302, 0, 1)
    assert store.check().indexed == 301


def test_info_says_what_is_stored(store: PassageStore) -> None:
    empty = store.info()
    assert (empty.passages, empty.dim, empty.index, empty.kind) == (0, None, "auto", "flat")
    assert empty.reason == "there are no passages yet"
    store.add(make_passages(10))
    assert "no base segment" in store.info().reason
    store.optimize("hnsw:links=16")
    info = store.info()
    assert (info.passages, info.dim, info.fingerprint, info.source) == (10, 16, "hash-16-", "tests")
    assert (info.index, info.kind, info.parameters["links"]) == ("hnsw:links=16", "hnsw", 16)
    assert info.bytes_on_disk == sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())


def test_a_store_is_found_again_with_all_it_was_created_with(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store"
    with PassageStore.open(path, encoder=HashEncoder(), index="hnsw", dtype="float16") as store:
        store.add(make_passages(20))
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert (store.info().index, store.info().dtype, store.dim) == ("hnsw", "float16", 16)
    with PassageStore.open(path, encoder=HashEncoder(), index="ivf") as store:
        assert store.info().index == "hnsw"
    assert "keeps its index 'hnsw'; optimize(index='ivf') changes it" in caplog.text


def test_a_temporary_store_lasts_while_its_passages_are_read(encoder: HashEncoder) -> None:
    expected = make_passages(3)

    def made() -> PassageStore:
        store = PassageStore.temporary(encoder=encoder)
        store.add(expected)
        return store

    passages = iter(made())
    gc.collect()
    assert list(passages) == expected
    assert [passage.id for passage in made().restricted({"id": expected[1].id})] == [expected[1].id]
    assert [passage.id for batch, _ in made().batches(1) for passage in batch] == [one.id for one in expected]


def test_temporary_stores_are_gone_on_close(encoder: HashEncoder) -> None:
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(make_passages(3))
        path = store.path
        assert (path / "passages.sqlite").is_file()
    assert not path.parent.exists()


def test_backup_while_in_use(store: PassageStore, encoder: HashEncoder, tmp_path: Path) -> None:
    store.add(make_passages(50))
    store.optimize("hnsw")
    store.add(make_passages(5, 100))
    store.backup(tmp_path / "copies" / "one")
    store.add(make_passages(5, 200))
    with PassageStore.open(tmp_path / "copies" / "one", encoder=encoder) as copy:
        assert list(copy) == [*make_passages(50), *make_passages(5, 100)]
        assert copy.check().indexed == 50
    with pytest.raises(StoreError, match="exists already"):
        store.backup(tmp_path / "copies" / "one")
    with pytest.raises(StoreError, match="inside the store itself"):
        store.backup(store.path / "copy")
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["one"]


def test_reencode_switches_in_one_commit_and_goes_on_after_an_interruption(store: PassageStore, tmp_path: Path) -> None:
    store.add(make_passages(30))
    store.optimize("hnsw")
    new = HashEncoder(dim=8, salt="new")
    old_question = HashEncoder().encode_questions(["text number 7"])
    before = store.search(old_question, 3)

    def interrupt(done: int, total: int) -> None:
        assert total == 30
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.reencode(new, batch_size=10, progress=interrupt)
    assert store.search(old_question, 3) == before
    store.delete(["0", "25"])
    store.add(make_passages(2, 50))
    assert store.reencode(new, batch_size=10) == 11
    assert store.encoder is new
    assert (store.info().fingerprint, store.info().dim) == (new.fingerprint, 8)
    assert store.check().passages == 30
    best = store.search(new.encode_questions(["text number 51 title 2"]), 30)[0]
    expected = {
        p.id: float(new.encode_passages([p])[0] @ new.encode_questions(["text number 51 title 2"])[0]) for p in store
    }
    assert {hit.passage.id: hit.score for hit in best} == pytest.approx(expected, rel=1e-4, abs=1e-4)
    with pytest.raises(EncoderMismatchError, match="'hash-8-new'"):
        PassageStore.open(store.path, encoder=HashEncoder())


def test_a_process_with_the_old_encoder_is_refused_after_the_switch(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(5))
    with PassageStore.open(store.path, encoder=encoder) as other:
        store.reencode(HashEncoder(salt="new"))
        with pytest.raises(EncoderMismatchError, match="hash-16-new"):
            other.add(make_passages(1, 10))
        with pytest.raises(EncoderMismatchError, match="reencode"):
            other.search(np.ones((1, 16)), 1)
    assert store.check().passages == 5


def test_another_process_sees_every_commit(store: PassageStore, encoder: HashEncoder) -> None:
    with PassageStore.open(store.path, encoder=encoder, read_only=True) as reader:
        question = encoder.encode_questions(["text number 3 title 3"])
        assert reader.search(question, 1) == [[]]
        for step in (
            lambda: store.add(make_passages(40)),
            lambda: store.optimize("hnsw"),
            lambda: store.delete(["3"]),
            lambda: store.add(make_passages(10, 100)),
            lambda: store.optimize("flat"),
            lambda: store.add([Passage("5", "text number 3", "title 3")]),
        ):
            step()
            assert reader.search(question, 5) == store.search(question, 5)
            assert list(reader) == list(store)


def test_the_encoder_must_be_the_stores_own(store: PassageStore) -> None:
    store.add(make_passages(2))
    with pytest.raises(EncoderMismatchError, match=r"'hash-16-'.*tests, 16 dimensions.*'hash-16-other'.*reencode"):
        PassageStore.open(store.path, encoder=HashEncoder(salt="other"))
    with pytest.raises(EncoderMismatchError, match="expected dim, fingerprint"):
        PassageStore.open(store.path, encoder="facebook/dpr")  # type: ignore[arg-type]


def test_vectors_without_an_encoder_fix_only_the_dimension(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with PassageStore.open(path) as store:
        assert store.dim is None
        with pytest.raises(EncoderMismatchError, match=r"pass encoder= to PassageStore\.open, or vectors= to add"):
            store.add(make_passages(1))
        store.add(make_passages(2), vectors=np.eye(2, 16))
        assert (store.dim, store.info().fingerprint) == (16, "")
        with pytest.raises(VectorError, match="have 8 dimensions"):
            store.add(make_passages(1), vectors=[[1.0] * 8])
        with pytest.raises(EncoderMismatchError, match="without an encoder"):
            store.encode_questions(["who?"])
    with pytest.raises(EncoderMismatchError, match="bind=True"):
        PassageStore.open(path, encoder=HashEncoder())
    with pytest.raises(EncoderMismatchError, match="16 dimensions, the encoder makes 8"):
        PassageStore.open(path, encoder=HashEncoder(dim=8), bind=True)
    with PassageStore.open(path, encoder=HashEncoder(), bind=True) as store:
        store.add(make_passages(1, 5))
        assert store.info().fingerprint == "hash-16-"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.check().passages == 3


@pytest.mark.parametrize(
    ("vectors", "k", "message"),
    [
        (np.ones((1, 5)), 1, "5 dimensions, expected 16"),
        (np.ones(16), 1, r"shape \[16\], expected \[n, dim\]"),
        ([[float("nan")] * 16], 1, "vector 0 holds NaN or infinite"),
        ([[1e39] * 16], 1, "NaN or infinite"),
        ("text", 1, "expected an array of numbers of shape"),
        (np.ones((1, 16)), 0, "k is 0, expected an integer of at least 1"),
        (np.ones((1, 16)), True, "k is True"),
        (np.ones((1, 16)), 1.5, "k is 1.5"),
    ],
)
def test_bad_questions_are_refused(store: PassageStore, vectors: object, k: int, message: str) -> None:
    store.add(make_passages(3))
    with pytest.raises(VectorError, match=message), np.errstate(over="ignore"):
        store.search(vectors, k)


def test_searches_of_nothing(store: PassageStore) -> None:
    assert store.search(np.ones((2, 16)), 5) == [[], []]
    assert store.measure_index_recall() == 1.0
    store.add(make_passages(3))
    assert store.search(np.empty((0, 16)), 5) == []
    assert len(store.search(np.ones((1, 16)), 5)[0]) == 3
    store.delete(["0", "1", "2"])
    assert store.search(np.ones((2, 16)), 5) == [[], []]
    store.optimize()
    assert store.info().base == 0
    assert store.search(np.ones((1, 16)), 5, {"half": 1}) == [[]]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0] * 16], "1 vectors were given for 2 passages"),
        ([[1.0] * 16, [float("inf")] * 16], r"vector 1 \('1'\) holds NaN or infinite"),
        ([[1.0] * 16, [1.0] * 15], "not rows of numbers of one length"),
        (iter([[1.0] * 16] * 3), "more vectors than passages"),
        (iter([[1.0] * 16]), "1 vectors were given for 2 items"),
    ],
)
def test_bad_vectors_are_refused_by_name(store: PassageStore, vectors: object, message: str) -> None:
    with pytest.raises(VectorError, match=message):
        store.add(make_passages(2), vectors=vectors)


def test_what_is_no_passage_is_refused(store: PassageStore) -> None:
    with pytest.raises(PassageError, match=r"dict {'id': '1'} is no passage"):
        store.add([{"id": "1"}])  # type: ignore[list-item]
    with pytest.raises(PassageError, match="wrap it in a list"):
        store.add(make_passages(1)[0])  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="batch_size is 0"):
        store.add(make_passages(1), batch_size=0)
    assert len(store) == 0


def test_a_value_beyond_float16_is_refused_and_nothing_of_its_batch_is_stored() -> None:
    with PassageStore.temporary(dtype="float16") as store:
        with pytest.raises(VectorError, match=r"'1' does not fit into float16"):
            store.add(make_passages(2), vectors=[[1.0], [70_000.0]])
        assert len(store) == 0
        assert store.check().passages == 0


class BrokenEncoder(HashEncoder):
    """Returns NaN for one passage."""

    def encode_passages(self, passages: object) -> np.ndarray:
        vectors = super().encode_passages(passages)
        vectors[-1] = np.nan
        return vectors


def test_an_encoder_that_returns_nan_is_refused_naming_the_passage(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=BrokenEncoder()) as store:
        with pytest.raises(VectorError, match=r"\('2'\) holds NaN"):
            store.add(make_passages(3))
        assert len(store) == 0


def test_read_only_stores_refuse_every_change(store: PassageStore, encoder: HashEncoder, tmp_path: Path) -> None:
    store.add(make_passages(5))
    with PassageStore.open(store.path, encoder=encoder, read_only=True) as reader:
        for change in (
            lambda: reader.add(make_passages(1, 10)),
            lambda: reader.delete(["1"]),
            lambda: reader.optimize(),
            lambda: reader.reencode(HashEncoder(salt="x")),
        ):
            with pytest.raises(StoreReadOnlyError, match="opened read-only"):
                change()
        reader.backup(tmp_path / "copy")
    with PassageStore.open(tmp_path / "copy", read_only=True) as copy:
        assert len(copy) == 5
    with pytest.raises(StoreNotFoundError, match="create=True"):
        PassageStore.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_on_a_read_only_disk_can_be_read(store: PassageStore) -> None:
    store.add(make_passages(5))
    store.close()
    store.path.chmod(0o555)
    (store.path / "passages.sqlite").chmod(0o444)
    try:
        with PassageStore.open(store.path, read_only=True) as reader:
            assert len(reader.search(np.ones((1, 16)), 9)[0]) == 5
    finally:
        store.path.chmod(0o755)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / "passages.sqlite") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    for name in ("file", "folder", "other"):
        with pytest.raises(NotAStoreError, match=name):
            PassageStore.open(tmp_path / name)
    (tmp_path / "other" / "passages.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreCorrupted, match="not a database"):
        PassageStore.open(tmp_path / "other")
    with pytest.raises(StoreNotFoundError):
        PassageStore.open(tmp_path / "nothing", create=False)
    with pytest.raises(StoreError, match="dtype is 'int8'"):
        PassageStore.open(tmp_path / "nothing", dtype="int8")
    assert not (tmp_path / "nothing").exists()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["precious.txt"]


def test_a_closed_store_says_so(store: PassageStore) -> None:
    store.close()
    store.close()
    for use in (lambda: len(store), lambda: store.search(np.ones((1, 16)), 1), lambda: store.add(make_passages(1))):
        with pytest.raises(StoreClosedError, match="open the store again"):
            use()


def test_iteration_may_be_left_and_changed_meanwhile(store: PassageStore) -> None:
    store.add(make_passages(1200))
    seen = []
    for passage in store:
        seen.append(passage.id)
        store.delete([passage.id])
        if len(seen) == 900:
            break
    assert seen == [str(at) for at in range(900)]
    assert len(store) == 300


def golden(number: int, target: Path) -> Path:
    """A store that a dpr-rag of an earlier format wrote, without ``id-5``; from format 2 on with an index and postings."""
    return Path(shutil.copytree(GOLDEN / f"format-{number}", target))


@pytest.mark.parametrize("number", range(1, schema.FORMAT))
def test_stores_of_older_formats_are_read(tmp_path: Path, number: int) -> None:
    with PassageStore.open(golden(number, tmp_path / "store"), encoder=HashEncoder(dim=4)) as store:
        assert (store.info().format, store.info().index) == (schema.FORMAT, "hnsw")
        assert list(store) == [p for p in golden_passages() if p.id != "id-5"]
        vectors = HashEncoder(dim=4).encode_passages(golden_passages())
        scores = vectors @ np.array([1.0, 2.0, 3.0, 4.0], np.float32)
        scores[5] = -np.inf
        for _ in ("before", "after"):
            assert store.check().passages == 11
            hit = store.search([[1.0, 2.0, 3.0, 4.0]], 1)[0][0]
            assert hit.passage.id == f"id-{int(np.argmax(scores))}"
            assert hit.score == pytest.approx(float(scores.max()), rel=1e-5)
            assert Retriever(store, mode="bm25").retrieve("title 7")[0].passage.id == "id-7"
            assert store.count({"n": {"$gte": 4}}) == 7
            store.optimize()


@pytest.mark.parametrize("number", range(1, schema.FORMAT))
def test_stores_of_older_formats_are_read_as_they_are(tmp_path: Path, number: int) -> None:
    place = golden(number, tmp_path / "store")
    with PassageStore.open(place, encoder=HashEncoder(dim=4), read_only=True) as store:
        assert list(store) == [p for p in golden_passages() if p.id != "id-5"]
        assert Retriever(store, mode="bm25").retrieve("title 7")[0].passage.id == "id-7"
        assert len(store.search([[1.0, 2.0, 3.0, 4.0]], 11)[0]) == 11
        with store._engine.reading() as reader:
            assert reader.connection.execute("PRAGMA user_version").fetchone() == (number,)


def test_a_newer_format_is_refused(store: PassageStore) -> None:
    store.close()
    with sqlite3.connect(store.path / "passages.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFormatError, match=rf"format 99, this dpr-rag reads up to {schema.FORMAT}; upgrade"):
        PassageStore.open(store.path)


def test_an_older_format_is_migrated_in_one_transaction(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(3))
    store.close()
    current = schema.FORMAT
    monkeypatch.setattr(schema, "FORMAT", current + 2)
    with pytest.raises(StoreFormatError, match=f"format {current}, which no released"):
        PassageStore.open(store.path)

    def first(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE newer (x)")

    def second(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO newer VALUES (4)")

    def breaks(connection: sqlite3.Connection) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(schema, "MIGRATIONS", {current: first, current + 1: breaks})
    with pytest.raises(OSError, match="power cut"):
        PassageStore.open(store.path)
    with pytest.raises(StoreReadOnlyError, match=f"older format {current}"):
        PassageStore.open(store.path, read_only=True)
    monkeypatch.setattr(schema, "MIGRATIONS", {current: first, current + 1: second})
    with PassageStore.open(store.path) as migrated:
        assert len(migrated) == 3
        with migrated._engine.reading() as reader:
            assert reader.connection.execute("SELECT x FROM newer").fetchall() == [(4,)]
            assert reader.connection.execute("PRAGMA user_version").fetchone() == (current + 2,)


def test_index_recall_is_one_for_exact_and_below_for_a_starved_index() -> None:
    with PassageStore.temporary() as store:
        store.add(make_passages(4000), vectors=clustered(4000, 24))
        store.optimize("flat")
        assert store.measure_index_recall(50) == 1.0
        store.optimize("ivf:nlist=100,nprobe=1")
        questions = clustered(50, 24, seed=3)
        assert 0.05 < store.measure_index_recall(questions) < 0.999
        store.optimize("ivf:nlist=100,nprobe=100")
        assert store.measure_index_recall(questions) == 1.0


def test_filtered_searches_are_remembered_for_their_generation(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(100))
    question = encoder.encode_questions(["text number 3"])
    first = store.search(question, 5, {"half": 1})
    statements: list[str] = []
    with store._engine.reading() as reader:
        reader.connection.set_trace_callback(statements.append)
    assert store.search(question, 5, {"half": 1}) == first
    assert not any("json_each" in statement for statement in statements)
    store.delete([first[0][0].passage.id])
    assert store.search(question, 4, {"half": 1})[0] != first[0][:4]
    assert any("json_each" in statement for statement in statements)
    for at in range(100):
        store.search(question, 1, {"rare": at})
    assert len(store._engine._snapshot.selections) <= 34


def test_an_encoder_of_another_dimension_is_refused_at_once(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(3))
    other = HashEncoder(encoder.dim + 1)
    other.fingerprint = encoder.fingerprint
    with pytest.raises(EncoderMismatchError, match=r"16 dimensions.*17 dimensions"):
        PassageStore.open(store.path, encoder=other)


def test_values_beyond_float32_are_refused_without_a_warning(store: PassageStore) -> None:
    with pytest.raises(VectorError, match="infinite"):
        store.add(make_passages(1), vectors=[[1e39] * 16])
    store.add(make_passages(1))
    with pytest.raises(VectorError, match="infinite"):
        store.search(np.full((1, 16), 1e39), 1)


def test_what_an_adapter_keeps_stays_when_a_passage_is_replaced(store: PassageStore) -> None:
    private = {PRIVATE_KEY: ["node:1"]}
    store.add([Passage("1", "text", metadata={"a": 1, **private})])
    assert store.add([Passage("1", "text", metadata={"a": 1})]) == AddReport(unchanged=1)
    for change in (Passage("1", "text", metadata={"b": 2}), Passage("1", "other text", metadata={"b": 2})):
        assert store.add([change]) == AddReport(replaced=1)
        assert store.get(["1"]) == [replace(change, metadata={"b": 2, **private})]
    store.add([Passage("1", "text", metadata={PRIVATE_KEY: ["node:2"]})])
    assert store.get(["1"])[0].metadata == {PRIVATE_KEY: ["node:2"]}


def test_a_temporary_store_that_cannot_be_made_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(IndexKindError):
        PassageStore.temporary(index="nonsense")
    assert list(tmp_path.iterdir()) == []


def test_what_is_added_is_added_though_no_segment_can_be_written(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 50)
    with monkeypatch.context() as full:
        full.setattr(segment_folders, "Claim", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert store.add(make_passages(60)).added == 60
        assert store.wait_for_compaction()
    assert "cannot be written (No space left on device); free some space" in caplog.text
    assert (store.info().base, store.count()) == (0, 60)
    store.optimize()
    store.add([Passage("later", "one more")])
    assert (store.info().base, store.info().tail, store.info().compaction) == (60, 1, "")

"""Damage that keeps sums: exchanged and cancelling changes, damaged keys, lost vectors; and files of other versions."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Diversity, Passage, PassageStore, Retriever
from dpr_rag.derived import SegmentDamagedError, checksum, file_checksum, refuse_unordered
from dpr_rag.errors import StoreCorrupted
from dpr_rag.index.segments import ROWS
from dpr_rag.lexical import Analyzer, analysis, analysis_of
from dpr_rag.store import lexicon

QUESTION = np.ones((1, 16), np.float32)
WORD = 8


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Postings are worth keeping from the first passage on."""
    monkeypatch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 5)
    analysis_of.cache_clear()
    yield
    analysis_of.cache_clear()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an index, metadata by field, postings, removals and a tail."""
    path = tmp_path_factory.mktemp("filled") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 5)
        with PassageStore.open(path, encoder=HashEncoder(), index="fp16") as store:
            store.add(make_passages(1500))
            store.add([Passage(f"long {at}", "number " * at) for at in range(1, 30)])
            Retriever(store, mode="bm25").retrieve("number 17")
            store.optimize()
            store.delete(["7", "20", "100"])
            store.add(make_passages(5, 5000))
    return path


ASK: dict[str, Callable[[PassageStore], object]] = {
    "dense": lambda store: _seen(store.search(QUESTION, 10)),
    "exact": lambda store: _seen(store.search(QUESTION, 10, exact=True)),
    "filtered": lambda store: _seen(store.search(QUESTION, 10, {"rare": {"$lt": 3}})),
    "bm25": lambda store: _seen([Retriever(store, mode="bm25").retrieve("number 17", k=10)]),
    "hybrid": lambda store: _seen([Retriever(store, mode="hybrid").retrieve("number 17", k=10)]),
    "count": lambda store: store.count({"half": 1, "title": {"$lt": "title 3"}}),
    "sample": lambda store: [passage.id for passage in store.sample(20)[0]],
    "get": lambda store: store.get(["17", "unknown", "5001"]),
    "delete": lambda store: store.delete(filter={"rare": 7}),
}


def _seen(found: list[list]) -> list[list[tuple[Passage, float]]]:
    return [[(hit.passage, round(hit.score, 9)) for hit in hits] for hits in found]


def answer(path: Path, name: str) -> object:
    """What a store opened for one question says; that it is damaged is an answer, too."""
    try:
        with PassageStore.open(path, encoder=HashEncoder()) as store:
            return ASK[name](store)
    except StoreCorrupted as error:
        return error


@pytest.fixture(scope="module")
def right(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the intact store says; the question that changes it comes last."""
    path = shutil.copytree(filled, tmp_path_factory.mktemp("intact") / "store")
    return {question: answer(path, question) for question in ASK}


def swap_words(data: bytearray, choose: random.Random) -> None:
    """Exchange two different aligned words: the sum of all stays."""
    places = range(0, len(data) - WORD + 1, WORD)
    for _ in range(1000):
        one, other = choose.choice(places), choose.choice(places)
        left, right = data[one : one + WORD], data[other : other + WORD]
        if left != right:
            data[one : one + WORD], data[other : other + WORD] = right, left
            return


def flip_two(data: bytearray, choose: random.Random) -> None:
    """Flip one bit of two words, once up and once down: the sum of all stays."""
    at = choose.randrange(WORD)
    places = range(at, len(data), WORD)
    bit = 1 << choose.randrange(8)
    up, down = [one for one in places if not data[one] & bit], [one for one in places if data[one] & bit]
    for place in (choose.choice(up), choose.choice(down)) if up and down else (choose.choice(places),):
        data[place] ^= bit


def swap_halves(data: bytearray, choose: random.Random) -> None:
    """Put the second half first."""
    middle = len(data) // 2 // WORD * WORD or len(data) // 2
    data[:] = data[middle:] + data[:middle]


FILES = (
    *(("base", name) for name in ("faiss", "fields", "fields.json", "rows", "sums", "vectors")),
    *(("words", name) for name in ("begins", "counts", "lengths", "places", "rows", "sequence", "starts", "terms")),
)


@pytest.mark.parametrize("damage", [swap_words, flip_two, swap_halves])
@pytest.mark.parametrize(("kind", "name"), FILES)
def test_no_change_of_a_derived_file_gives_another_answer(
    filled: Path,
    right: dict[str, object],
    tmp_path: Path,
    kind: str,
    name: str,
    damage: Callable[[bytearray, random.Random], None],
) -> None:
    (file,) = filled.glob(f"index/{kind}-*/{name}")
    data = bytearray(file.read_bytes())
    damage(data, random.Random(f"{kind}{name}{damage.__name__}"))
    assert data != file.read_bytes()
    damaged = shutil.copytree(filled, tmp_path / "damaged")
    (damaged / file.relative_to(filled)).write_bytes(data)
    with PassageStore.open(damaged) as store, pytest.raises(StoreCorrupted, match="optimize"):
        store.check()
    for question in ASK:
        found = answer(damaged, question)
        assert found == right[question] or isinstance(found, StoreCorrupted), question


def test_the_checksum_sees_order_and_cancelling_changes() -> None:
    words = np.arange(1, 9000, dtype=np.uint64)
    seen = {checksum(words)}
    generator = np.random.default_rng(0)
    for _ in range(500):
        one, other = generator.choice(len(words), 2, replace=False)
        changed = words.copy()
        changed[[one, other]] = changed[[other, one]]
        seen.add(checksum(changed))
        bit = np.uint64(1) << np.uint64(generator.integers(64))
        changed = words.copy()
        changed[[one, other]] ^= bit
        seen.add(checksum(changed))
    assert len(seen) == 1001


@pytest.mark.parametrize("rows", [[1, 3, 2], [1, 1], [0, 1], [-1, 2], [2, 1]])
def test_rows_that_do_not_ascend_are_refused(rows: list[int], tmp_path: Path) -> None:
    with pytest.raises(SegmentDamagedError, match="ascending row numbers"):
        refuse_unordered(np.array(rows), tmp_path / "rows")
    refuse_unordered(np.array([1, 2, 9]), tmp_path / "rows")


def test_a_base_with_exchanged_rows_is_not_used_though_its_checksums_hold(
    filled: Path, right: dict[str, object], tmp_path: Path
) -> None:
    path = shutil.copytree(filled, tmp_path / "store")
    (file,) = path.glob(f"index/base-*/{ROWS}")
    rows = np.fromfile(file, "<i8")
    rows[[3, 400]] = rows[[400, 3]]
    rows.tofile(file)
    with PassageStore.open(path) as store, store._engine.writing() as writer:
        base = dict(writer.now.base or {})
        base["files"] = {**base["files"], ROWS: file_checksum(file)}
        writer.set_base(base, built_from=-1, index="fp16")
        writer.commit_state()
    assert answer(path, "dense") == right["dense"]
    with PassageStore.open(path) as store, pytest.raises(StoreCorrupted, match="ascending row numbers"):
        store.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE removed SET row = row + CASE row WHEN 8 THEN 1 WHEN 101 THEN -1 ELSE 0 END",
        "UPDATE removed SET generation = 1 WHERE row = 8",
        "DELETE FROM removed WHERE row = 8",
        "INSERT INTO removed VALUES (50, 3)",
        "UPDATE removed SET generation = x'00' WHERE row = 8",
    ],
)
def test_a_changed_record_of_removals_is_noticed(filled: Path, tmp_path: Path, statement: str) -> None:
    path = shutil.copytree(filled, tmp_path / "store")
    connection = sqlite3.connect(path / "passages.sqlite", isolation_level=None)
    assert connection.execute("SELECT group_concat(row) FROM (SELECT row FROM removed ORDER BY row)").fetchone() == (
        "8,21,101",
    )
    connection.execute(statement)
    connection.close()
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        for use in (lambda: store.search(QUESTION, 5), store.optimize):
            with pytest.raises(StoreCorrupted, match="record of removed passages is damaged"):
                use()


# --- the index on ids


def keys_of(data: bytes) -> dict[str, list[int]]:
    """Where the keys of SQLite's index on ids stand in a store file, by the kind of page."""
    size = int.from_bytes(data[16:18], "big")
    found: dict[str, list[int]] = {"interior": [], "leaf": []}
    for start in range(size, len(data), size):
        kind = {2: "interior", 10: "leaf"}.get(data[start])
        at = data.find(b"key-", start, start + size)
        while kind and at >= 0:
            found[kind].append(at)
            at = data.find(b"key-", at + 1, start + size)
    return found


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keyed") / "store"
    choose = random.Random(0)
    with PassageStore.open(path) as store:
        ids = [f"key-{number:012d}" for number in choose.sample(range(10**12), 4000)]
        store.add([Passage(one, "text") for one in ids], vectors=np.ones((4000, 2)))
    return path


@pytest.mark.parametrize("kind", ["interior", "leaf"])
@pytest.mark.parametrize(
    "use",
    [
        lambda store, one: store.delete([one]),
        lambda store, one: store.add([Passage(one, "other text")], vectors=[[1, 2]]),
        lambda store, one: store.get([one]),
        lambda store, one: one in store,
    ],
    ids=["delete", "add", "get", "in"],
)
def test_a_damaged_key_never_hides_a_passage(
    keyed: Path, tmp_path: Path, kind: str, use: Callable[[PassageStore, str], object]
) -> None:
    data = (keyed / "passages.sqlite").read_bytes()
    places, choose = keys_of(data)[kind], random.Random(kind)
    assert len(places) >= (8 if kind == "interior" else 3900)
    for _ in range(25):
        at = choose.choice(places)
        one = data[at : at + 16].decode()
        damaged = bytearray(data)
        place = at + choose.randrange(4, 16)
        damaged[place] = choose.choice([digit for digit in b"0123456789" if digit != data[place]])
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "passages.sqlite").write_bytes(damaged)
        with PassageStore.open(tmp_path / "s") as store, pytest.raises(StoreCorrupted, match=r"PassageStore\.restore"):
            use(store, one)
        shutil.rmtree(tmp_path / "s")


def test_unknown_ids_of_an_intact_store_are_unknown(keyed: Path, tmp_path: Path) -> None:
    with PassageStore.open(shutil.copytree(keyed, tmp_path / "s")) as store:
        strange = ["", "a", "z", "key-", "key-5", "key-999999999999z", "\x00", "é", "\U0010ffff", "KEY-1"]
        assert store.delete(strange) == 0
        assert store.add([Passage(one or "empty", "text") for one in strange], vectors=np.ones((10, 2))).added == 10
        assert store.delete(strange[1:]) == 9
        assert store.check().passages == 4001
    with PassageStore.open(tmp_path / "empty") as store:
        assert store.delete(["a"]) == 0


def test_an_entry_that_leads_to_another_passage_deletes_none(keyed: Path, tmp_path: Path) -> None:
    """A key of the index whose row number is another one's."""
    data = bytearray((keyed / "passages.sqlite").read_bytes())
    at = next(at for at in keys_of(data)["leaf"] if data[at + 16] == 3 and data[at - 1] == 2)
    one = data[at : at + 16].decode()
    data[at + 17] ^= 1
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "passages.sqlite").write_bytes(data)
    with PassageStore.open(tmp_path / "s") as store, pytest.raises(StoreCorrupted):
        store.delete([one])


# --- lost vectors


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.sample(20),
        lambda store: Retriever(store, mode="hybrid").retrieve("number 17"),
        lambda store: store.get_vectors(["17"]),
        lambda store: store.search(QUESTION, 5, diversity=Diversity()),
        lambda store: store.add([Passage("17", "another text")]),
    ],
    ids=["sample", "hybrid", "vectors", "diversity", "add"],
)
def test_a_lost_vector_is_called_so(filled: Path, tmp_path: Path, ask: Callable[[PassageStore], object]) -> None:
    path = shutil.copytree(filled, tmp_path / "store")
    connection = sqlite3.connect(path / "passages.sqlite", isolation_level=None)
    connection.execute("DELETE FROM vector_a WHERE row < 1600")
    connection.close()
    with (
        PassageStore.open(path, encoder=HashEncoder()) as store,
        pytest.raises(StoreCorrupted, match="lost their vectors"),
    ):
        ask(store)


def test_a_row_that_exists_already_is_damage(filled: Path, tmp_path: Path) -> None:
    """The store's record gives out its number as the next one."""
    path = shutil.copytree(filled, tmp_path / "store")
    connection = sqlite3.connect(path / "passages.sqlite", isolation_level=None)
    connection.execute("UPDATE vector_a SET row = 1535 WHERE row = 3")
    connection.close()
    with PassageStore.open(path, encoder=HashEncoder()) as store, pytest.raises(StoreCorrupted, match="is damaged"):
        store.add(make_passages(1, 9000))


# --- versions


def test_postings_name_all_that_made_them() -> None:
    assert analysis_of("none") == f"analysis 6, none, Unicode {analysis.unicodedata.unidata_version}"
    assert "PyStemmer" in analysis_of("english")
    assert "stop-words" not in analysis_of("english")
    assert "stop-words" in analysis_of("dutch")


def test_postings_of_another_stemmer_are_built_anew_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an upgrade: other stems, and another version."""

    def other(language: str) -> Callable[[str], str]:
        return lambda word: word[:3]

    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(), language="dutch") as store:
        store.add([Passage(str(at), f"fietsen wandelen lopen nummer{at}") for at in range(20)])
        assert len(Retriever(store, mode="bm25", k=50).retrieve("wandelen")) == 20
        old = store._engine.state().lexical
    real = analysis._version_of
    monkeypatch.setattr(analysis, "_version_of", lambda name: "9.9" if name == "PyStemmer" else real(name))
    monkeypatch.setattr(analysis, "_stemmer", other)
    analysis_of.cache_clear()
    with caplog.at_level(logging.WARNING, logger="dpr_rag"), PassageStore.open(tmp_path / "s", read_only=True) as store:
        assert store.check().passages == 20
        assert len(Retriever(store, mode="bm25", k=50).retrieve("wandelen")) == 20
    assert f"made with {old['analysis']}, and are built anew with analysis 6, dutch" in caplog.text
    with PassageStore.open(tmp_path / "s") as store:
        assert len(Retriever(store, mode="bm25", k=50).retrieve("wandelen")) == 20
        assert "PyStemmer 9.9" in store._engine.state().lexical["analysis"]
        assert store.check().passages == 20
        assert Analyzer("dutch").sequence("wandelen") == Analyzer("dutch").sequence("wanten")
    caplog.clear()
    with PassageStore.open(tmp_path / "s") as store:
        Retriever(store, mode="bm25").retrieve("wandelen")
    assert caplog.text == ""


def test_processes_of_two_versions_do_not_build_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    real = Analyzer.passage
    monkeypatch.setattr(Analyzer, "passage", lambda self, one: (built.append(one.id), real(self, one))[1])

    def ask(store: PassageStore, version: str) -> list[str]:
        """As a process with that version of the stemmer; returns which passages were analysed for it."""
        monkeypatch.setattr(analysis, "_version_of", lambda name: version)
        analysis_of.cache_clear()
        built.clear()
        assert len(Retriever(store, mode="bm25", k=50).retrieve("text")) == len(store)
        return list(built)

    def named(store: PassageStore) -> str:
        return store._engine.state().lexical["directory"]

    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as one, PassageStore.open(tmp_path / "s") as other:
        one.add(make_passages(30))
        assert (len(ask(one, "1")), len(ask(other, "2")), ask(one, "1"), ask(other, "2")) == (30, 30, [], [])
        settled = named(one)
        one.add(make_passages(2, 100))
        assert (ask(other, "2"), ask(one, "1")) == (["100", "101"], ["100", "101"])
        one.delete(["100"])
        assert (ask(other, "2"), ask(one, "1"), ask(other, "2")) == ([], [], [])
        assert named(one) == settled
        assert one.check().passages == 31


def test_an_index_that_this_faiss_cannot_read_is_named_with_both_versions(
    filled: Path, right: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import faiss

    path = shutil.copytree(filled, tmp_path / "store")
    (file,) = path.glob("index/base-*/faiss")
    file.write_bytes(b"Zzzz" + file.read_bytes()[4:])
    with PassageStore.open(path) as store, store._engine.writing() as writer:
        base = dict(writer.now.base or {})
        base |= {"files": {**base["files"], "faiss": file_checksum(file)}, "faiss": "99.1"}
        writer.set_base(base, built_from=-1, index="fp16")
        writer.commit_state()
    assert answer(path, "dense") == right["dense"]
    assert f"written by FAISS 99.1, this is {faiss.__version__}" in caplog.text

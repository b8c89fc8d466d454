"""Damaged files: an error that says so, or the right answer; never a wrong one in silence."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import StoreCorrupted, StoreFormatError
from dpr_rag.storage.scanning import PAGE

TRIALS = 500
WHERE = {"half": 1}


def build(
    path: Path, *, index: str, start: int = 0, change: Callable[[Passage], Passage] = lambda passage: passage
) -> Path:
    with PassageStore.open(path, encoder=HashEncoder(), index=index) as store:
        store.add(map(change, make_passages(120, start)))
        store.optimize()
        store.delete([str(at) for at in range(start, start + 120, 9)])
        store.add(map(change, make_passages(15, start + 200)))
    return path


def questions_of_a_user(encoder: HashEncoder) -> dict[str, Callable[[PassageStore], object]]:
    """All that a user could ask: ranked hits with their scores, with and without a filter, texts, ids and counts."""
    vectors = encoder.encode_questions(["text number 17", "title 3", "number 205 title"])
    return {
        "search": lambda store: [[(h.passage, h.score) for h in hits] for hits in store.search(vectors, 10)],
        "filtered search": lambda store: [
            [(h.passage, h.score) for h in hits] for hits in store.search(vectors, 10, WHERE)
        ],
        "iteration": list,
        "get": lambda store: store.get([str(at) for at in range(250)]),
        "get one": lambda store: [store.get([str(at)]) for at in range(0, 250, 9)],
        "count": len,
        "filtered count": lambda store: store.count(WHERE),
    }


def answers(path: Path) -> dict[str, object]:
    """Every answer, each from a store opened for it alone; an error that says so is an answer of its own."""
    found: dict[str, object] = {}
    for name, ask in questions_of_a_user(HashEncoder()).items():
        try:
            with PassageStore.open(path, encoder=HashEncoder()) as store:
                found[name] = ask(store)
        except (StoreCorrupted, StoreFormatError) as error:
            found[name] = error
    return found


def wrong_ones(found: dict[str, object], right: dict[str, object]) -> list[str]:
    return [name for name, value in found.items() if value != right[name] and not isinstance(value, Exception)]


def test_no_page_of_another_store_passes_for_its_own(tmp_path: Path) -> None:
    """A store of the same history has rows of the same numbers at the same places, each with a checksum that fits it."""
    own = build(tmp_path / "own", index="flat")
    other = build(tmp_path / "other", index="flat", change=lambda one: replace(one, text=one.text.swapcase()))
    right = answers(own)
    whole, stranger = ((one / "passages.sqlite").read_bytes() for one in (own, other))
    assert len(whole) == len(stranger)
    noticed = set()
    half = PAGE // 2
    for start, end in ((at, at + size) for size in (half, PAGE) for at in range(0, len(whole), size)):
        block = slice(start, end)
        if whole[block] == stranger[block]:
            continue
        (own / "passages.sqlite").write_bytes(whole[: block.start] + stranger[block] + whole[block.stop :])
        found = answers(own)
        assert wrong_ones(found, right) == [], block
        noticed |= {name for name, value in found.items() if isinstance(value, Exception)}
    assert noticed >= {"search", "filtered search", "iteration", "get", "get one"}


def flip_bit(path: Path, choose: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, choose: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: choose.randrange(path.stat().st_size)])


def zero_page(path: Path, choose: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at = choose.randrange(len(data)) // 512 * 512
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    path.write_bytes(data)


@pytest.mark.untraced
@pytest.mark.parametrize("index", ["flat", "hnsw", "ivf-sq8"])
def test_damage_is_noticed_or_harmless(index: str, tmp_path: Path) -> None:
    choose = random.Random(index)
    source = build(tmp_path / "store", index=index)
    right = answers(source)
    wrong, noticed = [], 0
    for trial in range(TRIALS // 3 + 1):
        path = tmp_path / "damaged"
        shutil.copytree(source, path)
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
        # every second damage to the truth itself, the others to the files derived from it
        file = path / "passages.sqlite" if trial % 2 else choose.choice(files)
        damage: Callable[[Path, random.Random], None] = choose.choice(
            [flip_bit, flip_bit, flip_bit, truncate, zero_page]
        )
        damage(file, choose)
        found = answers(path)
        wrong += [(trial, file.name, damage.__name__, name) for name in wrong_ones(found, right)]
        noticed += any(isinstance(value, Exception) for value in found.values())
        shutil.rmtree(path)
    assert wrong == []
    assert noticed > 20


def test_a_swapped_database_is_noticed_or_another_whole_store(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one", index="flat"), build(tmp_path / "other", index="flat", start=1000)
    expected = answers(other)
    shutil.copy(other / "passages.sqlite", one / "passages.sqlite")
    assert answers(one) == expected


def test_swapped_files_are_noticed_or_harmless(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one", index="ivf-sq8"), build(tmp_path / "other", index="ivf-sq8", start=1000)
    right = answers(one)
    folder, foreign = next((one / "index").iterdir()), next((other / "index").iterdir())
    for name in sorted(file.name for file in folder.iterdir()):
        kept = (folder / name).read_bytes()
        shutil.copy(foreign / name, folder / name)
        assert answers(one) == right
        (folder / name).write_bytes(kept)
    shutil.rmtree(folder)
    assert answers(one) == right


def test_a_damaged_segment_is_rebuilt_by_optimize(tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="hnsw")
    right = answers(path)
    flip_bit(next((path / "index").iterdir()) / "faiss", random.Random(0))
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        with pytest.raises(StoreCorrupted, match="optimize"):
            store.check()
        store.optimize()
        assert store.check().indexed == len(store)
    assert answers(path) == right


def test_the_next_add_replaces_a_damaged_segment(tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="flat")
    right = answers(path)
    flip_bit(next((path / "index").iterdir()) / "rows", random.Random(0))
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.search(np.ones((1, 16), np.float32), 1)
        store.add(make_passages(1, 1))
        assert store.wait_for_compaction()
        assert store.check().indexed == len(store)
    assert answers(path) == right


def test_a_damaged_row_names_its_passage(tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="flat")
    file = path / "passages.sqlite"
    data = file.read_bytes()
    assert data.count(b"text number 17\x00") + data.count(b"text number 17") >= 1
    file.write_bytes(data.replace(b"text number 17", b"text nomber 17"))
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        with pytest.raises(StoreCorrupted, match=r"'17' .*damaged; restore a backup"):
            store.get(["17"])
        with pytest.raises(StoreCorrupted, match="'17'"):
            store.check()


def test_a_lost_vector_is_noticed_by_check(tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="flat")
    with PassageStore.open(path, encoder=HashEncoder()) as store, store._engine.database.writing() as connection:
        connection.execute("DELETE FROM vector_a WHERE row = 20")
    with PassageStore.open(path) as store, pytest.raises(StoreCorrupted, match="vectors do not belong"):
        store.check()


def test_a_lost_passage_is_noticed(tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="flat")
    with PassageStore.open(path, encoder=HashEncoder()) as store, store._engine.database.writing() as connection:
        connection.execute("DELETE FROM passage WHERE row = 20")
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        with pytest.raises(StoreCorrupted, match="lists 120 of 121"):
            list(store)
        with pytest.raises(StoreCorrupted, match="restore a backup"):
            store.search(np.ones((1, 16), np.float32), 200)


@pytest.mark.parametrize("options", [{}, {"create": False}, {"read_only": True}])
def test_a_store_whose_file_was_emptied_is_not_taken_for_a_new_one(options: dict[str, bool], tmp_path: Path) -> None:
    path = build(tmp_path / "store", index="flat")
    (path / "passages.sqlite").write_bytes(b"")
    with pytest.raises(StoreCorrupted, match=r"is empty, and a store was written there before; restore a backup"):
        PassageStore.open(path, encoder=HashEncoder(), **options)


@pytest.mark.parametrize("before", [True, False])
def test_a_page_of_passages_in_the_place_of_another_one_is_noticed(before: bool, tmp_path: Path) -> None:
    """As many passages come, but some twice and some not at all."""
    path = tmp_path / "store"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(2500, 1000))
    data = (path / "passages.sqlite").read_bytes()
    first, second = (data.index(b"text number 1500"), data.index(b"text number 3000"))
    size = int.from_bytes(data[16:18], "big")
    source, target = (at // size * size for at in ((first, second) if before else (second, first)))
    (path / "passages.sqlite").write_bytes(data[:target] + data[source : source + size] + data[target + size :])
    reading = {
        "iteration": list,
        "bm25": lambda store: Retriever(store, mode="bm25").retrieve("number 1500"),
        "filter": lambda store: store.count({"half": 1}),
        "predicate": lambda store: store.count(lambda passage: True),
        "optimize": lambda store: store.optimize(),
        "check": lambda store: store.check(),
        "reencode": lambda store: store.reencode(HashEncoder(salt="new")),
    }
    for name, read in reading.items():
        with PassageStore.open(shutil.copytree(path, tmp_path / name)) as store, pytest.raises(StoreCorrupted):
            read(store)


def test_a_page_of_an_earlier_commit_is_noticed(tmp_path: Path) -> None:
    """Metadata that was changed in place is back, each row with a checksum that fits."""
    path = tmp_path / "store"
    vectors = np.ones((300, 4), np.float32)
    files = []
    for half in (0, 1):
        with PassageStore.open(path) as store:
            store.add([Passage(str(at), f"text {at}", "", {"half": half}) for at in range(300)], vectors=vectors)
        files.append((path / "passages.sqlite").read_bytes())
    old, new = files
    size = int.from_bytes(old[16:18], "big")
    target = old.index(b"text 150") // size * size
    assert old[target : target + size] != new[target : target + size]
    (path / "passages.sqlite").write_bytes(new[:target] + old[target : target + size] + new[target + size :])
    with PassageStore.open(path) as store:
        for read in (list, lambda store: store.count({"half": 1}), lambda store: store.check()):
            with pytest.raises(StoreCorrupted):
                read(store)


def test_a_vector_page_in_the_place_of_another_one_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with PassageStore.open(path, encoder=HashEncoder(dim=64)) as store:
        store.add(make_passages(500))
        one, other = (store.get_vectors([name])[name].tobytes() for name in ("100", "300"))
    data = (path / "passages.sqlite").read_bytes()
    size = int.from_bytes(data[16:18], "big")
    source, target = (data.index(vector) // size * size for vector in (one, other))
    assert source != target
    (path / "passages.sqlite").write_bytes(data[:target] + data[source : source + size] + data[target + size :])
    for read in (lambda store: store.search(np.ones((1, 64)), 5), lambda store: store.optimize(), PassageStore.check):
        with PassageStore.open(path, encoder=HashEncoder(dim=64)) as store, pytest.raises(StoreCorrupted):
            read(store)


@pytest.mark.parametrize("change", [lambda store: store.add(make_passages(3, 500)), lambda store: store.delete(["5"])])
def test_a_record_of_an_earlier_commit_is_noticed(change: Callable[[PassageStore], object], tmp_path: Path) -> None:
    """The page of the store's own record was not written by the last commit, and is right by itself."""
    path = build(tmp_path / "store", index="flat")
    old = state_of(path)
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        change(store)
    connection = sqlite3.connect(path / "passages.sqlite", isolation_level=None)
    connection.execute("UPDATE state SET value = ?, crc = ?", old)
    connection.close()
    for use in (
        len,
        list,
        lambda store: store.add(make_passages(1, 900)),
        lambda store: store.delete(["1"]),
        lambda store: store.search(np.ones((1, 16)), 5),
        lambda store: store.check(),
    ):
        with PassageStore.open(path, encoder=HashEncoder()) as store, pytest.raises(StoreCorrupted):
            use(store)


def state_of(path: Path) -> tuple[str, int]:
    connection = sqlite3.connect(path / "passages.sqlite")
    found = connection.execute("SELECT value, crc FROM state").fetchone()
    connection.close()
    return found

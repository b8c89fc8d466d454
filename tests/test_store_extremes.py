"""Odd and long paths, clocks that step, and sizes far from the usual: the right answer, or an error by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, Oracle, assert_equals_oracle, make_passages

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import DprRagError, PassageError, VectorError

QUESTION = np.ones((1, 16), np.float32)
NAMES = (
    *(
        "with space",
        "ä",
        "e\u0301",
        "日本語",
        "🙂",
        "a?mode=memory",
        "a#b",
        "%41",
        "a&b=c",
        "a'b",
        'a"b',
        "a;b",
        "a\\b",
    ),
    *("-rf", "a\nb", "a\tb", "*", "[x]", "{x}", "$5", "a:b", "file:x", ".hidden", "..x", "x" * 200, "ü" * 120),
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_of_any_name_holds_a_store(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(12))
        store.optimize("hnsw")
        store.add(make_passages(2, 20))
        expected = store.search(QUESTION, 5)
        Retriever(store, mode="bm25").retrieve("number 7")
        store.backup(tmp_path / "copy")
    with PassageStore.open(path, read_only=True) as store:
        assert store.search(QUESTION, 5) == expected
        assert store.check().passages == 14
    PassageStore.restore(tmp_path / "copy", path)
    with PassageStore.open(path) as store:
        assert store.search(QUESTION, 5) == expected
    assert {one.name for one in tmp_path.iterdir()} == {name, "copy"}


@pytest.mark.parametrize("length", [400, 600, 1500, 3900, 5000])
def test_a_long_path_holds_a_store_or_is_refused_by_name(length: int, tmp_path: Path) -> None:
    path = tmp_path
    while len(str(path)) < length - 50:
        path /= "x" * min(200, length - len(str(path)) - 1)
    refusal = ""
    try:
        with PassageStore.open(path, encoder=HashEncoder()) as store:
            store.add(make_passages(12))
            store.optimize("hnsw")
            assert len(store.search(QUESTION, 5)[0]) == 5
    except DprRagError as error:
        refusal = str(error)
    if length < 500 or not refusal:
        with PassageStore.open(path, read_only=True) as store:
            assert store.check().passages == 12
    else:
        assert "\n" not in refusal
        assert str(tmp_path) in refusal


@pytest.mark.parametrize("step", [-400 * 86400, -3600, 3600, 400 * 86400], ids="{:+}".format)
def test_a_clock_that_steps_changes_nothing(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, encoder, oracle = tmp_path / "store", HashEncoder(), Oracle()
    now, now_ns = time.time, time.time_ns
    with PassageStore.open(path, encoder=encoder) as store, PassageStore.open(path, read_only=True) as reader:
        for at in range(4):
            if at % 2:
                monkeypatch.setattr(time, "time", lambda: now() + step)
                monkeypatch.setattr(time, "time_ns", lambda: now_ns() + step * 10**9)
                for file in path.rglob("*"):
                    os.utime(file, (now() + step, now() + step))
            else:
                monkeypatch.undo()
            added = make_passages(10, at * 10)
            store.add(added)
            oracle.add(added, encoder.encode_passages(added))
            for one in (store, reader):
                assert_equals_oracle(one, oracle, QUESTION, 7, {"half": 1})
            store.optimize("hnsw" if at % 2 else "flat")
            assert_equals_oracle(reader, oracle, QUESTION, 7)
        store.backup(tmp_path / "copy")
        store.check()
    with PassageStore.open(tmp_path / "copy") as copy:
        assert_equals_oracle(copy, oracle, QUESTION, 7)


def test_a_text_of_millions_of_letters_is_stored_searched_and_found(tmp_path: Path) -> None:
    text = "needle " + "hay" * 1_000_000 + " " + "straw " * 300_000
    with PassageStore.open(tmp_path / "store") as store:
        store.add([Passage("big", text, "t" * 100_000, {"long": "m" * 1_000_000})], vectors=np.ones((1, 4)))
        store.add(make_passages(3), vectors=np.zeros((3, 4)))
        store.optimize()
        assert Retriever(store, mode="bm25").retrieve("needle")[0].passage.text == text
        assert store.search(np.ones((1, 4)), 1)[0][0].passage.id == "big"
        assert store.count({"long": "m" * 1_000_000}) == 1
    with PassageStore.open(tmp_path / "store") as store:
        assert store.check().passages == 4
        assert store.get(["big"])[0].text == text


@pytest.mark.parametrize("k", [21, 10**6, 2**31, 2**63, 10**30])
def test_more_hits_than_there_are_passages_are_all_of_them(k: int) -> None:
    encoder, oracle = HashEncoder(), Oracle()
    with PassageStore.temporary(encoder=encoder, index="hnsw") as store:
        store.add(make_passages(20))
        oracle.add(make_passages(20), encoder.encode_passages(make_passages(20)))
        for _ in range(2):
            assert_equals_oracle(store, oracle, QUESTION, k)
            assert_equals_oracle(store, oracle, QUESTION, k, {"half": 1})
            assert len(Retriever(store, k=k, mode="bm25").retrieve("text")) == 20
            store.optimize()


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", None, float("nan"), True])
def test_a_k_that_is_none_is_refused(k: object, store: PassageStore) -> None:
    store.add(make_passages(3))
    with pytest.raises(VectorError, match="k"):
        store.search(QUESTION, k)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 10**9, 2**63])
def test_batches_of_any_size_are_taken(size: int) -> None:
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        assert store.add(iter(make_passages(40)), batch_size=size).added == 40
        assert [passage.id for passages, _ in store.batches(size) for passage in passages] == [*map(str, range(40))]
        assert store.reencode(HashEncoder(salt="new"), batch_size=size) == 40
        assert store.check().passages == 40


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_of_a_batch_with_one_number_that_is_none_nothing_is_stored(value: float, store: PassageStore) -> None:
    vectors = np.ones((300, 16))
    vectors[299, 7] = value
    with pytest.raises(VectorError, match="299"):
        store.add(make_passages(300), vectors=vectors)
    assert len(store) == 0


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_half_a_character_is_refused_and_nothing_of_its_batch_is_stored(text: str, store: PassageStore) -> None:
    with pytest.raises(PassageError):
        store.add([*make_passages(3), Passage("bad", text)])
    assert len(store) == 0

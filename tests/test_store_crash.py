"""Killed processes: what was acknowledged is there, batches are whole, and the store opens."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import PassageStore, Retriever
from dpr_rag.storage.database import Database
from dpr_rag.store import lexicon

BATCH = 7
TRIALS = 100


def in_child(work: Callable[[], None]) -> int:
    """Run work in a forked process and return its id; the child never returns."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def reap(pid: int) -> int:
    """Wait for a child and return the signal that ended it, 0 for none."""
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def contents(path: Path) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Every passage with the vector that a search finds it by, after a full check."""
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.check().passages == len(store)
        hits = store.search(np.eye(store.dim or 1, dtype=np.float32), max(len(store), 1)) if len(store) else []
        found: dict[str, list[float]] = {passage.id: [] for passage in store}
        for line in hits:
            for hit in line:
                found[hit.passage.id].append(hit.score)
        return {passage.id: (passage.text, tuple(found[passage.id])) for passage in store}


def work_and_tell(path: Path, tell: int, seed: int) -> None:
    """Add, delete and optimize for ever; every acknowledged change is told through a pipe."""
    choose = random.Random(seed)
    lexicon.MIN_PASSAGES_TO_WRITE = 3 * BATCH  # of the child alone: postings are written often
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        number = max((int(passage.id) // BATCH for passage in store), default=-1)
        while True:
            number += 1
            store.add(make_passages(BATCH, number * BATCH))
            os.write(tell, f"added {number}\n".encode())
            if choose.random() < 0.2:
                os.write(tell, f"deleting {number}\n".encode())
                store.delete([str(at) for at in range(number * BATCH, (number + 1) * BATCH)])
                os.write(tell, f"deleted {number}\n".encode())
            if choose.random() < 0.3:
                Retriever(store, mode="bm25").retrieve("text number")
            if choose.random() < 0.1:
                store.optimize(choose.choice(["flat", "hnsw"]))


def run_and_kill(path: Path, *, seed: int, seconds: float) -> list[tuple[str, int]]:
    """What a worker acknowledged before it was killed."""
    told, tell = os.pipe()
    pid = in_child(lambda: work_and_tell(path, tell, seed))
    os.close(tell)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert reap(pid) == signal.SIGKILL
    with os.fdopen(told) as lines:
        return [(line.split()[0], int(line.split()[1])) for line in lines]


def test_kill_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    choose = random.Random(7)
    path = tmp_path / "store"
    alive: set[int] = set()
    acknowledged, patience = 0, 1.0
    for trial in range(TRIALS):
        told = run_and_kill(path, seed=trial, seconds=patience * choose.uniform(0.005, 0.12))
        named = {kind: {number for what, number in told if what == kind} for kind in ("added", "deleting", "deleted")}
        acknowledged += len(named["added"]) + len(named["deleted"])
        if acknowledged <= trial:  # a busy machine gets less done before it is killed
            patience = min(1.5 * patience, 30.0)
        with PassageStore.open(path, encoder=HashEncoder()) as store:
            ids = [int(passage.id) for passage in store]
            found = {at // BATCH for at in ids}
            assert ids == [at for one in sorted(found) for at in range(one * BATCH, (one + 1) * BATCH)], "a torn batch"
            assert (alive | named["added"]) - named["deleting"] <= found, "an acknowledged batch is lost"
            assert not named["deleted"] & found, "a deleted batch is back"
            # one more may have been committed in the instant before its acknowledgement
            assert len(found - alive - named["added"]) <= 1
            words = Retriever(store, k=len(ids) + 1, mode="bm25").retrieve("text")
            assert sorted(int(hit.passage.id) for hit in words) == sorted(ids)
            if trial % 10 == 9:
                assert store.check().passages == len(ids)
                store.delete([str(at) for at in ids[: -BATCH * 3]])
                found = {at // BATCH for at in ids[-BATCH * 3 :]}
            alive = found
    assert acknowledged > TRIALS // 2


def with_death_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Kill this process when its writing connection runs its ``number``-th statement."""
    original = Database._connect
    count = 0

    def connect(self: Database) -> sqlite3.Connection:
        connection = original(self)

        def trace(_statement: str) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(trace)
        return connection

    monkeypatch.setattr(Database, "_connect", connect)


def change_add(store: PassageStore) -> None:
    changed = [type(p)(p.id, f"new {p.text}", p.title, p.metadata) for p in make_passages(2)]
    store.add([*changed, *make_passages(2, 100)], batch_size=10)


def change_delete(store: PassageStore) -> None:
    store.delete(["3", "4"])


def change_optimize(store: PassageStore) -> None:
    store.optimize("hnsw")


def change_postings(store: PassageStore) -> None:
    lexicon.write_postings(store._engine)


@pytest.mark.parametrize("change", [change_add, change_delete, change_optimize, change_postings])
def test_every_crash_point_of_a_commit(
    change: Callable[[PassageStore], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh(name: str) -> Path:
        with PassageStore.open(tmp_path / name, encoder=HashEncoder()) as store:
            store.add(make_passages(8))
            store.optimize()
            store.add(make_passages(2, 20))
        return tmp_path / name

    def crash(path: Path, number: int) -> None:
        with_death_at(monkeypatch, number)
        with PassageStore.open(path, encoder=HashEncoder()) as store:
            change(store)

    before = contents(fresh("before"))
    done = fresh("after")
    with PassageStore.open(done, encoder=HashEncoder()) as store:
        change(store)
    after = contents(done)
    for number in range(1, 200):
        path = fresh(f"crash-{number}")
        killed = reap(in_child(lambda path=path, number=number: crash(path, number)))
        found = contents(path)
        assert found in (before, after)
        if not killed:
            break
    assert found == after
    assert number > 10


def test_crash_while_the_store_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(path: Path, number: int) -> None:
        with_death_at(monkeypatch, number)
        PassageStore.open(path, encoder=HashEncoder()).close()

    for number in range(1, 60):
        path = tmp_path / str(number)
        killed = reap(in_child(lambda path=path, number=number: create(path, number)))
        assert contents(path) == {}
        if not killed:
            break
    assert number > 5


def test_reencoding_killed_at_every_statement_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store"
    old, new = HashEncoder(salt="old"), HashEncoder(salt="new")
    with PassageStore.open(path, encoder=old) as store:
        store.add(make_passages(10))

    def crash(number: int) -> None:
        with_death_at(monkeypatch, number)
        with PassageStore.open(path) as store:
            store.reencode(HashEncoder(salt="new"), batch_size=2)

    for number in range(1, 200):
        if not reap(in_child(lambda number=number: crash(number))):
            break
        with PassageStore.open(path) as store:
            store.check()
            current = store.info().fingerprint
        question = (old if current == old.fingerprint else new).encode_questions(["text number 3 title 3"])
        with PassageStore.open(path, encoder=old if current == old.fingerprint else new) as store:
            assert store.search(question, 1)[0][0].passage.id == "3"
    with PassageStore.open(path, encoder=new) as store:
        assert store.check().passages == 10
        assert store.search(new.encode_questions(["text number 4 title 4"]), 1)[0][0].passage.id == "4"
    assert number > 10

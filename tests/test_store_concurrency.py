"""One writer, eight searching threads and two reading processes at once; forks, locks and waiting writers."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import StoreError, StoreLocked

SECONDS = 10
DIM = 16


def numbered(number: int, version: int) -> Passage:
    return Passage(f"p{number}", f"passage {number} version {version}", metadata={"number": number, "version": version})


def search_until(store: PassageStore, deadline: float, seed: int) -> int:
    """Search without pause; the score of every hit must be the inner product with its own text's vector."""
    encoder = HashEncoder(DIM)
    generator = np.random.default_rng(seed)
    searches = 0
    while time.monotonic() < deadline:
        question = generator.standard_normal((1, DIM)).astype(np.float32)
        where = {"number": {"$lt": 20}} if searches % 3 == 0 else None
        hits = store.search(question, 10, where)[0]
        vectors = encoder.encode_passages([hit.passage for hit in hits])
        expected = (vectors.astype(np.float64) * question[0].astype(np.float64)).sum(axis=1)
        np.testing.assert_allclose([hit.score for hit in hits], expected, rtol=1e-4, atol=1e-4)
        assert len({hit.passage.id for hit in hits}) == len(hits)
        assert where is None or all(hit.passage.metadata["number"] < 20 for hit in hits)
        assert all(hit.passage.text.endswith(f"version {hit.passage.metadata['version']}") for hit in hits)
        searches += 1
    return searches


def write_until(store: PassageStore, deadline: float) -> int:
    """Replace, delete and compact; ids p0 to p199 exist in ever newer versions."""
    choose = random.Random(3)
    version = 0
    while time.monotonic() < deadline:
        version += 1
        store.add([numbered(choose.randrange(200), version) for _ in range(20)])
        if version % 5 == 0:
            store.delete([f"p{choose.randrange(200)}" for _ in range(5)])
        if version % 25 == 0:
            store.optimize(choose.choice(["flat", "hnsw", "ivf-sq8"]))
    return version


def read_in_process(path: Path, seconds: float, seed: int, results: Queue[object]) -> None:
    try:
        with PassageStore.open(path, read_only=True) as store:
            results.put(search_until(store, time.monotonic() + seconds, seed))
    except BaseException as error:
        results.put(repr(error))
        raise


def test_one_writer_eight_threads_and_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    context = multiprocessing.get_context("spawn")
    results: Queue[object] = context.Queue()
    with PassageStore.open(path, encoder=HashEncoder(DIM)) as store:
        store.add([numbered(at, 0) for at in range(200)])
        store.optimize("hnsw")
        processes = [context.Process(target=read_in_process, args=(path, SECONDS, at, results)) for at in range(2)]
        for process in processes:
            process.start()
        deadline = time.monotonic() + SECONDS
        found: list[object] = []

        def run(work: object, *arguments: object) -> None:
            try:
                found.append(work(store, deadline, *arguments))
            except BaseException as error:
                found.append(repr(error))
                raise

        threads = [threading.Thread(target=run, args=(search_until, at)) for at in range(8)]
        threads.append(threading.Thread(target=run, args=(write_until,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.extend(results.get(timeout=300) for _ in processes)
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        assert len(found) == 11
        assert all(isinstance(count, int) and count > 0 for count in found), found
        assert store.check().passages == len(store)


def test_a_forked_child_searches_and_writes_without_harming_its_parent(tmp_path: Path) -> None:
    encoder = HashEncoder(DIM)
    with PassageStore.open(tmp_path / "store", encoder=encoder) as store:
        store.add(make_passages(300))
        store.optimize("hnsw")
        question = encoder.encode_questions(["text number 7"] * 30)
        expected = [hit.passage.id for hit in store.search(question, 5)[0]]
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                same = [hit.passage.id for hit in store.search(question, 5)[0]] == expected
                store.add([Passage("from the child", "a child was here")])
                code = 0 if same and len(store) == 301 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [hit.passage.id for hit in store.search(question, 5)[0]] == expected
        assert store.get(["from the child"])[0].text == "a child was here"
        store.add([Passage("from the parent", "and a parent")])
        assert store.check().passages == 302


@pytest.mark.parametrize("timeout", [3e6, 1e10, 1e300])
def test_a_wait_beyond_what_sqlite_and_locks_can_count_is_the_longest_they_can(tmp_path: Path, timeout: float) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), timeout=timeout) as store:
        store.add(make_passages(2))
        with store._engine.reading() as reader:
            (waited,) = reader.connection.execute("PRAGMA busy_timeout").fetchone()
    assert waited == 2_000_000_000


@pytest.mark.parametrize("timeout", ["5", -1, True, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_is_refused_before_a_folder_is_made(tmp_path: Path, timeout: Any) -> None:
    said = rf"^timeout is {timeout!r}, expected a number of seconds of at least 0$"
    with pytest.raises(StoreError, match=said):
        PassageStore.open(tmp_path / "store", timeout=timeout)
    assert not (tmp_path / "store").exists()
    with PassageStore.open(tmp_path / "other") as store, pytest.raises(StoreError, match=said):
        store.wait_for_compaction(timeout=timeout)


def test_another_writer_is_named_after_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with PassageStore.open(path, encoder=HashEncoder(), timeout=0.2) as store:
        store.add(make_passages(2))
        (held, hold), (released, release) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with PassageStore.open(path, encoder=HashEncoder()) as other, other._engine.writing():
                    os.write(hold, b"x")
                    os.read(released, 1)
            finally:
                os._exit(0)
        os.read(held, 1)
        with pytest.raises(StoreLocked, match=rf"written by process {pid} on .*; waited 0\.2 s"):
            store.add(make_passages(1, 10))
        assert len(store.search(np.ones((1, 16), np.float32), 5)[0]) == 2
        os.write(release, b"x")
        os.waitpid(pid, 0)
        store.add(make_passages(1, 10))
        assert len(store) == 3


def test_a_second_writer_waits_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "store"
    PassageStore.open(path, encoder=HashEncoder()).close()

    def add(start: int) -> None:
        with PassageStore.open(path, encoder=HashEncoder()) as store:
            store.add(make_passages(100, start), batch_size=5)

    threads = [threading.Thread(target=add, args=(start,)) for start in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with PassageStore.open(path) as store:
        assert sorted(int(passage.id) for passage in store) == list(range(400))
        assert store.check().passages == 400


def test_two_writers_of_one_id_leave_one_passage(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        threads = [
            threading.Thread(target=lambda: [store.add([numbered(1, at)]) for at in range(40)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store) == 1
        assert store.check().passages == 1

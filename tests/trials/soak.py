"""A store in use for long: readers of two users beside a writer, and whether anything grows, stays open or gets slower."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import HashEncoder
from test_store_concurrency import DIM, numbered, search_until, write_until
from trials.running import Kind
from trials.worlds import KEEP_FROM

from dpr_rag import PassageStore, Retriever
from dpr_rag.store import lexicon

MINUTES = float(os.environ.get("PROVE_MINUTES_EACH", "1"))
"""Of one trial; the aims are the sum of many, or one long one."""
THREADS, PROCESSES = 8, 4
NOBODY = 65534


def _in_process(path: Path, deadline: float, seed: int, tell: int) -> None:
    """Read until the deadline: every second process as a user who may not write, where this one may become another."""
    told = "0"
    try:
        with PassageStore.temporary(encoder=HashEncoder(DIM)) as own:  # what is imported late may be out of reach then
            own.add([numbered(at, 0) for at in range(30)])
            own.optimize("hnsw")
            search_until(own, time.monotonic() + 0.1, seed)
            Retriever(own, mode="bm25").retrieve("passage")
        if seed % 2 and os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        with PassageStore.open(path, read_only=True) as store:
            told = str(search_until(store, deadline, seed))
    except BaseException:
        told = traceback.format_exc()
    os.write(tell, told.encode())


def crowd(number: int, place: Path) -> dict[str, float]:
    """One writer, eight threads that search in its process and four other processes, two of them of another user."""
    place.chmod(0o755)
    path, deadline = place / "store", time.monotonic() + 60 * MINUTES
    pipes = [os.pipe() for _ in range(PROCESSES)]
    encoder = HashEncoder(DIM)
    with PassageStore.open(path, encoder=encoder) as store:
        store.add([numbered(at, 0) for at in range(200)])
    children = []
    for at, (_, tell) in enumerate(pipes):  # before this process has threads
        if not (pid := os.fork()):
            _in_process(path, deadline, number * 100 + at, tell)
            os._exit(0)
        children.append(pid)
    found: list[Any] = []

    def run(work: Callable[..., int], *arguments: object) -> None:
        try:
            found.append(work(store, deadline, *arguments))
        except BaseException:
            found.append(traceback.format_exc())

    with PassageStore.open(path, encoder=encoder) as store:
        threads = [threading.Thread(target=run, args=(search_until, number * 100 + 50 + at)) for at in range(THREADS)]
        threads.append(threading.Thread(target=run, args=(write_until,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for pid in children:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        told = [os.read(ours, 1 << 16).decode() for ours, _ in pipes]
        for pair in pipes:
            os.close(pair[0])
            os.close(pair[1])
        wrong = [one for one in (*found, *told) if not str(one).isdecimal()]
        assert not wrong, "\n".join(map(str, wrong))
        assert all(int(one) > 0 for one in (*found, *told)), (found, told)
        assert store.check().passages == len(store)
    searches = sum(map(int, told)) + sum(map(int, found))
    return {"minutes": MINUTES, "searches and writes": searches, "of another user": sum(map(int, told[1::2]))}


# --- growth


def _resident() -> float:
    """Memory of this process in MiB, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _round(path: Path, at: int, choose: random.Random, spent: list[float]) -> None:
    """All that a program does with a store in a while, over the same passages, so that the store itself does not grow."""
    encoder = HashEncoder(DIM)
    with PassageStore.open(path, encoder=encoder) as store:
        store.add([numbered(choose.randrange(500), at) for _ in range(30)])
        store.delete([f"p{choose.randrange(500)}" for _ in range(5)])
        questions = np.random.default_rng(at).standard_normal((40, 1, DIM)).astype(np.float32)
        for one in questions:
            begun = time.thread_time()
            store.search(one, 10)
            spent.append(time.thread_time() - begun)
            store.search(one, 10, {"number": {"$lt": 100}})
        Retriever(store, mode="hybrid").retrieve("passage version 3", k=5)
        store.restricted({"number": {"$lt": 50}}).search(questions[0], 5)
        if at % 10 == 0:
            store.optimize(choose.choice(["flat", "hnsw", "ivf-sq8"]))
        if at % 25 == 0:
            store.check()


def growth(number: int, place: Path) -> dict[str, float]:
    """Rounds of everything; the second half may take no more memory, files or time than the first had reached."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    choose = random.Random(f"growth {number}")
    path = place / "store"
    deadline = time.monotonic() + 60 * MINUTES
    warm = time.monotonic() + 60 * MINUTES / 4
    figures: list[tuple[float, int]] = []
    spent: list[float] = []
    at = 0
    while time.monotonic() < deadline or at % 10:
        at += 1
        _round(path, at, choose, spent if time.monotonic() > warm else [])
        if at % 10 == 0 and time.monotonic() > warm:
            figures.append((_resident(), len(os.listdir("/proc/self/fd"))))
    assert len(figures) > 3, "too short to say anything; set PROVE_MINUTES_EACH"
    third = len(figures) // 3
    before, after = max(one for one, _ in figures[:third]), max(one for one, _ in figures[-third:])
    files = {count for _, count in figures}
    part = len(spent) // 3
    early, late = (float(np.percentile(some, 99)) for some in (spent[:part], spent[-part:]))
    told = {"minutes": MINUTES, "rounds": at, "most MiB": after}
    told |= {"most growth in %": 100 * (after / before - 1), "most drift of p99 in %": 100 * (late / early - 1)}
    assert len(files) == 1, f"open files: {sorted(files)}"
    assert after < 1.02 * before, f"memory grew from {before:.1f} to {after:.1f} MiB in {at} rounds"
    assert late < 1.1 * early, f"p99 of a search went from {1e3 * early:.2f} to {1e3 * late:.2f} ms of CPU; {told}"
    return told


CROWD = Kind("crowd", crowd, 60, unit="minutes", seconds=60 * MINUTES + 600)
GROWTH = Kind("growth", growth, 60, unit="minutes", seconds=60 * MINUTES + 600)

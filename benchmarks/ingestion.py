"""Measure a store while it is filled in many calls: how long each call takes, all of them, and searches meanwhile.

    python benchmarks/ingestion.py [--count N] [--dim D] [--call N] [--index KIND] [--pause S] [--limit N]

Vectors lie around random centres. Each step runs in a process of its own and prints one JSON line: everything in one
call and one build, which the rest is held against, and searches with tails of 5 and 20 %; the same in calls; then a tenth
deleted in one call, and a tenth replaced in calls. From the second step on another thread searches, one question every
``--pause`` seconds. Index recall is the overlap of the index's with the exact top 20, by brute force over what was added
until then. Of searches there is told how long they took and how long the processor worked for them (``cpu``), which other
work on the machine moves little. ``--limit`` stands in for the 20,000 passages that are always left in the tail, so that a
small store behaves as a large one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from index_kinds import TEXT, centred, peak, percentiles
from service import processor

from dpr_rag import Passage, PassageStore

try:
    from dpr_rag.store import background_compaction as compaction
except ImportError:  # versions whose add() compacted in the call
    from dpr_rag.store import folding as compaction

K, ASKED, LOOKS = 20, 100, 8


class Searches:
    """One question after another in a thread of its own, and how long each took."""

    def __init__(self, store: PassageStore, questions: np.ndarray, pause: float) -> None:
        self.times: list[float] = []
        self.worked: list[float] = []
        self._store, self._questions, self._pause = store, questions, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        at = 0
        while not self._stop.wait(self._pause):
            start, working = time.perf_counter(), time.thread_time()
            self._store.search(self._questions[at % len(self._questions)][None], K)
            self.worked.append(1000 * (time.thread_time() - working))
            self.times.append(1000 * (time.perf_counter() - start))
            at += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Search while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def told(self) -> dict[str, object]:
        """Percentiles and the longest, in ms."""
        cpu = percentiles(self.worked)
        return {**percentiles(self.times), "max_ms": round(max(self.times), 1), "cpu": cpu, "searches": len(self.times)}


def recall(store: PassageStore, questions: np.ndarray, vectors: np.ndarray, names: np.ndarray) -> float:
    """Share of the exact top 20 that searches bring."""
    best = np.argsort(-(questions @ vectors.T), axis=1)[:, :K]
    found = [{int(hit.passage.id) for hit in line} for line in store.search(questions, K)]
    return float(np.mean([len(one & set(names[at].tolist())) / K for one, at in zip(found, best, strict=True)]))


def settled(store: PassageStore) -> float:
    """Seconds until nothing is built in the background any more."""
    start = time.perf_counter()
    if hasattr(store, "wait_for_compaction"):
        store.wait_for_compaction()
    return time.perf_counter() - start


def quiet(store: PassageStore, questions: np.ndarray, pause: float) -> dict[str, object]:
    """Searches of a store that nobody changes."""
    store.search(questions, K)
    searches = Searches(store, questions, pause)
    with searches.running():
        time.sleep(max(2.0, 300 * pause))
    return searches.told()


def taken(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Work:
    """Seconds of processors that all threads of this process have worked."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self._aside = 0.0

    def leave_out(self, start: float) -> None:
        """Do not count what was done since ``time.process_time()`` was that."""
        self._aside += time.process_time() - start

    def done(self) -> float:
        """How many since the beginning."""
        return round(time.process_time() - self._start - self._aside, 1)


def passages(numbers: range, version: int = 0) -> list[Passage]:
    """Passages of some 500 characters with two fields."""
    return [Passage(str(at), f"{at} {version} {TEXT}", f"title {at % 1000}", {"half": at % 2}) for at in numbers]


def once(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """One add and one build."""
    made = passages(range(len(vectors)))
    with PassageStore.open(path, index="flat") as store:
        work = Work()
        added = taken(lambda: store.add(made, vectors=vectors, batch_size=args.call))
        settled(store)
        adding, work = work.done(), Work()
        built = taken(lambda: store.optimize(args.index))
        told: dict[str, object] = {
            "add_s": round(added, 1),
            "build_s": round(built, 1),
            "cpu_s": [adding, work.done()],
            "kind": store.info().kind,
            "quiet": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors, np.arange(len(vectors))), 4),
        }
        limit_of_tails(len(vectors))
        for share in (0.05, 0.2):
            more = range(len(vectors) + store.info().tail, len(vectors) + int(share * len(vectors)))
            store.add(passages(more), vectors=vectors[: len(more)])
            told[f"tail of {share:.0%}"] = quiet(store, questions, args.pause)
        return told


def limit_of_tails(limit: int) -> None:
    """How many passages a tail holds in any case, in the place of 20,000."""
    compaction.TAIL_LIMIT = limit


def calls(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """The same in calls."""
    times, tails, recalls = [], [], []
    with PassageStore.open(path, index=args.index) as store:
        searches = Searches(store, questions, args.pause)
        look = max(1, len(vectors) // args.call // LOOKS)
        began, work = time.perf_counter(), Work()
        spent = 0.0
        with searches.running():
            for at, start in enumerate(range(0, len(vectors), args.call), 1):
                numbers = range(start, min(start + args.call, len(vectors)))
                made = passages(numbers)
                times.append(taken(lambda: store.add(made, vectors=vectors[numbers], batch_size=args.call)))  # noqa: B023
                tails.append(store.info().tail)
                if at % look == 0:
                    aside, idle = time.perf_counter(), time.process_time()
                    recalls.append(round(recall(store, questions, vectors[: numbers.stop], np.arange(numbers.stop)), 4))
                    spent += time.perf_counter() - aside
                    work.leave_out(idle)
            total = time.perf_counter() - began - spent
            waited = settled(store)
        worked, left = work.done(), store.info()  # the searches, too
        return {
            "calls": len(times),
            "total_s": round(total, 1),
            "until_folded_s": round(total + waited, 1),
            "cpu_s": round(worked - sum(searches.worked) / 1000, 1),
            "call_s": {
                **{f"p{at}": round(float(np.percentile(times, at)), 2) for at in (50, 99)},
                "max": round(max(times), 2),
            },
            "each_call_s": [round(one, 2) for one in times] if len(times) <= 200 else "",
            "largest_tail": max(tails),
            "tail": left.tail,
            "kind": left.kind,
            "meanwhile": searches.told(),
            "quiet": quiet(store, questions, args.pause),
            "index_recall_at_20": recalls,
            "in_the_end": round(recall(store, questions, vectors, np.arange(len(vectors))), 4),
            "peak_mib": peak(),
        }


def changes(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """A tenth deleted in one call, and a tenth replaced in calls."""
    tenth = len(vectors) // 10
    told: dict[str, object] = {}
    with PassageStore.open(path) as store:
        store.search(questions, K)
        gone = np.arange(0, 10 * tenth, 10)
        searches = Searches(store, questions, args.pause)
        with searches.running():
            took = taken(lambda: store.delete([str(at) for at in gone]))
            waited = settled(store)
        kept = np.setdiff1d(np.arange(len(vectors)), gone)
        told["delete"] = {
            "passages": len(gone),
            "s": round(took, 1),
            "until_folded_s": round(took + waited, 1),
            "meanwhile": searches.told(),
            "after": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors[kept], kept), 4),
        }
        again = kept[:tenth]
        moved = np.roll(vectors[again], 1, axis=0)
        searches = Searches(store, questions, args.pause)
        times = []
        with searches.running():
            for start in range(0, len(again), args.call):
                part = again[start : start + args.call]
                made = [passages(range(at, at + 1), 1)[0] for at in part.tolist()]
                times.append(
                    taken(lambda: store.add(made, vectors=moved[start : start + len(part)], batch_size=args.call))  # noqa: B023
                )
            waited = settled(store)
        vectors = vectors.copy()
        vectors[again] = moved
        info = store.info()
        told["replace"] = {
            "passages": len(again),
            "s": round(sum(times), 1),
            "until_folded_s": round(sum(times) + waited, 1),
            "longest_call_s": round(max(times), 2),
            "meanwhile": searches.told(),
            "after": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors[kept], kept), 4),
            "base": info.base,
            "tail": info.tail,
            "deleted": info.deleted,
        }
        store.check()
    return told


STEPS = {"once": once, "calls": calls, "changes": changes}


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--call", type=int, default=5_000, help="passages per call")
    parser.add_argument("--index", default="auto")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two questions")
    parser.add_argument("--limit", type=int, default=20_000, help="passages that a tail holds in any case")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        limit_of_tails(args.limit)
        vectors, questions = centred(args.count, args.dim, 1), centred(ASKED, args.dim, 3)
        path = args.folder / ("once" if args.step == "once" else "store")
        print(json.dumps({"step": args.step, **STEPS[args.step](path, vectors, questions, args)}), flush=True)
        return
    asked = {name: getattr(args, name) for name in ("count", "dim", "call", "index", "pause", "limit")}
    machine = {"cpu": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
    print(json.dumps({"python": platform.python_version(), **machine, **asked}), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dpr-rag-bench-"))
    try:
        for step in args.steps.split(","):
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder), "--step", step], check=True
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

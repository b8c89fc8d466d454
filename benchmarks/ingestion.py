"""Measure a store while it is filled in many calls: the time of each call, of all of them, and of searches meanwhile.

    python benchmarks/ingestion.py [--count N] [--dim D] [--call N] [--index KIND] [--pause S] [--limit N]

Vectors lie around random centres. Each step runs in a process of its own and prints one JSON line. ``once`` is the baseline: all
passages in one call and one build, and searches with tails of 5 and 20 %. ``calls`` adds the same in calls, ``changes`` deletes
a tenth in one call and replaces a tenth in calls; in both, another thread searches, a question every ``--pause`` seconds.
Index recall is the overlap of the index's with the exact top 20, by brute force over the passages added so far. Searches
have wall-clock times and CPU times (``cpu``), which other work on the machine affects little. ``--limit`` replaces
the 20,000 passages that are always left in the tail, so that a small store behaves as a large one.
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
    """Searches in a background thread, one question after another, with the times of each in ms."""

    def __init__(self, store: PassageStore, questions: np.ndarray, pause: float) -> None:
        self.times: list[float] = []
        self.worked: list[float] = []
        self._store, self._questions, self._pause = store, questions, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(self._pause):
            start, cpu_start = time.perf_counter(), time.thread_time()
            self._store.search(self._questions[number % len(self._questions)][None], K)
            self.worked.append(1000 * (time.thread_time() - cpu_start))
            self.times.append(1000 * (time.perf_counter() - start))
            number += 1

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
        """Percentiles and maximum of the times in ms, and the number of searches."""
        cpu = percentiles(self.worked)
        return {**percentiles(self.times), "max_ms": round(max(self.times), 1), "cpu": cpu, "searches": len(self.times)}


def recall(store: PassageStore, questions: np.ndarray, vectors: np.ndarray, ids: np.ndarray) -> float:
    """Index recall at 20: the share of the exact top 20 that searches return; ``ids`` are those of the vectors."""
    exact = np.argsort(-(questions @ vectors.T), axis=1)[:, :K]
    hits = [{int(hit.passage.id) for hit in row} for row in store.search(questions, K)]
    return float(np.mean([len(row & set(ids[top].tolist())) / K for row, top in zip(hits, exact, strict=True)]))


def settled(store: PassageStore) -> float:
    """Wait until nothing is built in the background any more; returns the seconds that took."""
    start = time.perf_counter()
    if hasattr(store, "wait_for_compaction"):
        store.wait_for_compaction()
    return time.perf_counter() - start


def quiet(store: PassageStore, questions: np.ndarray, pause: float) -> dict[str, object]:
    """Times of searches in a store that is not written to."""
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
    """Measures the seconds of processor time of all threads of this process."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self._excluded = 0.0

    def leave_out(self, cpu_start: float) -> None:
        """Exclude the processor time since ``cpu_start``, a value of ``time.process_time()``."""
        self._excluded += time.process_time() - cpu_start

    def done(self) -> float:
        """Seconds of processor time since the start, without those excluded."""
        return round(time.process_time() - self._start - self._excluded, 1)


def passages(numbers: range, version: int = 0) -> list[Passage]:
    """Passages of some 500 characters with two fields."""
    return [Passage(str(at), f"{at} {version} {TEXT}", f"title {at % 1000}", {"half": at % 2}) for at in numbers]


def once(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """Add all passages in one call and build the index once; then search with tails of two sizes."""
    batch = passages(range(len(vectors)))
    with PassageStore.open(path, index="flat") as store:
        work = Work()
        add_seconds = taken(lambda: store.add(batch, vectors=vectors, batch_size=args.call))
        settled(store)
        add_cpu, work = work.done(), Work()
        build_seconds = taken(lambda: store.optimize(args.index))
        figures: dict[str, object] = {
            "add_s": round(add_seconds, 1),
            "build_s": round(build_seconds, 1),
            "cpu_s": [add_cpu, work.done()],
            "kind": store.info().kind,
            "quiet": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors, np.arange(len(vectors))), 4),
        }
        limit_of_tails(len(vectors))
        for share in (0.05, 0.2):
            numbers = range(len(vectors) + store.info().tail, len(vectors) + int(share * len(vectors)))
            store.add(passages(numbers), vectors=vectors[: len(numbers)])
            figures[f"tail of {share:.0%}"] = quiet(store, questions, args.pause)
        return figures


def limit_of_tails(limit: int) -> None:
    """Set the number of passages that are always left in a tail, in place of 20,000."""
    compaction.TAIL_LIMIT = limit


def calls(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """Add the same passages in calls of ``--call`` passages, with searches meanwhile."""
    times, tails, recalls = [], [], []
    with PassageStore.open(path, index=args.index) as store:
        searches = Searches(store, questions, args.pause)
        interval = max(1, len(vectors) // args.call // LOOKS)
        total_start, work = time.perf_counter(), Work()
        recall_seconds = 0.0
        with searches.running():
            for call_number, start in enumerate(range(0, len(vectors), args.call), 1):
                numbers = range(start, min(start + args.call, len(vectors)))
                batch = passages(numbers)
                times.append(taken(lambda: store.add(batch, vectors=vectors[numbers], batch_size=args.call)))  # noqa: B023
                tails.append(store.info().tail)
                if call_number % interval == 0:
                    recall_start, cpu_start = time.perf_counter(), time.process_time()
                    recalls.append(round(recall(store, questions, vectors[: numbers.stop], np.arange(numbers.stop)), 4))
                    recall_seconds += time.perf_counter() - recall_start
                    work.leave_out(cpu_start)
            total = time.perf_counter() - total_start - recall_seconds
            compaction_seconds = settled(store)
        cpu_seconds, info = work.done(), store.info()  # the searches, too
        return {
            "calls": len(times),
            "total_s": round(total, 1),
            "until_folded_s": round(total + compaction_seconds, 1),
            "cpu_s": round(cpu_seconds - sum(searches.worked) / 1000, 1),
            "call_s": {
                **{f"p{percent}": round(float(np.percentile(times, percent)), 2) for percent in (50, 99)},
                "max": round(max(times), 2),
            },
            "each_call_s": [round(seconds, 2) for seconds in times] if len(times) <= 200 else "",
            "largest_tail": max(tails),
            "tail": info.tail,
            "kind": info.kind,
            "meanwhile": searches.told(),
            "quiet": quiet(store, questions, args.pause),
            "index_recall_at_20": recalls,
            "in_the_end": round(recall(store, questions, vectors, np.arange(len(vectors))), 4),
            "peak_mib": peak(),
        }


def changes(path: Path, vectors: np.ndarray, questions: np.ndarray, args: argparse.Namespace) -> dict[str, object]:
    """Delete a tenth of the passages in one call, and replace a tenth in calls."""
    tenth = len(vectors) // 10
    figures: dict[str, object] = {}
    with PassageStore.open(path) as store:
        store.search(questions, K)
        deleted = np.arange(0, 10 * tenth, 10)
        searches = Searches(store, questions, args.pause)
        with searches.running():
            delete_seconds = taken(lambda: store.delete([str(number) for number in deleted]))
            compaction_seconds = settled(store)
        remaining = np.setdiff1d(np.arange(len(vectors)), deleted)
        figures["delete"] = {
            "passages": len(deleted),
            "s": round(delete_seconds, 1),
            "until_folded_s": round(delete_seconds + compaction_seconds, 1),
            "meanwhile": searches.told(),
            "after": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors[remaining], remaining), 4),
        }
        replaced = remaining[:tenth]
        rolled = np.roll(vectors[replaced], 1, axis=0)
        searches = Searches(store, questions, args.pause)
        times = []
        with searches.running():
            for start in range(0, len(replaced), args.call):
                ids = replaced[start : start + args.call]
                batch = [passages(range(number, number + 1), 1)[0] for number in ids.tolist()]
                times.append(
                    taken(lambda: store.add(batch, vectors=rolled[start : start + len(ids)], batch_size=args.call))  # noqa: B023
                )
            compaction_seconds = settled(store)
        vectors = vectors.copy()
        vectors[replaced] = rolled
        info = store.info()
        figures["replace"] = {
            "passages": len(replaced),
            "s": round(sum(times), 1),
            "until_folded_s": round(sum(times) + compaction_seconds, 1),
            "longest_call_s": round(max(times), 2),
            "meanwhile": searches.told(),
            "after": quiet(store, questions, args.pause),
            "index_recall_at_20": round(recall(store, questions, vectors[remaining], remaining), 4),
            "base": info.base,
            "tail": info.tail,
            "deleted": info.deleted,
        }
        store.check()
    return figures


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
    options = {name: getattr(args, name) for name in ("count", "dim", "call", "index", "pause", "limit")}
    machine = {"cpu": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
    print(json.dumps({"python": platform.python_version(), **machine, **options}), flush=True)
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

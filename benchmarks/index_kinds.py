"""Measure a store per index kind: inserts, build, reopening, latency, index recall, memory, adding, filters.

    python benchmarks/index_kinds.py [--count N] [--vectors FILE.npy] [--questions FILE.npy] [--kinds flat,hnsw] [--filters]

Vectors are real where ``--vectors`` names some; further ones up to ``--count`` are grown from them: a random one plus
Gaussian noise of length ``--noise`` times its own, scaled back to its length, so that clusters keep their places and
neighbourhoods stay crowded. Without ``--vectors`` all lie around random centres. Every step runs in a process of its own
and prints one JSON line: first the inserts, then each kind.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dpr_rag import Passage, PassageStore

TEXT = "The quick brown fox jumps over the lazy dog while a passage of about a hundred words would go on. " * 5
KINDS = "flat,hnsw,ivf,ivf-sq8,ivf-rabitq"
SHARES = (1 / 2, 1 / 10, 1 / 100, 1 / 1000, 1 / 10_000, 1 / 100_000)
MORE = 1000
FILTERED = 60


def grow(real: np.ndarray, count: int, noise: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ``count`` vectors in blocks: the real ones first, then noisy copies of random ones."""
    generator = np.random.default_rng(seed)
    yield real[:count]
    for start in range(len(real), count, 10_000):
        size = min(10_000, count - start)
        origin = real[generator.integers(0, len(real), size)]
        lengths = np.linalg.norm(origin, axis=1, keepdims=True)
        step = generator.standard_normal(origin.shape).astype(np.float32)
        noisy = origin + noise * lengths * step / np.linalg.norm(step, axis=1, keepdims=True)
        yield noisy * lengths / np.linalg.norm(noisy, axis=1, keepdims=True)


def centred(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors around 300 random centres."""
    centres = np.random.default_rng(7).standard_normal((300, dim))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, 300, count)] + generator.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def peak() -> int:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def anonymous() -> int | None:
    """Anonymous memory of this process in MiB; None where the system does not report it."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("Anonymous:"))


def milliseconds(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def percentiles(values: list[float]) -> dict[str, float]:
    """The 50th and the 99th percentile of values in ms."""
    return {f"p{percent}_ms": round(float(np.percentile(values, percent)), 2) for percent in (50, 99)}


def made(number: int) -> Passage:
    """A passage whose field ``share`` is spread evenly over [0, 1) and unrelated to its number."""
    return Passage(str(number), f"{number} {TEXT}", "title", {"share": (number * 2_654_435_761 % 2**32) / 2**32})


def fill(path: Path, args: argparse.Namespace) -> dict[str, object]:
    """Add all vectors in durable calls; returns the rate and the memory used."""
    real = np.load(args.vectors, mmap_mode="r") if args.vectors else centred(min(args.count, 50_000), args.dim, 1)
    before, start = peak(), time.perf_counter()
    number, seconds = 0, 0.0
    with PassageStore.open(path, index="flat") as store:
        for block in grow(real, args.count, args.noise, 2):
            passages = [made(at) for at in range(number, number + len(block))]
            number += len(block)
            block_start = time.perf_counter()
            for offset in range(0, len(block), MORE):
                # one call per 1,000, as a service would: each is durable when it returns
                store.add(passages[offset : offset + MORE], vectors=block[offset : offset + MORE], batch_size=MORE)
            seconds += time.perf_counter() - block_start
    return {
        "passages": number,
        "dim": real.shape[1],
        "real_vectors": min(len(real), args.count),
        "inserts_per_second_with_compaction": round(number / seconds),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": peak(),
        "peak_mib_before": before,
    }


def filtered(store: PassageStore, questions: np.ndarray) -> list[dict[str, object]]:
    """Latency of the first and of repeated use of filters by the share they keep, and index recall against exact search."""
    rows = []
    for share in SHARES:
        condition = {"share": {"$lt": share}}
        first = milliseconds(lambda condition=condition: store.search(questions[:1], 20, condition))  # type: ignore[misc]
        times, overlap, expected = [], 0, 0
        for question in questions[:FILTERED]:
            start = time.perf_counter()
            hits = store.search(question[None], 20, condition)[0]
            times.append(1000 * (time.perf_counter() - start))
            exact = {hit.passage.id for hit in store.search(question[None], 20, condition, exact=True)[0]}
            overlap += len(exact & {hit.passage.id for hit in hits})
            expected += len(exact)
        recall = round(overlap / expected, 4) if expected else None
        rows.append({"share": share, "first_ms": round(first, 1), **percentiles(times), "index_recall_at_20": recall})
    return rows


def adding(store: PassageStore, questions: np.ndarray) -> dict[str, object]:
    """Time adding further passages until the last of them is found, then delete them."""
    vectors = np.random.default_rng(5).permutation(np.tile(questions, (-(-MORE // len(questions)), 1)))[:MORE]
    passages = [Passage(f"more {at}", TEXT) for at in range(MORE)]
    start = time.perf_counter()
    store.add(passages, vectors=vectors, batch_size=MORE)
    ids = {hit.passage.id for hit in store.search(vectors[-1:], 20)[0]}
    seconds = time.perf_counter() - start
    if not any(passage_id.startswith("more ") for passage_id in ids):
        sys.exit("what was added is not found")
    tail = store.info().tail
    store.delete([passage.id for passage in passages])
    return {"add_1000_to_answer_ms": round(1000 * seconds, 1), "tail": tail}


def measure(path: Path, kind: str, args: argparse.Namespace) -> dict[str, object]:
    """Build one kind in a process of its own, then measure it in this one."""
    if args.build:
        before = peak()
        start = time.perf_counter()
        with PassageStore.open(path) as store:
            store.optimize(kind)
        return {"build_s": round(time.perf_counter() - start, 1), "build_peak_mib": peak(), "peak_mib_before": before}
    build_figures = json.loads(
        subprocess.run([sys.executable, *sys.argv, "--build"], check=True, capture_output=True, text=True).stdout
    )
    questions = np.load(args.questions)[:400] if args.questions else centred(400, args.dim, 3)
    warm_up, questions = questions[:100], questions[100:]
    start = time.perf_counter()
    store = PassageStore.open(path)
    store.search(warm_up[:1], 20)
    reopened = 1000 * (time.perf_counter() - start)
    for question in warm_up:
        store.search(question[None], 20)
    times = [milliseconds(lambda question=question: store.search(question[None], 20)) for question in questions]  # type: ignore[misc]
    memory, info = anonymous(), store.info()
    figures: dict[str, object] = {
        "asked_for": kind,
        "kind": info.kind,
        "passages": info.passages,
        "dim": info.dim,
        "parameters": info.parameters,
        **build_figures,
        "reopen_to_first_answer_ms": round(reopened, 1),
        **percentiles(times),
        "index_recall_at_20": round(store.measure_index_recall(questions, k=20), 4),
        "anonymous_mib": memory,
        "index_mib": sum(file.stat().st_size for file in path.rglob("faiss")) >> 20,
        "mib_on_disk": info.bytes_on_disk >> 20,
    }
    if args.filters and kind == "auto":
        figures["filters"] = filtered(store, questions)
    figures |= adding(store, questions)
    store.close()
    return figures


def main() -> None:
    """Run every step in a process of its own and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--vectors")
    parser.add_argument("--questions")
    parser.add_argument("--noise", type=float, default=0.6)
    parser.add_argument("--kinds", default=KINDS)
    parser.add_argument(
        "--filters", action="store_true", help="measure filters over auto too, which takes an exact scan a question"
    )
    parser.add_argument("--store", type=Path, help="keep the store here; one that is there is measured as it is")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        figures = fill(args.store, args) if args.step == "fill" else measure(args.store, args.step, args)
        print(json.dumps(figures))
        return
    print(json.dumps({"python": platform.python_version(), "machine": platform.processor() or platform.machine()}))
    folder = Path(tempfile.mkdtemp(prefix="dpr-rag-bench-"))
    store = args.store or folder / "store"
    steps = args.kinds.split(",")
    try:
        for step in steps if store.exists() else ["fill", *steps]:
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--store", str(store), "--step", step], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

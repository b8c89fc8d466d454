"""Measure a store per index kind: durable inserts, build time, latency, index recall, time to reopen, memory.

    python benchmarks/index_kinds.py [--count N] [--vectors FILE.npy] [--questions FILE.npy] [--kinds flat,hnsw]

Vectors are real where ``--vectors`` names some; further ones up to ``--count`` are grown from them: a random one plus
Gaussian noise of length ``--noise`` times its own, scaled back to its length, so that clusters keep their places and
neighbourhoods stay crowded. Without ``--vectors`` all lie around random centres. Every kind runs in a process of its own.
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
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dpr_rag import Passage, PassageStore

TEXT = "The quick brown fox jumps over the lazy dog while a passage of about a hundred words would go on. " * 5
KINDS = "flat,hnsw,ivf,ivf-sq8,ivf-rabitq"


def grow(real: np.ndarray, count: int, noise: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ``count`` vectors in blocks: the real ones first, then noisy copies of random ones."""
    generator = np.random.default_rng(seed)
    yield real[:count]
    for start in range(len(real), count, 10_000):
        size = min(10_000, count - start)
        origin = real[generator.integers(0, len(real), size)]
        lengths = np.linalg.norm(origin, axis=1, keepdims=True)
        step = generator.standard_normal(origin.shape).astype(np.float32)
        moved = origin + noise * lengths * step / np.linalg.norm(step, axis=1, keepdims=True)
        yield moved * lengths / np.linalg.norm(moved, axis=1, keepdims=True)


def centred(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors around 300 random centres."""
    centres = np.random.default_rng(7).standard_normal((300, dim))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, 300, count)] + generator.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def peak() -> int:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fill(path: Path, args: argparse.Namespace) -> dict[str, object]:
    """Add all vectors durably and say how fast, in how much memory."""
    real = np.load(args.vectors, mmap_mode="r") if args.vectors else centred(min(args.count, 50_000), args.dim, 1)
    before, start = peak(), time.perf_counter()
    number, spent = 0, 0.0
    with PassageStore.open(path, index="flat") as store:
        for block in grow(real, args.count, args.noise, 2):
            passages = [
                Passage(str(at), f"{at} {TEXT}", "title", {"n": at}) for at in range(number, number + len(block))
            ]
            number += len(block)
            began = time.perf_counter()
            for at in range(0, len(block), 1000):
                # one call per 1,000, as a service would: each is durable when it returns
                store.add(passages[at : at + 1000], vectors=block[at : at + 1000], batch_size=1000)
            spent += time.perf_counter() - began
    return {
        "passages": number,
        "real_vectors": min(len(real), args.count),
        "inserts_per_second_with_folding": round(number / spent),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": peak(),
        "peak_mib_before": before,
    }


def measure(path: Path, kind: str, args: argparse.Namespace) -> dict[str, object]:
    """Build one kind and measure it."""
    start = time.perf_counter()
    with PassageStore.open(path) as store:
        store.optimize(kind)
    built = time.perf_counter() - start
    build_peak = peak()
    questions = np.load(args.questions)[:300] if args.questions else centred(300, args.dim, 3)
    start = time.perf_counter()
    store = PassageStore.open(path)
    store.search(questions[:1], 20)
    reopened = time.perf_counter() - start
    times = []
    for question in questions:
        began = time.perf_counter()
        store.search(question[None], 20)
        times.append(1000 * (time.perf_counter() - began))
    recall = store.measure_index_recall(questions, k=20)
    info = store.info()
    store.close()
    return {
        "kind": info.kind,
        "parameters": info.parameters,
        "build_s": round(built, 1),
        "build_peak_mib": build_peak,
        "reopen_to_first_answer_ms": round(1000 * reopened, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "index_recall_at_20": round(recall, 4),
        "mib_on_disk": info.bytes_on_disk >> 20,
    }


def main() -> None:
    """Run every step in a process of its own and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--vectors")
    parser.add_argument("--questions")
    parser.add_argument("--noise", type=float, default=0.6)
    parser.add_argument("--kinds", default=KINDS)
    parser.add_argument("--quick", action="store_true", help="20,000 vectors of 128 dimensions")
    parser.add_argument("--store", type=Path, help="keep the store here")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.count, args.dim = 20_000, 128
    if args.step:
        done = fill(args.store, args) if args.step == "fill" else measure(args.store, args.step, args)
        print(json.dumps(done))
        return
    print(json.dumps({"python": platform.python_version(), "machine": platform.processor() or platform.machine()}))
    folder = Path(tempfile.mkdtemp(prefix="dpr-rag-bench-"))
    store = args.store or folder / "store"
    try:
        for step in ["fill", *args.kinds.split(",")]:
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--store", str(store), "--step", step], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

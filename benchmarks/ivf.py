"""Measure inverted files over many vectors: seconds of training and filling, index recall at 10 by clusters probed.

    python benchmarks/ivf.py --vectors FOLDER --questions FILE.npy --count 1000000,5000000 --arms 100000,grown

``--vectors`` is a folder of float32 ``*.npy`` files with vectors of real passages, ``--questions`` holds vectors of real
questions; without them both lie around random centres. As many as ``--count`` says are grown from the real ones: a real
vector plus a Gaussian step whose covariance is that of the real vector's 32 nearest neighbours (the sum of their offsets
from their mean, each times a normal number, over the square root of 32) times ``--step``, then scaled to the length of the
real one. So grown vectors lie where real ones do, spread in the directions in which neighbours differ. ``--step`` is such that an
eighth of the real vectors, grown back to their number, is about as dense and as wide as they are; the program prints
the intrinsic dimension (maximum likelihood, Levina and Bickel 2004, over 20 neighbours) of both and the distances of neighbours.

An arm is ``grown`` (the library's own training, whose sample grows with the clusters) or a number of vectors that FAISS
trains with at once, 100,000 of which was the rule before; behind a colon, ``nlist=…`` and ``quantizer=HNSW32`` choose
other clusters. With ``--train-only`` the indexes are not filled, which takes hours for many vectors; instead of index recall it
prints the share of the exact top 10 that lies in the clusters probed. Every line names the CPU and the load of the machine; times
measured beside other work compare poorly. Vectors, exact answers and indexes are kept in ``--state`` (git ignores ``.bench/``)
and used again; figures are appended to ``figures.jsonl`` there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.index import ann
from dpr_rag.index.building import Written, finish_base, write_vectors
from dpr_rag.index.kinds import Plan, plan
from dpr_rag.index.library import import_faiss
from dpr_rag.index.matrix import Matrix
from dpr_rag.index.search import Selection, search_segment
from dpr_rag.index.segments import ROWS, SUMS, VECTORS, Base, Manifest
from dpr_rag.index.training import Source, train

NEIGHBOURS, BLOCK = 32, 8192
SHARES = (1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8)


def processor() -> str:
    """The model of the CPU, or the platform's name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def nearest(vectors: np.ndarray, k: int, candidates: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances and rows of the k nearest candidates of each vector except itself, both of shape [n, k]."""
    faiss = import_faiss()
    candidates = vectors if candidates is None else candidates
    distances, places = faiss.knn(vectors, candidates, k + 1)
    return distances[:, 1:], places[:, 1:]


def grown(real: np.ndarray, count: int, step: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ``count`` vectors in blocks: the real ones, then copies moved by random sums of their neighbours' offsets."""
    generator = np.random.default_rng(seed)
    _, places = nearest(real, NEIGHBOURS)
    yield real[:count]
    counts = np.full(len(real), max(0, count - len(real)) // len(real))
    counts[: (count - len(real)) % len(real)] += count > len(real)
    pending: list[np.ndarray] = []
    for vector, neighbours, copies in zip(real, places, counts, strict=True):
        offsets = real[neighbours] - real[neighbours].mean(axis=0)
        weights = generator.standard_normal((copies, NEIGHBOURS), np.float32) * np.float32(step / NEIGHBOURS**0.5)
        block = vector + weights @ offsets
        pending.append(block * (np.linalg.norm(vector) / np.linalg.norm(block, axis=1, keepdims=True)))
        if sum(map(len, pending)) >= BLOCK:
            yield np.concatenate(pending)
            pending = []
    if pending:
        yield np.concatenate(pending)


def dimension(vectors: np.ndarray, k: int = 20) -> dict[str, float]:
    """Intrinsic dimension around 500 of the vectors, and relative distances of their nearest and 11th neighbours."""
    sample = np.random.default_rng(3).choice(len(vectors), 500, replace=False)
    distances, _ = nearest(vectors[sample], k, vectors)
    distances = np.sqrt(np.maximum(distances, 1e-12))
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)
    lengths = np.linalg.norm(vectors[sample], axis=1)
    near, far = (round(float(np.median(distances[:, at] / lengths)), 3) for at in (0, k // 2))
    return {"dimension": round(float(1 / inverse.mean()), 1), "nearest": near, f"at_{k // 2 + 1}": far}


def centred(count: int, dim: int, seed: int) -> np.ndarray:
    """Vectors around 300 random centres."""
    centres = np.random.default_rng(7).standard_normal((300, dim))
    generator = np.random.default_rng(seed)
    return (centres[generator.integers(0, 300, count)] + generator.standard_normal((count, dim))).astype(np.float32)


def loaded(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Real vectors of passages and of questions, float32."""
    if args.vectors is None:
        return centred(20_000, args.dim, 1), centred(args.asked, args.dim, 2)
    parts = [np.load(path) for path in sorted(args.vectors.glob("*.npy"))]
    return np.concatenate(parts)[: args.real], np.load(args.questions)[: args.asked]


def prepared(folder: Path, count: int, args: argparse.Namespace) -> Written:
    """Vectors on disk as a segment holds them, written unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "norms.npy").exists():
        real, _ = loaded(args)
        start, next_row = time.perf_counter(), 1

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            nonlocal next_row
            for block in grown(real, count, args.step, 2):
                yield np.arange(next_row, next_row + len(block)), block.astype(np.float32)
                next_row += len(block)

        written = write_vectors(folder, blocks(), dim=real.shape[1], dtype="float16")
        say(args, {"vectors": count, "real_vectors": len(real), "seconds": seconds(start), **likeness(real, args.step)})
        np.save(folder / "norms.npy", written.norms)
    rows = np.fromfile(folder / ROWS, "<i8")
    sums = np.fromfile(folder / SUMS, "<u8").astype(np.uint64)
    dim = (folder / VECTORS).stat().st_size // len(rows) // 2
    matrix = Matrix(folder / VECTORS, sums, dim=dim, count=len(rows), dtype="float16")
    return Written(rows, matrix, np.load(folder / "norms.npy"))


def likeness(real: np.ndarray, step: float) -> dict[str, dict[str, float]]:
    """Intrinsic dimension and distances of the real vectors, and of as many that were grown from an eighth of them."""
    sample = real[np.random.default_rng(4).permutation(len(real))[: len(real) // 8]]
    return {"real": dimension(real), "grown": dimension(np.concatenate(list(grown(sample, len(real), step, 5))))}


def seconds(start: float) -> float:
    """Seconds since ``start``, a value of ``time.perf_counter()``."""
    return round(time.perf_counter() - start, 1)


def used(cpu_start: float) -> dict[str, float]:
    """Seconds of all cores since ``cpu_start``, and the peak memory of this process in MiB, mapped files included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"core_s": round(time.process_time() - cpu_start, 1), "peak_mib": peak}


def say(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Print figures as one JSON line and append it to ``figures.jsonl``."""
    line = json.dumps({**figures, "cpu": processor(), "load": round(os.getloadavg()[0], 1)})
    print(line, flush=True)
    with (args.state / "figures.jsonl").open("a") as file:
        file.write(line + "\n")


def answers(folder: Path, matrix: Matrix, norm: float, questions: np.ndarray) -> np.ndarray:
    """Rows of the exact top 10 of each question, of shape [n, 10], searched once; rows count from 1."""
    path = folder / "answers.npy"
    if not path.exists():
        dim, count = matrix.dim, matrix.count
        manifest = Manifest("", 1, plan("flat", passages=count, dim=dim), dim, "float16", count, count, norm, {})
        base = Base.__new__(Base)  # with its matrix alone: other files need not be there
        base.manifest, base.matrix, base.ann, base.rows = manifest, matrix, None, np.arange(1, count + 1)
        results = search_segment(base, questions, 10, Selection.everything(count), exact=True)
        np.save(path, np.array([rows for rows, _ in results]))
    return np.load(path)


def built(folder: Path, written: Written, arm: str, args: argparse.Namespace) -> Manifest:
    """The index of an arm beside links to the vectors, built unless it is there."""
    arm_folder = folder / arm.replace(":", "-")
    record = arm_folder / "manifest.json"
    if record.exists():
        return Manifest.from_json(json.loads(record.read_text()))
    arm_folder.mkdir(exist_ok=True)
    for name in (VECTORS, ROWS, SUMS):
        if not (arm_folder / name).exists():
            (arm_folder / name).hardlink_to(folder / name)
    assert written.matrix is not None
    sample_size, _, settings = arm.partition(":")
    parameters = dict(setting.split("=") for setting in settings.split(",") if setting)
    nlist = f":nlist={parameters['nlist']}" if "nlist" in parameters else ""
    index_plan: Plan = plan(f"{args.kind}{nlist}", passages=written.matrix.count, dim=written.matrix.dim)
    if "quantizer" in parameters:
        clusters, _, code = index_plan.factory.partition(",")
        index_plan = replace(index_plan, factory=f"{clusters}_{parameters['quantizer']},{code}")
    training_seconds = 0.0

    def timed_train(index: Any, source: Source) -> None:
        nonlocal training_seconds
        start = time.perf_counter()
        if sample_size == "grown":
            train(index, source)
        else:
            index.train(source.matrix.take(source.drawn(int(sample_size))))
        training_seconds = seconds(start)

    ann.train = timed_train  # type: ignore[assignment]
    start, cpu = time.perf_counter(), time.process_time()
    manifest = finish_base(arm_folder, written, index_plan, generation=1, dtype="float16")
    figures = {"factory": index_plan.factory, "build_s": seconds(start), "training_s": training_seconds, **used(cpu)}
    say(args, {"count": manifest.count, "arm": arm, **figures})
    record.write_text(json.dumps(asdict(manifest)))
    return manifest


def trained_only(folder: Path, written: Written, arm: str, questions: np.ndarray, args: argparse.Namespace) -> None:
    """Train an arm's clusters, and print the share of the exact top 10 that lies in the clusters probed.

    That is index recall except for the loss by a quantizer, without comparing all vectors with all centroids. The share of
    vectors in the clusters probed is estimated from 100,000.
    """
    assert written.matrix is not None
    source, faiss = Source(written.matrix), import_faiss()
    index_plan = plan(args.kind, passages=written.matrix.count, dim=written.matrix.dim)
    path = folder / f"centroids-{arm}.npy"
    if not path.exists():
        index = faiss.index_factory(written.matrix.dim, index_plan.factory, faiss.METRIC_INNER_PRODUCT)
        start, cpu_start = time.perf_counter(), time.process_time()
        if arm == "grown":
            train(index, source)
        else:
            index.train(source.matrix.take(source.drawn(int(arm))))
        figures = {"factory": index_plan.factory, "training_s": seconds(start), **used(cpu_start)}
        say(args, {"count": written.matrix.count, "arm": arm, **figures})
        np.save(path, index.quantizer.reconstruct_n(0, index.nlist))
    centres = np.load(path)
    exact = answers(folder, written.matrix, written.norm, questions)
    flat = faiss.IndexFlatIP(centres.shape[1])
    flat.add(centres)
    answer_clusters = flat.search(source.matrix.take(exact.ravel() - 1), 1)[1].reshape(exact.shape)
    sizes = np.bincount(flat.search(source.matrix.take(source.drawn(100_000)), 1)[1][:, 0], minlength=len(centres))
    order = flat.search(questions, len(centres))[1]
    for share in SHARES:
        probed = order[:, : max(1, int(len(centres) * share))]
        shares = [np.isin(clusters, probes).mean() for clusters, probes in zip(answer_clusters, probed, strict=True)]
        figures = {"nlist": len(centres), "nprobe": probed.shape[1], "top_10_probed": round(float(np.mean(shares)), 4)}
        scanned = round(float(sizes[probed].sum(axis=1).mean() / sizes.sum()), 4)
        say(args, {"count": written.matrix.count, "arm": arm, **figures, "compared_share": scanned})


def measured(folder: Path, manifest: Manifest, arm: str, questions: np.ndarray, args: argparse.Namespace) -> None:
    """Index recall at 10 and latency of a question, by the share of clusters probed."""
    base = Base(folder / arm.replace(":", "-"), manifest)
    selection = Selection.everything(len(base.rows))
    exact = answers(folder, base.matrix, base.norm, questions)
    nlist = int(base.ann.inmost.nlist) if base.ann is not None else 0
    for share in SHARES:
        probed = replace(manifest.plan, parameters={**manifest.plan.parameters, "nprobe": max(1, int(nlist * share))})
        base = Base(folder / arm.replace(":", "-"), replace(manifest, plan=probed))
        search_segment(base, questions[:20], 10, selection)
        times, overlap = [], 0
        for question, expected in zip(questions, exact, strict=True):
            start = time.perf_counter()
            ((rows, _),) = search_segment(base, question[None], 10, selection)
            times.append(1000 * (time.perf_counter() - start))
            overlap += len(set(rows.tolist()) & set(expected.tolist()))
        figures = {"nlist": nlist, "nprobe": probed.parameters["nprobe"], "index_recall_at_10": overlap / exact.size}
        say(args, {"count": manifest.count, "arm": arm, **figures, "p50_ms": round(float(np.median(times)), 2)})


def main() -> None:
    """Prepare the vectors, then build and measure each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--real", type=int, default=1_000_000, help="take no more real vectors than these")
    parser.add_argument("--asked", type=int, default=500)
    parser.add_argument("--count", default="1000000")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--step", type=float, default=2.0)
    parser.add_argument("--kind", default="ivf-sq8")
    parser.add_argument("--arms", default="100000,grown", help="separated by semicolons where one has parameters")
    parser.add_argument("--train-only", action="store_true", help="do not fill the indexes")
    parser.add_argument("--state", type=Path, default=Path(".bench/ivf"))
    args = parser.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    _, questions = loaded(args)
    for count in map(int, args.count.split(",")):
        folder = args.state / str(count)
        written = prepared(folder, count, args)
        for arm in args.arms.split(";" if ";" in args.arms or ":" in args.arms else ","):
            if args.train_only:
                trained_only(folder, written, arm, questions, args)
                continue
            manifest = built(folder, written, arm, args)
            measured(folder, manifest, arm, questions, args)


if __name__ == "__main__":
    main()

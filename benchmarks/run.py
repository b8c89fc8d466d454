"""Measure all figures of `docs/figures/speed.md`, ours and the rivals', and write one report.

    make bench                                    small: under five minutes once installed, texts of the standard library
    make bench BENCH='--data squad --background wiki-background/passages.jsonl.gz --full'

    python benchmarks/run.py [--out bench] [--data FOLDER] [--background FILE] [--rivals PYTHON] [--full]
                             [--sections a,b] [--sizes 10000,100000]

FOLDER holds ``passages.jsonl.gz`` and ``questions.dev.jsonl.gz`` (passages, and questions with ``positive_ids``). Each section
keeps its figures as JSON in OUT, and the report (``report.md``, ``growth.svg``) is made of all that are there, so that long
runs can be done in parts: ``--sections ''`` only writes it anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from report import write_report
from side_by_side import docstrings, rounds_of, versions_of

from dpr_rag import DualEncoder, Passage, PassageStore, Retriever
from dpr_rag.corpora import open_corpus, read_questions
from dpr_rag.evaluation import evaluate

HERE = Path(__file__).parent
KINDS = "flat,hnsw,ivf,ivf-rabitq,auto"
SMALL = {10_000: KINDS, 60_000: "auto"}
Args = argparse.Namespace


def lines_of(*command: str) -> list[Any]:
    """Run a script of this folder, and parse the JSON lines that it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.run(
        [sys.executable, str(HERE / command[0]), *command[1:]], check=True, stdout=subprocess.PIPE, text=True, env=env
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


def files(args: Args) -> tuple[str, str]:
    """Paths of the passages and of the questions."""
    return str(args.data / "passages.jsonl.gz"), str(args.data / "questions.dev.jsonl.gz")


def stacks(args: Args) -> Any:
    """Indexing and retrieval of our stacks and the rivals'."""
    rounds, passages, questions = (5, 1000, 300) if args.full else (1, 300, 128)
    results = rounds_of(args.data, args.rivals, rounds=rounds, passages=passages, questions=questions)
    return {"rounds": results, "versions": versions_of(args.rivals) if args.rivals else []}


def precision(args: Args) -> Any:
    """Top-k accuracy in the precisions of a CPU, and the distances of their vectors to those in float32."""
    corpus, questions_path = files(args)
    questions = list(read_questions(questions_path))[: None if args.full else 300]
    gold = {passage_id for question in questions for passage_id in question.positive_ids}
    passages = sorted(open_corpus(corpus), key=lambda passage: passage.id not in gold)[: None if args.full else 600]
    reference = DualEncoder.default(runtime="openvino", dtype="float32").encode_passages(passages[:600])
    figures = {}
    for dtype in ("float32", "bfloat16", "int8"):
        encoder = DualEncoder.default(runtime="openvino", dtype=dtype)
        deviations = 1 - (encoder.encode_passages(passages[:600]) * reference).sum(axis=1)
        with PassageStore.temporary(encoder=encoder) as store:
            start = time.perf_counter()
            store.add(passages)
            seconds = time.perf_counter() - start
            result = evaluate({dtype: Retriever(store)}, questions, k=20, by="passage", batch_size=256)[dtype]
        figures[dtype] = {f"top_{k}": round(100 * estimate.value, 2) for k, estimate in result.accuracy.items()}
        figures[dtype] |= {"passages": len(passages), "questions": len(questions), "seconds": round(seconds, 1)}
        figures[dtype] |= {"off_median": float(np.median(deviations)), "off_most": float(deviations.max())}
    return figures


def cold_start(args: Args) -> Any:
    """Time of a process that answers from a store of 20,000 passages."""
    encoder = DualEncoder.default()
    with tempfile.TemporaryDirectory() as folder:
        texts = list(islice(open_corpus(files(args)[0]), 20_000))
        passages = (Passage(str(at), texts[at % len(texts)].text) for at in range(20_000))
        vectors = np.random.default_rng(0).standard_normal((20_000, encoder.dim)).astype(np.float32)
        with PassageStore.open(Path(folder) / "s.dpr", encoder=encoder) as store:
            store.add(passages, vectors=vectors)
            store.optimize()
        return lines_of("cold_start.py", str(Path(folder) / "s.dpr"), "--rounds", "9" if args.full else "3")[0]


def threads(args: Args) -> Any:
    """Questions a second of concurrent callers."""
    with tempfile.TemporaryDirectory() as folder:
        with PassageStore.open(Path(folder) / "s.dpr", encoder=DualEncoder.default()) as store:
            store.add(islice(open_corpus(files(args)[0]), 2000 if args.full else 300))
        command = ("threads.py", "--store", str(Path(folder) / "s.dpr"), "--seconds", "5" if args.full else "1")
        return [lines_of(*command)[0] for _ in range(5 if args.full else 1)]


def parts(args: Args) -> Any:
    """Parts of a question's and a passage's time."""
    size = ("--passages", "2000", "--questions", "300") if args.full else ("--passages", "300", "--questions", "100")
    return lines_of("parts.py", *files(args), *size)[0]


def real_vectors(args: Args) -> tuple[Path, Path]:
    """Paths of the vectors of passages and background, and of questions; encoded once."""
    encoder = DualEncoder.default()
    made_of = json.dumps([str(args.data.resolve()), args.background, args.full, encoder.fingerprint])
    name = hashlib.sha256(made_of.encode()).hexdigest()[:8]
    paths = args.out / f"vectors-{name}.npy", args.out / f"questions-{name}.npy"
    if not all(path.is_file() for path in paths):
        texts = chain(open_corpus(files(args)[0]), open_corpus(args.background) if args.background else ())
        encoded = encoder.encode_questions([row.question for row in islice(read_questions(files(args)[1]), 400)])
        vectors = encoder.encode_passages(list(texts if args.full else islice(texts, 2000)))
        for path, array in zip(paths, (vectors, encoded), strict=True):
            np.save(path.with_suffix(".part.npy"), array)
            path.with_suffix(".part.npy").replace(path)
    return paths


def growth(args: Args) -> Any:
    """Index kinds at growing numbers of vectors."""
    vectors, questions = real_vectors(args)
    steps = {10_000: KINDS, 100_000: KINDS, 1_000_000: KINDS, 5_000_000: "auto"} if args.full else SMALL
    sizes = [int(size) for size in args.sizes.split(",")] if args.sizes else list(steps)
    path = args.out / "growth.json"
    previous = json.loads(path.read_text())["figures"] if args.sizes and path.is_file() else []
    rows = [row for row in previous if row["passages"] not in sizes]
    for count in sizes:
        common = ("--vectors", str(vectors), "--questions", str(questions), "--filters")
        rows += lines_of("index_kinds.py", "--count", str(count), "--kinds", steps.get(count, "auto"), *common)[1:]
    return sorted(rows, key=lambda row: row["passages"])


def gpu(args: Args) -> Any:
    """Encoding on a GPU, where there is one."""
    import torch

    return lines_of("gpu.py")[0] if torch.cuda.is_available() else None


SECTIONS: dict[str, Callable[[Args], Any]] = {
    section.__name__: section for section in (stacks, precision, cold_start, threads, parts, growth, gpu)
}


def machine() -> dict[str, Any]:
    """Date, processor, system, versions and commit of a measurement."""
    try:
        lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = lines[0].partition(":")[2].strip()
    except (OSError, IndexError):
        processor = platform.processor() or platform.machine()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
    )
    packages = (
        "dpr-rag",
        "openvino",
        "faiss-cpu",
        "tokenizers",
        "numpy",
        "torch",
        "langchain-core",
        "llama-index-core",
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in packages},
        "commit": commit.stdout.strip() or "unknown",
    }


def main() -> None:
    """Measure the sections and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--background", help="file of further passages, for real vectors")
    parser.add_argument("--rivals", help="the python of their environment; without it only ours are measured")
    parser.add_argument("--full", action="store_true", help="hours instead of minutes")
    parser.add_argument("--sizes", help="measure growth at these sizes only, and keep what was measured at others")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.data is None:
        args.data = args.out / "data"
        args.data.mkdir(exist_ok=True)
        docstrings(args.data)
    for name in filter(None, args.sections.split(",")):
        start = time.monotonic()
        figures = {**machine(), "full": args.full, "figures": SECTIONS[name](args)}
        (args.out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    paths = {name: args.out / f"{name}.json" for name in SECTIONS}
    write_report(args.out, {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()})


if __name__ == "__main__":
    main()

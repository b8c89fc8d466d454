"""Measure everything that `docs/figures/speed.md` says, beside the rivals, and write one report.

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
    """The JSON lines that a script of this folder prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(HERE / command[0]), *command[1:]], check=True, stdout=subprocess.PIPE, text=True, env=env
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def files(args: Args) -> tuple[str, str]:
    """Passages and questions."""
    return str(args.data / "passages.jsonl.gz"), str(args.data / "questions.dev.jsonl.gz")


def stacks(args: Args) -> Any:
    """Text in, passages out, beside the rivals."""
    rounds, passages, questions = (5, 1000, 300) if args.full else (1, 300, 128)
    found = rounds_of(args.data, args.rivals, rounds=rounds, passages=passages, questions=questions)
    return {"rounds": found, "versions": versions_of(args.rivals) if args.rivals else []}


def precision(args: Args) -> Any:
    """Top-k accuracy in the precisions of a CPU, and how far their vectors are off float32."""
    passages, questions = files(args)
    asked = list(read_questions(questions))[: None if args.full else 300]
    wanted = {one for question in asked for one in question.positive_ids}
    found = sorted(open_corpus(passages), key=lambda one: one.id not in wanted)[: None if args.full else 600]
    exact = DualEncoder.default(runtime="openvino", dtype="float32").encode_passages(found[:600])
    figures = {}
    for dtype in ("float32", "bfloat16", "int8"):
        encoder = DualEncoder.default(runtime="openvino", dtype=dtype)
        off = 1 - (encoder.encode_passages(found[:600]) * exact).sum(axis=1)
        with PassageStore.temporary(encoder=encoder) as store:
            start = time.perf_counter()
            store.add(found)
            took = time.perf_counter() - start
            measured = evaluate({dtype: Retriever(store)}, asked, k=20, by="passage", batch_size=256)[dtype]
        figures[dtype] = {f"top_{k}": round(100 * one.value, 2) for k, one in measured.accuracy.items()}
        figures[dtype] |= {"passages": len(found), "questions": len(asked), "seconds": round(took, 1)}
        figures[dtype] |= {"off_median": float(np.median(off)), "off_most": float(off.max())}
    return figures


def cold_start(args: Args) -> Any:
    """A process that answers from a store of 20,000 passages."""
    encoder = DualEncoder.default()
    with tempfile.TemporaryDirectory() as place:
        texts = list(islice(open_corpus(files(args)[0]), 20_000))
        given = (Passage(str(at), texts[at % len(texts)].text) for at in range(20_000))
        vectors = np.random.default_rng(0).standard_normal((20_000, encoder.dim)).astype(np.float32)
        with PassageStore.open(Path(place) / "s.dpr", encoder=encoder) as store:
            store.add(given, vectors=vectors)
            store.optimize()
        return lines_of("cold_start.py", str(Path(place) / "s.dpr"), "--rounds", "9" if args.full else "3")[0]


def threads(args: Args) -> Any:
    """Callers at once."""
    with tempfile.TemporaryDirectory() as place:
        with PassageStore.open(Path(place) / "s.dpr", encoder=DualEncoder.default()) as store:
            store.add(islice(open_corpus(files(args)[0]), 2000 if args.full else 300))
        command = ("threads.py", "--store", str(Path(place) / "s.dpr"), "--seconds", "5" if args.full else "1")
        return [lines_of(*command)[0] for _ in range(5 if args.full else 1)]


def parts(args: Args) -> Any:
    """Where the time goes."""
    size = ("--passages", "2000", "--questions", "300") if args.full else ("--passages", "300", "--questions", "100")
    return lines_of("parts.py", *files(args), *size)[0]


def real_vectors(args: Args) -> tuple[Path, Path]:
    """Vectors of the passages and the background, and of questions; encoded once."""
    encoder = DualEncoder.default()
    made_of = json.dumps([str(args.data.resolve()), args.background, args.full, encoder.fingerprint])
    name = hashlib.sha256(made_of.encode()).hexdigest()[:8]
    kept = args.out / f"vectors-{name}.npy", args.out / f"questions-{name}.npy"
    if not all(path.is_file() for path in kept):
        texts = chain(open_corpus(files(args)[0]), open_corpus(args.background) if args.background else ())
        asked = encoder.encode_questions([one.question for one in islice(read_questions(files(args)[1]), 400)])
        vectors = encoder.encode_passages(list(texts if args.full else islice(texts, 2000)))
        for path, found in zip(kept, (vectors, asked), strict=True):
            np.save(path.with_suffix(".part.npy"), found)
            path.with_suffix(".part.npy").replace(path)
    return kept


def growth(args: Args) -> Any:
    """Indexes of more and more vectors."""
    vectors, questions = real_vectors(args)
    steps = {10_000: KINDS, 100_000: KINDS, 1_000_000: KINDS, 5_000_000: "auto"} if args.full else SMALL
    sizes = [int(size) for size in args.sizes.split(",")] if args.sizes else list(steps)
    before = args.out / "growth.json"
    known = json.loads(before.read_text())["figures"] if args.sizes and before.is_file() else []
    found = [one for one in known if one["passages"] not in sizes]
    for count in sizes:
        common = ("--vectors", str(vectors), "--questions", str(questions), "--filters")
        found += lines_of("index_kinds.py", "--count", str(count), "--kinds", steps.get(count, "auto"), *common)[1:]
    return sorted(found, key=lambda one: one["passages"])


def gpu(args: Args) -> Any:
    """Encoding on a GPU, where there is one."""
    import torch

    return lines_of("gpu.py")[0] if torch.cuda.is_available() else None


SECTIONS: dict[str, Callable[[Args], Any]] = {
    one.__name__: one for one in (stacks, precision, cold_start, threads, parts, growth, gpu)
}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip()
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
    known = {name: args.out / f"{name}.json" for name in SECTIONS}
    write_report(args.out, {name: json.loads(path.read_text()) for name, path in known.items() if path.is_file()})


if __name__ == "__main__":
    main()

"""Measure our stacks and the rivals' in turn, several times: medians, spread and ratios; ``stack.py`` says what is timed."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rivals import RIVALS

from dpr_rag.corpora import open_corpus

OURS = ("dpr-rag", "dpr-rag-langchain", "dpr-rag-llama-index")
FIGURES = {
    "passages_per_second": ("passages/s", True),
    "p50_ms": ("p50 ms", False),
    "p99_ms": ("p99 ms", False),
    "batch_ms_a_question": ("ms a question, by 64", False),
}
Rounds = dict[str, list[dict[str, Any]]]
PAIRS = (
    ("dpr-rag-langchain", "langchain"),
    ("dpr-rag-llama-index", "llama-index"),
    ("dpr-rag", "sentence-transformers"),
    ("dpr-rag-langchain", "langchain-bfloat16"),
    ("dpr-rag", "sentence-transformers-openvino"),
    ("dpr-rag", "fastembed"),
    ("dpr-rag", "chroma"),
    ("dpr-rag", "lancedb"),
    ("dpr-rag", "qdrant"),
)


def write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """Write a gzipped JSONL file."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)


def docstrings(folder: Path) -> None:
    """Write passages and questions made of the standard library's docstrings."""
    passages = [passage for passage in open_corpus("python:") if len(passage.text.split()) > 30]
    write(
        folder / "passages.jsonl.gz",
        ({"id": passage.id, "title": passage.title, "text": passage.text} for passage in passages),
    )
    draw = random.Random(0)
    questions = []
    for passage in draw.sample(passages, 400):
        words = passage.text.split()
        start = draw.randrange(len(words) - 12)
        questions.append({"question": " ".join(words[start : start + 12]), "answers": [], "positive_ids": [passage.id]})
    write(folder / "questions.dev.jsonl.gz", questions)


def run(python: str, stack: str, data: Path, options: list[str]) -> dict[str, Any]:
    """Measure one stack in a process of its own."""
    script = Path(__file__).with_name("stack.py")
    files = [str(data / "passages.jsonl.gz"), str(data / "questions.dev.jsonl.gz")]
    process = subprocess.run(
        [python, str(script), stack, *files, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    if process.returncode:
        sys.exit(f"{stack} failed:\n{process.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    sys.stderr.write(f"{figures}\n")
    return figures


def rounds_of(data: Path, rivals: str | None, *, rounds: int, passages: int, questions: int) -> Rounds:
    """Measure every stack once a round, each in a process of its own, in rotating order; without rivals only ours."""
    stacks = [stack for stack in (*OURS, *RIVALS) if rivals or stack in OURS]
    options = ["--passages", str(passages), "--questions", str(questions)]
    figures: Rounds = defaultdict(list)
    for round_number in range(rounds):
        for turn in range(len(stacks)):
            stack = stacks[(round_number + turn) % len(stacks)]
            figures[stack].append(run(sys.executable if stack in OURS else str(rivals), stack, data, options))
    return {stack: figures[stack] for stack in stacks}


def versions_of(rivals: str) -> list[str]:
    """Names and versions of the rivals' packages that bear on the figures."""
    packages = subprocess.run([rivals, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    prefixes = (
        "langchain",
        "llama-index",
        "sentence-transformers",
        "transformers",
        "torch=",
        "faiss",
        "numpy",
        "openvino=",
    )
    prefixes += ("optimum-intel", "fastembed", "onnxruntime", "chromadb=", "lancedb=", "qdrant-client")
    return [line for line in packages.splitlines() if line.startswith(prefixes)]


def rows(head: Sequence[str], body: Iterable[Sequence[object]]) -> list[str]:
    """Format a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in body]


def table(rounds: Rounds) -> list[str]:
    """Format medians with minimum and maximum, and the ratios of the pairs."""
    top = next(name for name in next(iter(rounds.values()))[0] if name.startswith("top_"))
    names = [name for name, _ in FIGURES.values()]
    figures = [
        [stack, *(spread(runs, name) for name in FIGURES), runs[0][top], spread(runs, "peak_mib")]
        for stack, runs in rounds.items()
    ]
    ratios = [
        [
            f"{ours} to {theirs}",
            *(f"{ratio(rounds[ours], rounds[theirs], name, more=more):.1f}" for name, (_, more) in FIGURES.items()),
        ]
        for ours, theirs in PAIRS
        if ours in rounds and theirs in rounds
    ]
    return [
        *rows(["stack", *names, top.replace("_", "-"), "peak MiB"], figures),
        "",
        *rows(["ratio, medians", *names], ratios),
    ]


def spread(runs: list[dict[str, Any]], name: str) -> str:
    """Median, minimum and maximum of a figure."""
    values = [figures[name] for figures in runs]
    return f"{median(values):g} ({min(values):g} to {max(values):g})"


def ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], name: str, *, more: bool) -> float:
    """How many times better our median is than theirs; *more* says that larger is better."""
    own, rival = (median(figures[name] for figures in runs) for runs in (ours, theirs))
    return own / rival if more else rival / own

"""Our stacks and the rivals' in turn, several times: medians, spread and ratios; see ``stack.py`` for what is timed."""

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

from dpr_rag.corpora import open_corpus

OURS = ("dpr-rag", "dpr-rag-langchain", "dpr-rag-llama-index")
RIVALS = (
    *("langchain", "llama-index", "sentence-transformers"),
    *("langchain-bfloat16", "sentence-transformers-openvino", "fastembed"),
)
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
)


def write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """A gzipped JSONL file."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in items)


def docstrings(folder: Path) -> None:
    """Passages and questions from the standard library."""
    found = [one for one in open_corpus("python:") if len(one.text.split()) > 30]
    write(folder / "passages.jsonl.gz", ({"id": one.id, "title": one.title, "text": one.text} for one in found))
    draw = random.Random(0)
    asked = []
    for one in draw.sample(found, 400):
        words = one.text.split()
        start = draw.randrange(len(words) - 12)
        asked.append({"question": " ".join(words[start : start + 12]), "answers": [], "positive_ids": [one.id]})
    write(folder / "questions.dev.jsonl.gz", asked)


def run(python: str, stack: str, data: Path, options: list[str]) -> dict[str, Any]:
    """One stack in a process of its own."""
    script = Path(__file__).with_name("stack.py")
    files = [str(data / "passages.jsonl.gz"), str(data / "questions.dev.jsonl.gz")]
    done = subprocess.run(
        [python, str(script), stack, *files, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    if done.returncode:
        sys.exit(f"{stack} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{figures}\n")
    return figures


def rounds_of(data: Path, rivals: str | None, *, rounds: int, passages: int, questions: int) -> Rounds:
    """Every stack once a round, each in a process of its own, in an order that rotates; without rivals only ours."""
    stacks = [one for one in (*OURS, *RIVALS) if rivals or one in OURS]
    options = ["--passages", str(passages), "--questions", str(questions)]
    found: Rounds = defaultdict(list)
    for at in range(rounds):
        for turn in range(len(stacks)):
            stack = stacks[(at + turn) % len(stacks)]
            found[stack].append(run(sys.executable if stack in OURS else str(rivals), stack, data, options))
    return {stack: found[stack] for stack in stacks}


def versions_of(rivals: str) -> list[str]:
    """What is installed for the rivals, as far as it matters."""
    frozen = subprocess.run([rivals, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    wanted = (
        "langchain",
        "llama-index",
        "sentence-transformers",
        "transformers",
        "torch=",
        "faiss",
        "numpy",
        "openvino=",
    )
    wanted += ("optimum-intel", "fastembed", "onnxruntime")
    return [line for line in frozen.splitlines() if line.startswith(wanted)]


def rows(head: Sequence[str], body: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    made = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return made + [f"| {' | '.join(map(str, row))} |" for row in body]


def table(rounds: Rounds) -> list[str]:
    """Medians with the least and the most, and the ratios of the pairs."""
    top = next(name for name in next(iter(rounds.values()))[0] if name.startswith("top_"))
    names = [name for name, _ in FIGURES.values()]
    figures = [
        [stack, *(spread(found, name) for name in FIGURES), found[0][top], spread(found, "peak_mib")]
        for stack, found in rounds.items()
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


def spread(found: list[dict[str, Any]], name: str) -> str:
    """Median, least and most of a figure."""
    values = [one[name] for one in found]
    return f"{median(values):g} ({min(values):g} to {max(values):g})"


def ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], name: str, *, more: bool) -> float:
    """How many times better the median is."""
    one, other = (median(found[name] for found in group) for group in (ours, theirs))
    return one / other if more else other / one

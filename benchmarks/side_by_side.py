"""Measure our stacks and the rivals' in turn, several times, and write medians, spread and ratios as Markdown.

    python benchmarks/side_by_side.py [--data FOLDER] [--rivals .bench/bin/python] [--rounds 5] [--passages 2000]

FOLDER holds ``passages.jsonl.gz`` and ``questions.dev.jsonl.gz`` (passages, and questions with ``positive_ids``); without it,
docstrings of the standard library are passages, and stretches of their words are questions. Every round runs every stack
once, each in a process of its own, in an order that rotates; see ``stack.py`` for what is timed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from dpr_rag.corpora import open_corpus

OURS = ("dpr-rag", "dpr-rag-langchain", "dpr-rag-llama-index")
RIVALS = ("langchain", "llama-index", "sentence-transformers")
FIGURES = {
    "passages_per_second": ("passages/s", True),
    "p50_ms": ("p50 ms", False),
    "p99_ms": ("p99 ms", False),
    "batch_ms_a_question": ("ms a question, by 64", False),
}
PAIRS = (
    ("dpr-rag-langchain", "langchain"),
    ("dpr-rag-llama-index", "llama-index"),
    ("dpr-rag", "sentence-transformers"),
)


def write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """A gzipped JSONL file."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in items)


def docstrings(folder: Path) -> None:
    """Passages and questions from the standard library."""
    found = [one for one in open_corpus("python:stdlib") if len(one.text.split()) > 30]
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


def table(rounds: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Medians with the least and the most, and the ratios of the pairs."""
    top = next(name for name in next(iter(rounds.values()))[0] if name.startswith("top_"))
    rows = [f"| stack | {' | '.join(name for name, _ in FIGURES.values())} | {top.replace('_', '-')} | peak MiB |"]
    rows.append("|---" * (len(FIGURES) + 3) + "|")
    for stack, found in rounds.items():
        cells = [spread([one[name] for one in found]) for name in FIGURES]
        rows.append(
            f"| {stack} | {' | '.join(cells)} | {found[0][top]} | {spread([one['peak_mib'] for one in found])} |"
        )
    rows += [
        "",
        f"| ratio, medians | {' | '.join(name for name, _ in FIGURES.values())} |",
        "|---" * (len(FIGURES) + 1) + "|",
    ]
    for ours, theirs in PAIRS:
        if ours in rounds and theirs in rounds:
            cells = [
                f"{ratio(rounds[ours], rounds[theirs], name, more=more):.1f}" for name, (_, more) in FIGURES.items()
            ]
            rows.append(f"| {ours} to {theirs} | {' | '.join(cells)} |")
    return rows


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{median(values):g} ({min(values):g} to {max(values):g})"


def ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], name: str, *, more: bool) -> float:
    """How many times better the median is."""
    one, other = (median(found[name] for found in group) for group in (ours, theirs))
    return one / other if more else other / one


def main() -> None:
    """Run all rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rivals", help="the python of their environment; without it only ours are measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--stacks", default=",".join((*OURS, *RIVALS)))
    args = parser.parse_args()
    stacks = [one for one in args.stacks.split(",") if args.rivals or one in OURS]
    options = ["--passages", str(args.passages), "--questions", str(args.questions)]
    rounds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as made:
        data = args.data or Path(made)
        if args.data is None:
            docstrings(data)
        for at in range(args.rounds):
            for turn in range(len(stacks)):
                stack = stacks[(at + turn) % len(stacks)]
                rounds[stack].append(run(sys.executable if stack in OURS else args.rivals, stack, data, options))
    names = ("dpr-rag", "openvino", "faiss-cpu", "tokenizers")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()},")
    print(
        ", ".join(f"{name} {version(name)}" for name in names) + f"; {args.rounds} rounds, {args.passages} passages\n"
    )
    print("\n".join(table({stack: rounds[stack] for stack in stacks})))


if __name__ == "__main__":
    main()

"""Measure the time in which a reader reranks a question's passages, beside a ``CrossEncoder`` of the same size.

    python benchmarks/reranking.py PASSAGES QUESTIONS [--reader MODEL] [--first 20] [--count 30] [--rounds 5]

PASSAGES and QUESTIONS are gzipped JSONL files; a question is read with passages drawn at random, the same for both. The
``CrossEncoder`` of sentence-transformers has the reader's body and a random head, in float32 on PyTorch, as such models come, and
reads 512 tokens of a passage at most, where the reader reads all of it in windows.
Both take turns, question by question, so that both meet the same load. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag import Passage, Reader
from dpr_rag.cli.reranking import load_reader
from dpr_rag.corpora import open_corpus, read_questions
from dpr_rag.reading.heads import body_of


def cross_encoder(reader: Reader, folder: Path) -> Any:
    """The reader's body as a model of sentence-transformers that gives one score."""
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification

    body_of(reader.tower).write(folder)
    config = BertConfig.from_pretrained(folder, num_labels=1)
    BertForSequenceClassification.from_pretrained(folder, config=config, dtype="float32").save_pretrained(folder)
    return CrossEncoder(str(folder), max_length=512, device="cpu", model_kwargs={"dtype": "float32"})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages")
    parser.add_argument("questions")
    parser.add_argument("--reader", help="folder of a reader (default: the built-in one)")
    parser.add_argument("--first", type=int, default=20, help="passages of a question")
    parser.add_argument("--count", type=int, default=30, help="questions")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    reader = load_reader(args.reader)
    passages = list(open_corpus(args.passages))
    questions = [question.question for question in islice(read_questions(args.questions), args.count)]
    draw = random.Random(0)
    samples: list[list[Passage]] = [draw.sample(passages, args.first) for _ in questions]
    medians: dict[str, list[float]] = {"reader": [], "cross_encoder": []}
    with tempfile.TemporaryDirectory() as folder:
        rival = cross_encoder(reader, Path(folder) / "model")
        for round_number in range(args.rounds + 1):  # the first warms up
            seconds: dict[str, list[float]] = {name: [] for name in medians}
            for question, sample in zip(questions, samples, strict=True):
                start = time.perf_counter()
                reader.read(question, sample)
                middle = time.perf_counter()
                rival.predict(
                    [(question, f"{passage.title} {passage.text}") for passage in sample], batch_size=args.first
                )
                seconds["reader"].append(middle - start)
                seconds["cross_encoder"].append(time.perf_counter() - middle)
            for name in medians if round_number else ():
                medians[name].append(float(np.median(seconds[name])))
    ours, theirs = (1000 * float(np.median(medians[name])) for name in ("reader", "cross_encoder"))
    figures = {
        "runtime": str(reader.runtime),
        "passages": args.first,
        "reader_ms": round(ours, 1),
        "cross_encoder_ms": round(theirs, 1),
        "ratio": round(theirs / ours, 2),
        "ratios": [round(b / a, 2) for a, b in zip(medians["reader"], medians["cross_encoder"], strict=True)],
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

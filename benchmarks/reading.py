"""Measure a reader: alone on the questions' own passages, and as the second stage behind a store's hybrid ranking.

    python benchmarks/reading.py READER STORE QUESTIONS [--limit N] [--first 20] [--features FILE]

QUESTIONS are labelled with ``answers`` and ``positive_ids`` of passages in STORE. Exact match and F1 are SQuAD's (Rajpurkar et
al. 2016): lower case, without punctuation and articles. ``--features`` writes all numbers of every passage that was read, one
question a line, to try other ways of ranking with.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dpr_rag import DualEncoder, Hit, PassageStore, Reader, Retriever
from dpr_rag.corpora import Question, read_questions


def plain(text: str) -> list[str]:
    """The words that count."""
    letters = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", letters).split()


def exact(answer: str, right: str) -> float:
    """Whether two answers are the same words."""
    return float(plain(answer) == plain(right))


def overlap(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall of the answer's words."""
    one, other = plain(answer), plain(right)
    if not one or not other:
        return float(one == other)
    same = sum((Counter(one) & Counter(other)).values())
    return 2 * same / (len(one) + len(other))


def best_of(answer: str, question: Question, measure: Callable[[str, str], float]) -> float:
    """Over all right answers."""
    return max((measure(answer, one) for one in question.answers), default=0.0)


def say(name: str, values: Sequence[float]) -> None:
    """One figure in per cent, with its 95 % interval by the normal approximation."""
    mean, error = float(np.mean(values)), 1.96 * float(np.std(values)) / max(1, len(values)) ** 0.5
    sys.stdout.write(f"{name:34} {100 * mean:5.1f} ± {100 * error:.1f}  ({len(values)})\n")
    sys.stdout.flush()


def alone(reader: Reader, store: PassageStore, questions: Sequence[Question]) -> None:
    """Exact match and F1 where the right passage is given."""
    found = [reader.read(one.question, store.get([one.positive_ids[0]]))[0] for one in questions]
    for name, measure in (("exact match", exact), ("F1", overlap)):
        values = [best_of(read.answer.text, one, measure) for one, read in zip(questions, found, strict=True)]
        say(f"own passages: {name}", values)


def second_stage(
    reader: Reader, store: PassageStore, questions: Sequence[Question], first: int, features: Path
) -> None:
    """Accuracy before and after reranking, and exact match end to end."""
    before, after, answered, likeliest, seconds, lines = [], [], [], [], [], []
    for one, hits in zip(
        questions, Retriever(store, k=first, mode="hybrid").retrieve_batch([q.question for q in questions]), strict=True
    ):
        start = time.perf_counter()
        again = reader.rerank(one.question, hits)
        seconds.append(time.perf_counter() - start)
        before.append([hit.passage.id in one.positive_ids for hit in hits])
        after.append([hit.passage.id in one.positive_ids for hit in again])
        answered.append(_words(again[:1], one))
        likeliest.append(_words(sorted(again, key=lambda hit: -(hit.answer.probability if hit.answer else 0))[:1], one))
        if features is not None:
            readings = reader.read(one.question, [hit.passage for hit in hits])
            lines.append(
                [
                    one.id,
                    list(one.answers),
                    [_numbers(hit, read, one) for hit, read in zip(hits, readings, strict=True)],
                ]
            )
    for k in (1, 5):
        say(f"hybrid: top-{k}", [any(ranks[:k]) for ranks in before])
        say(f"reranked {first}: top-{k}", [any(ranks[:k]) for ranks in after])
    say("answer of the first passage: EM", answered)
    say("likeliest answer: EM", likeliest)
    sys.stdout.write(f"{reader.runtime}: {1000 * float(np.median(seconds)):.0f} ms a question, median\n")
    if features is not None:
        features.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _words(hits: Sequence[Hit], question: Question) -> float:
    return max((best_of(hit.answer.text, question, exact) for hit in hits if hit.answer is not None), default=0.0)


def _numbers(hit: Hit, read: object, question: Question) -> dict[str, object]:
    return {
        "right": hit.passage.id in question.positive_ids,
        "retrieved": hit.score,
        "dense": hit.dense,
        "bm25": hit.bm25,
    } | asdict(read)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("reader", "store", "questions"):
        parser.add_argument(name)
    parser.add_argument("--limit", type=int, default=500, help="questions, drawn at random")
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = list(read_questions(args.questions))
    order = np.random.default_rng(args.seed).permutation(len(asked))[: args.limit]
    questions = [asked[at] for at in order]
    reader = Reader.from_pretrained(args.reader)
    with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
        alone(reader, store, questions)
        second_stage(reader, store, questions, args.first, args.features)


if __name__ == "__main__":
    main()

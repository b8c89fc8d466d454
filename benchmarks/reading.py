"""Measure a reader: alone on the questions' own passages, and as the second stage behind a store's hybrid ranking.

    python benchmarks/reading.py READER STORE QUESTIONS [--limit N] [--first 20] [--features FILE]

QUESTIONS are labelled with ``answers`` and ``positive_ids`` of passages in STORE. Exact match and F1 are SQuAD's (Rajpurkar et
al. 2016): lower case, without punctuation and articles. Each passage is read once, and ranked by every weight that the reader
may have beside the search (0 is the search alone, 1 the reader alone), in each of the scales of ``dpr_rag.reading.balance``.
``--features`` keeps all numbers of every passage that was read, one question a line; where the file exists, nothing is read
again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag import DualEncoder, Hit, PassageStore, Reader, Retriever
from dpr_rag.corpora import Question, read_questions
from dpr_rag.evaluation.spans import best_of, exact_match, f1
from dpr_rag.reading.balance import SCALES, Scale, balanced

Read = dict[str, Any]
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def say(name: str, values: Sequence[float]) -> None:
    """One figure in per cent, with its 95 % interval by the normal approximation."""
    mean, error = float(np.mean(values)), 1.96 * float(np.std(values)) / max(1, len(values)) ** 0.5
    sys.stdout.write(f"{name:34} {100 * mean:5.1f} ± {100 * error:.1f}  ({len(values)})\n")
    sys.stdout.flush()


def alone(reader: Reader, store: PassageStore, questions: Sequence[Question]) -> None:
    """Exact match and F1 where the right passage is given."""
    found = [reader.read(one.question, store.get([one.positive_ids[0]]))[0] for one in questions]
    for name, measure in (("exact match", exact_match), ("F1", f1)):
        values = [best_of(read.answer.text, one.answers, measure) for one, read in zip(questions, found, strict=True)]
        say(f"own passages: {name}", values)


def read_all(
    reader: Reader, store: PassageStore, questions: Sequence[Question], args: argparse.Namespace
) -> list[Read]:
    """What the search and the reader say of every passage that is found: all that the tables are made of."""
    found, seconds = [], []
    retriever = Retriever(store, k=args.first, mode=args.mode)
    for one, hits in zip(questions, retriever.retrieve_batch([q.question for q in questions]), strict=True):
        start = time.perf_counter()
        readings = reader.read(one.question, [hit.passage for hit in hits])
        seconds.append(time.perf_counter() - start)
        numbers = [_numbers(hit, read, one) for hit, read in zip(hits, readings, strict=True)]
        found.append({"id": one.id, "answers": list(one.answers), "passages": numbers})
    sys.stdout.write(f"{reader.runtime}: {1000 * float(np.median(seconds)):.0f} ms a question, median\n")
    return found


def _numbers(hit: Hit, read: object, question: Question) -> dict[str, object]:
    return {
        "right": hit.passage.id in question.positive_ids,
        "retrieved": hit.score,
        "dense": hit.dense,
        "bm25": hit.bm25,
    } | asdict(read)


def cached(file: Path | None, about: dict[str, object], make: Callable[[], list[Read]]) -> list[Read]:
    """What was read before, of the same things, or what is read now."""
    if file is not None and file.is_file():
        head, *lines = map(json.loads, file.read_text().splitlines())
        if head != about:
            sys.exit(f"{file} was read from {head}, not from {about}; name another file")
        return lines
    found = make()
    if file is not None:
        file.write_text("".join(json.dumps(line) + "\n" for line in [about, *found]))
    return found


def weights_table(found: Sequence[Read]) -> None:
    """Accuracy by the share of the reader in the order, and how many questions it wins and loses at the first place."""
    before = [[one["right"] for one in line["passages"]] for line in found]
    sys.stdout.write(f"\n{'scale':>11} weight  top-1  top-5   MRR    won lost  EM of the first\n")
    for scale in SCALES:
        for weight in WEIGHTS:
            orders = [_order(line["passages"], weight, scale) for line in found]
            after = [[ranks[at] for at in order] for ranks, order in zip(before, orders, strict=True)]
            firsts = [(any(one[:1]), any(other[:1])) for one, other in zip(before, after, strict=True)]
            answered = [
                _right(line, line["passages"][order[0]]) if order else 0
                for line, order in zip(found, orders, strict=True)
            ]
            sys.stdout.write(
                f"{scale:>11} {weight:6.2f} {_share(after, 1):6.1f} {_share(after, 5):6.1f} {100 * _reciprocal(after):6.1f} "
                f"{sum(new and not old for old, new in firsts):5} {sum(old and not new for old, new in firsts):4} "
                f"{100 * float(np.mean(answered)):6.1f}\n"
            )


def _order(passages: Sequence[dict[str, Any]], weight: float, scale: Scale) -> list[int]:
    read = [one["selection"] for one in passages]
    scores = read if weight == 1 else balanced([one["retrieved"] for one in passages], read, weight, scale)
    return sorted(range(len(scores)), key=lambda at: -scores[at])


def _share(ranks: Sequence[Sequence[bool]], k: int) -> float:
    return 100 * float(np.mean([any(one[:k]) for one in ranks]))


def _reciprocal(ranks: Sequence[Sequence[bool]]) -> float:
    return float(np.mean([1 / (1 + one.index(True)) if True in one else 0.0 for one in ranks]))


def _right(line: Read, one: dict[str, Any]) -> float:
    """Whether a passage's answer is a right one; 0 where the reader finds none in it."""
    if one["none"] > one["answer"]["probability"]:
        return 0.0
    return best_of(one["answer"]["text"], line["answers"], exact_match)


def certainty_table(found: Sequence[Read]) -> None:
    """The likeliest answer of all passages: how many questions get one, and how many of those a right one, by its certainty."""
    best = [_likeliest(line) for line in found]
    sys.stdout.write("\ncertainty  answered  right of those  right of all\n")
    for least in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
        given = [right for probability, right in best if probability > least]
        right = sum(given)
        sys.stdout.write(
            f"{least:9.2f} {100 * len(given) / len(best):9.1f} {100 * right / max(1, len(given)):15.1f} "
            f"{100 * right / len(best):13.1f}\n"
        )


def _likeliest(line: Read) -> tuple[float, float]:
    """How likely the likeliest answer is, and whether it is right."""
    passages = line["passages"]
    shares = np.exp([one["selection"] - max(other["selection"] for other in passages) for one in passages])
    shares /= max(shares.sum(), 1e-30)
    given = [
        (float(share) * one["answer"]["probability"], _right(line, one))
        for share, one in zip(shares, passages, strict=True)
        if one["none"] <= one["answer"]["probability"]
    ]
    return max(given, default=(0.0, 0.0))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("reader", "store", "questions"):
        parser.add_argument(name)
    parser.add_argument("--limit", type=int, default=500, help="questions, drawn at random")
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--mode", default="hybrid", help="of the search")
    parser.add_argument("--features", type=Path, help="file of what was read, to look at it again")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = list(read_questions(args.questions))
    order = np.random.default_rng(args.seed).permutation(len(asked))[: args.limit]
    questions = [asked[at] for at in order]
    reader = Reader.from_pretrained(args.reader)
    about = {name: getattr(args, name) for name in ("store", "questions", "limit", "first", "mode", "seed")}
    about["reader"] = reader.fingerprint

    def make() -> list[Read]:
        with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
            alone(reader, store, questions)
            return read_all(reader, store, questions, args)

    found = cached(args.features, about, make)
    weights_table(found)
    certainty_table(found)


if __name__ == "__main__":
    main()

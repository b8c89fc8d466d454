"""Measure a reader: alone on the questions' own passages, and as the second stage behind a store's hybrid ranking.

    python benchmarks/reading.py READER STORE QUESTIONS [--limit N] [--first 20] [--features FILE]

QUESTIONS are labelled with ``answers`` and ``positive_ids`` of passages in STORE. Exact match and F1 are SQuAD's (Rajpurkar et
al. 2016): lower case, without punctuation and articles. Each passage is read once, and ranked by every weight that the reader
may have beside the search (0 is the search alone, 1 the reader alone), in each of the scales of ``dpr_rag.reading.balance``.
``--features`` keeps scores and answers of all passages read, one question a line; an existing file is used instead of reading.
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
    """Print the mean in per cent, with its 95 % interval by the normal approximation."""
    mean, error = float(np.mean(values)), 1.96 * float(np.std(values)) / max(1, len(values)) ** 0.5
    sys.stdout.write(f"{name:34} {100 * mean:5.1f} ± {100 * error:.1f}  ({len(values)})\n")
    sys.stdout.flush()


def alone(reader: Reader, store: PassageStore, questions: Sequence[Question]) -> None:
    """Print exact match and F1 on each question's first positive passage."""
    readings = [reader.read(question.question, store.get([question.positive_ids[0]]))[0] for question in questions]
    for name, measure in (("exact match", exact_match), ("F1", f1)):
        values = [
            best_of(reading.answer.text, question.answers, measure)
            for question, reading in zip(questions, readings, strict=True)
        ]
        say(f"own passages: {name}", values)


def read_all(
    reader: Reader, store: PassageStore, questions: Sequence[Question], args: argparse.Namespace
) -> list[Read]:
    """Retrieve and read; returns one record per question with the scores and the answer of every hit."""
    records, seconds = [], []
    retriever = Retriever(store, k=args.first, mode=args.mode)
    for question, hits in zip(questions, retriever.retrieve_batch([q.question for q in questions]), strict=True):
        start = time.perf_counter()
        readings = reader.read(question.question, [hit.passage for hit in hits])
        seconds.append(time.perf_counter() - start)
        passages = [_passage_record(hit, reading, question) for hit, reading in zip(hits, readings, strict=True)]
        records.append({"id": question.id, "answers": list(question.answers), "passages": passages})
    sys.stdout.write(f"{reader.runtime}: {1000 * float(np.median(seconds)):.0f} ms a question, median\n")
    return records


def _passage_record(hit: Hit, reading: object, question: Question) -> dict[str, object]:
    return {
        "right": hit.passage.id in question.positive_ids,
        "retrieved": hit.score,
        "dense": hit.dense,
        "bm25": hit.bm25,
    } | asdict(reading)


def cached(path: Path | None, settings: dict[str, object], make: Callable[[], list[Read]]) -> list[Read]:
    """Read the records from a file if it was made with the same settings, or else make and write them."""
    if path is not None and path.is_file():
        saved_settings, *saved_records = map(json.loads, path.read_text().splitlines())
        if saved_settings != settings:
            sys.exit(f"{path} was read from {saved_settings}, not from {settings}; name another file")
        return saved_records
    records = make()
    if path is not None:
        path.write_text("".join(json.dumps(row) + "\n" for row in [settings, *records]))
    return records


def weights_table(records: Sequence[Read]) -> None:
    """Print accuracy by the reader's weight in the ranking, and the questions that it wins and loses at rank 1."""
    before = [[passage["right"] for passage in record["passages"]] for record in records]
    sys.stdout.write(f"\n{'scale':>11} weight  top-1  top-5   MRR    won lost  EM of the first\n")
    for scale in SCALES:
        for weight in WEIGHTS:
            orders = [_ranking(record["passages"], weight, scale) for record in records]
            after = [[flags[at] for at in order] for flags, order in zip(before, orders, strict=True)]
            firsts = [(any(old[:1]), any(new[:1])) for old, new in zip(before, after, strict=True)]
            exact_matches = [
                _answer_match(record, record["passages"][order[0]]) if order else 0
                for record, order in zip(records, orders, strict=True)
            ]
            sys.stdout.write(
                f"{scale:>11} {weight:6.2f} {_top_k(after, 1):6.1f} {_top_k(after, 5):6.1f} {100 * _mrr(after):6.1f} "
                f"{sum(new and not old for old, new in firsts):5} {sum(old and not new for old, new in firsts):4} "
                f"{100 * float(np.mean(exact_matches)):6.1f}\n"
            )


def _ranking(passages: Sequence[dict[str, Any]], weight: float, scale: Scale) -> list[int]:
    reader = [passage["selection"] for passage in passages]
    scores = reader if weight == 1 else balanced([passage["retrieved"] for passage in passages], reader, weight, scale)
    return sorted(range(len(scores)), key=lambda at: -scores[at])


def _top_k(relevance: Sequence[Sequence[bool]], k: int) -> float:
    return 100 * float(np.mean([any(flags[:k]) for flags in relevance]))


def _mrr(relevance: Sequence[Sequence[bool]]) -> float:
    return float(np.mean([1 / (1 + flags.index(True)) if True in flags else 0.0 for flags in relevance]))


def _answer_match(record: Read, passage: dict[str, Any]) -> float:
    """Exact match of a passage's answer, 0 or 1; 0 where the reader finds none in it."""
    if passage["none"] > passage["answer"]["probability"]:
        return 0.0
    return best_of(passage["answer"]["text"], record["answers"], exact_match)


def certainty_table(records: Sequence[Read]) -> None:
    """Print the share of questions answered, and answered correctly, by the least probability of the best answer."""
    best_answers = [_most_probable(record) for record in records]
    sys.stdout.write("\ncertainty  answered  right of those  right of all\n")
    for threshold in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
        answered = [correct for probability, correct in best_answers if probability > threshold]
        correct = sum(answered)
        sys.stdout.write(
            f"{threshold:9.2f} {100 * len(answered) / len(best_answers):9.1f} {100 * correct / max(1, len(answered)):15.1f} "
            f"{100 * correct / len(best_answers):13.1f}\n"
        )


def _most_probable(record: Read) -> tuple[float, float]:
    """Probability of the most probable answer of all passages, and its exact match."""
    passages = record["passages"]
    shares = np.exp([passage["selection"] - max(rival["selection"] for rival in passages) for passage in passages])
    shares /= max(shares.sum(), 1e-30)
    answers = [
        (float(share) * passage["answer"]["probability"], _answer_match(record, passage))
        for share, passage in zip(shares, passages, strict=True)
        if passage["none"] <= passage["answer"]["probability"]
    ]
    return max(answers, default=(0.0, 0.0))


def main() -> None:
    """Read, or load what was read, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("reader", "store", "questions"):
        parser.add_argument(name)
    parser.add_argument("--limit", type=int, default=500, help="questions, drawn at random")
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--mode", default="hybrid", help="of the search")
    parser.add_argument("--features", type=Path, help="file of what was read, to look at it again")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    all_questions = list(read_questions(args.questions))
    sample = np.random.default_rng(args.seed).permutation(len(all_questions))[: args.limit]
    questions = [all_questions[at] for at in sample]
    reader = Reader.from_pretrained(args.reader)
    settings = {name: getattr(args, name) for name in ("store", "questions", "limit", "first", "mode", "seed")}
    settings["reader"] = reader.fingerprint

    def make() -> list[Read]:
        with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
            alone(reader, store, questions)
            return read_all(reader, store, questions, args)

    records = cached(args.features, settings, make)
    weights_table(records)
    certainty_table(records)


if __name__ == "__main__":
    main()

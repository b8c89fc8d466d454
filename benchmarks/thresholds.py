"""Measure what a threshold keeps in each mode of an untuned store: right and wrong first hits, and those off topic.

    python benchmarks/thresholds.py PASSAGES.jsonl.gz QUESTIONS.jsonl.gz [--passages N] [--questions N] [--vectors FILE.npy]
        [--strangers QUESTIONS.jsonl.gz]

Half of the titles are indexed, drawn at random. Questions whose passages are indexed are on topic, and a first hit is right if it
is one of a question's ``positive_ids``; questions about the other half are off topic, and so are those of ``--strangers``. For
each mode and each ``min_relevance``: the share of right and of wrong first hits kept, and the share of off-topic questions that
get a hit at all. ``--vectors`` keeps the passages' vectors for the next run. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from index_kinds import milliseconds
from stack import Line, lines, passages_of

from dpr_rag import DualEncoder, Hit, PassageStore, Ranking

LEASTS = (0.1, 0.25, 0.3, 0.5, 0.7, 0.9)
RANKINGS = {
    "dense": Ranking(),
    "bm25": Ranking("bm25"),
    "hybrid": Ranking("hybrid"),
    "hybrid rrf": Ranking("hybrid", fusion="rrf"),
}


def indexed_half(passages: Sequence[Line], seed: int) -> set[str]:
    """Titles of the half that is indexed."""
    titles = sorted({record["title"] for record in passages})
    return set(random.Random(seed).sample(titles, len(titles) // 2))


def vectors_of(passages: Sequence[Line], encoder: DualEncoder, path: str | None) -> np.ndarray:
    """The passages' vectors, float32 [n, dim], read from a file where it has them."""
    if path is not None and Path(path).exists():
        saved: np.ndarray = np.load(path)
        return saved[: len(passages)]
    vectors = np.asarray(encoder.encode_passages(passages_of(list(passages))))
    if path is not None:
        np.save(path, vectors)
    return vectors


def relevances(store: PassageStore, ranking: Ranking, questions: Sequence[str]) -> list[tuple[str, float]]:
    """Id and relevance of each question's first hit; without one, an empty id and -1."""
    calibration = store.calibration_of(ranking)
    hits = store.rank(questions, 1, ranking=ranking)
    return [_first_hit(question_hits, calibration.relevance) for question_hits in hits]


def _first_hit(hits: Sequence[Hit], relevance: object) -> tuple[str, float]:
    return (hits[0].passage.id, relevance(hits[0].score)) if hits and callable(relevance) else ("", -1.0)


def share(values: Iterable[float], bound: float) -> str:
    """The share of values that reach a bound, with two decimals; a dash for no values."""
    array = np.array(list(values))
    return f"{float((array >= bound).mean()):.2f}" if len(array) else "-"


def rows(store: PassageStore, name: str, groups: dict[str, list[Line]]) -> list[list[str]]:
    """The rows of the table for one mode."""
    by_group = {
        group: relevances(store, RANKINGS[name], [row["question"] for row in pool]) for group, pool in groups.items()
    }
    right: list[float] = []
    wrong: list[float] = []
    for question, (passage, relevance) in zip(groups["on topic"], by_group.pop("on topic"), strict=True):
        (right if passage in question["positive_ids"] else wrong).append(relevance)
    off_topic = [[relevance for _, relevance in group] for group in by_group.values()]
    return [[name, f"{bound:g}", *(share(values, bound) for values in (right, wrong, *off_topic))] for bound in LEASTS]


def main() -> None:
    """Fill a store with one half, ask about both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages_file")
    parser.add_argument("questions_file")
    parser.add_argument("--passages", type=int, default=None, help="how many of the file's, both halves together")
    parser.add_argument("--questions", type=int, default=1000, help="of each kind")
    parser.add_argument("--strangers", help="questions of another data set")
    parser.add_argument("--vectors", help="where the passages' vectors are kept, float32 [n, dim] (.npy)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    passages = lines(args.passages_file)[: args.passages]
    indexed_titles = indexed_half(passages, args.seed)
    titles = {passage["id"]: passage["title"] for passage in passages}
    pools: dict[str, list[Line]] = {"on topic": [], "off topic": []}
    for question in lines(args.questions_file):
        if question["positive_ids"] and all(passage in titles for passage in question["positive_ids"]):
            indexed = [titles[passage] in indexed_titles for passage in question["positive_ids"]]
            if all(indexed) or not any(indexed):
                pools["on topic" if indexed[0] else "off topic"].append(question)
    if args.strangers:
        pools["strangers"] = lines(args.strangers)
    draw = random.Random(args.seed)
    groups = {name: draw.sample(pool, min(args.questions, len(pool))) for name, pool in pools.items()}
    encoder = DualEncoder.default()
    vectors = vectors_of(passages, encoder, args.vectors)
    positions = [at for at, passage in enumerate(passages) if passage["title"] in indexed_titles]
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(passages_of([passages[at] for at in positions]), vectors=vectors[positions])
        store.rank(["warm up"], 1, ranking=RANKINGS["bm25"])
        fits = {name: milliseconds(lambda: store.calibration_of(RANKINGS[name])) for name in RANKINGS}  # noqa: B023
        head = [
            "mode",
            "min_relevance",
            "right kept",
            "wrong kept",
            *(f"{name} let through" for name in list(groups)[1:]),
        ]
        print(" | ".join(head) + "\n" + "|".join("---" for _ in head))
        for name in RANKINGS:
            print("\n".join(" | ".join(row) for row in rows(store, name, groups)))
        counts = {name: len(questions) for name, questions in groups.items()}
        print(
            json.dumps({"passages": len(store), **counts, "fitting_ms": {name: round(ms) for name, ms in fits.items()}})
        )


if __name__ == "__main__":
    main()

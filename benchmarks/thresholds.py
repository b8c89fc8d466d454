"""Measure what a threshold keeps in each mode of a store that nobody tuned: right first hits, wrong ones, and strangers'.

    python benchmarks/thresholds.py PASSAGES.jsonl.gz QUESTIONS.jsonl.gz [--passages N] [--questions N] [--vectors FILE.npy]
        [--strangers QUESTIONS.jsonl.gz]

Half of the titles are indexed, drawn at random. Questions whose passages lie there are on topic, and a first hit is right if it
is one of a question's ``positive_ids``; questions about the other half are off topic, and so are those of ``--strangers``. For
each mode and each ``min_relevance``: the share of right and of wrong first hits kept, and the share of off-topic questions that
get a hit at all. ``--vectors`` keeps the passages' vectors for the next run. One Markdown table.
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
    titles = sorted({one["title"] for one in passages})
    return set(random.Random(seed).sample(titles, len(titles) // 2))


def vectors_of(passages: Sequence[Line], encoder: DualEncoder, kept: str | None) -> np.ndarray:
    """The passages' vectors, float32 [n, dim], read from a file where it has them."""
    if kept is not None and Path(kept).exists():
        found: np.ndarray = np.load(kept)
        return found[: len(passages)]
    made = np.asarray(encoder.encode_passages(passages_of(list(passages))))
    if kept is not None:
        np.save(kept, made)
    return made


def relevances(store: PassageStore, ranking: Ranking, questions: Sequence[str]) -> list[tuple[str, float]]:
    """Each question's first hit and its relevance; no hit has none."""
    calibration = store.calibration_of(ranking)
    hits = store.rank(questions, 1, ranking=ranking)
    return [_first(one, calibration.relevance) for one in hits]


def _first(hits: Sequence[Hit], relevance: object) -> tuple[str, float]:
    return (hits[0].passage.id, relevance(hits[0].score)) if hits and callable(relevance) else ("", -1.0)


def share(values: Iterable[float], least: float) -> str:
    """How many of the values are at least so high, as two digits."""
    found = np.array(list(values))
    return f"{float((found >= least).mean()):.2f}" if len(found) else "-"


def rows(store: PassageStore, name: str, groups: dict[str, list[Line]]) -> list[list[str]]:
    """The lines of the table for one mode."""
    found = {
        group: relevances(store, RANKINGS[name], [one["question"] for one in asked]) for group, asked in groups.items()
    }
    right: list[float] = []
    wrong: list[float] = []
    for one, (passage, relevance) in zip(groups["on topic"], found.pop("on topic"), strict=True):
        (right if passage in one["positive_ids"] else wrong).append(relevance)
    others = [[relevance for _, relevance in of_group] for of_group in found.values()]
    return [[name, f"{least:g}", *(share(values, least) for values in (right, wrong, *others))] for least in LEASTS]


def main() -> None:
    """Fill a store with one half, ask it about both, and print the table."""
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
    half = indexed_half(passages, args.seed)
    titles = {one["id"]: one["title"] for one in passages}
    pools: dict[str, list[Line]] = {"on topic": [], "off topic": []}
    for one in lines(args.questions_file):
        if one["positive_ids"] and all(passage in titles for passage in one["positive_ids"]):
            inside = [titles[passage] in half for passage in one["positive_ids"]]
            if all(inside) or not any(inside):
                pools["on topic" if inside[0] else "off topic"].append(one)
    if args.strangers:
        pools["strangers"] = lines(args.strangers)
    draw = random.Random(args.seed)
    groups = {name: draw.sample(pool, min(args.questions, len(pool))) for name, pool in pools.items()}
    encoder = DualEncoder.default()
    vectors = vectors_of(passages, encoder, args.vectors)
    chosen = [at for at, one in enumerate(passages) if one["title"] in half]
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(passages_of([passages[at] for at in chosen]), vectors=vectors[chosen])
        store.rank(["warm up"], 1, ranking=RANKINGS["bm25"])
        took = {name: milliseconds(lambda: store.calibration_of(RANKINGS[name])) for name in RANKINGS}  # noqa: B023
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
        counts = {name: len(asked) for name, asked in groups.items()}
        print(
            json.dumps({"passages": len(store), **counts, "fitting_ms": {name: round(ms) for name, ms in took.items()}})
        )


if __name__ == "__main__":
    main()

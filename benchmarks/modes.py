"""Measure the latency of every retrieval mode, and the cost of BM25 when passages are added.

    python benchmarks/modes.py PASSAGES.jsonl.gz QUESTIONS.jsonl.gz [--count N] [--vectors FILE.npy] [--asked N]

Texts are those of the files, and beyond them shuffled from pairs (see ``lexical.py``); vectors are those of ``--vectors`` and
grown from them (see ``index_kinds.py``), so the dense leg's hits mean nothing, but its work is that of a real index. First 1,000
passages are added, without and with postings to extend. Then every question goes from its words to 20 hits in every mode, in
rotating order, encoded by the default encoder each time; ``encoding`` is that part alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from index_kinds import grow, milliseconds
from lexical import passages, read

from dpr_rag import DualEncoder, Passage, PassageStore, Ranking, Retriever

MORE = 1000
RANKINGS = {
    "dense": Ranking(),
    "bm25": Ranking("bm25"),
    "hybrid": Ranking("hybrid", 15.0),
    "hybrid rrf": Ranking("hybrid", fusion="rrf"),
}


def fill(store: PassageStore, texts: list[str], vectors: Iterator[np.ndarray]) -> None:
    """Add texts as passages with the vectors of the blocks."""
    store.add(
        (Passage(str(at), text) for at, text in enumerate(texts)), vectors=(row for block in vectors for row in block)
    )


def latencies(store: PassageStore, questions: list[str]) -> dict[str, list[float]]:
    """Milliseconds of every question in every mode, and of encoding it."""
    calls: dict[str, Callable[[str], object]] = {
        name: Retriever(store, k=20, ranking=ranking).retrieve for name, ranking in RANKINGS.items()
    }
    calls["encoding"] = lambda question: store.encode_questions([question])
    names = list(calls)
    for question in questions[:20]:
        for call in calls.values():
            call(question)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number, question in enumerate(questions):
        for turn in range(len(names)):
            name = names[(number + turn) % len(names)]
            times[name].append(milliseconds(lambda: calls[name](question)))  # noqa: B023  # called at once
    return times


def growth(store: PassageStore, texts: list[str], vectors: np.ndarray, question: str, label: str) -> dict[str, object]:
    """Time of adding passages, and of the first two BM25 questions after it."""
    passages = [Passage(f"{label} {at}", text) for at, text in enumerate(texts)]
    seconds = milliseconds(lambda: store.add(passages, vectors=vectors)) / 1000
    ask = Retriever(store, k=20, ranking=RANKINGS["bm25"]).retrieve
    first, second = (milliseconds(lambda: ask(question)) for _ in range(2))
    return {
        "added": label,
        "passages": len(texts),
        "add_s": round(seconds, 3),
        "first_question_ms": round(first, 1),
        "second_ms": round(second, 2),
    }


def main() -> None:
    """Fill a store, add passages, ask in every mode, and print one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--asked", type=int, default=300)
    parser.add_argument("--vectors", required=True, help="real vectors of the default encoder, float32 [n, dim] (.npy)")
    args = parser.parse_args()
    texts = passages(args.passages, args.count + 2 * MORE)
    questions = [record["question"] for record in islice(read(args.questions, args.asked), args.asked)]
    vectors = np.concatenate(list(grow(np.load(args.vectors), args.count + 2 * MORE, 0.6, 2)))
    initial, extra = texts[: args.count], texts[args.count :]
    with (
        tempfile.TemporaryDirectory() as folder,
        PassageStore.open(Path(folder) / "s", encoder=DualEncoder.default()) as store,
    ):
        fill(store, initial, iter([vectors[: args.count]]))
        print(json.dumps(growth(store, extra[:MORE], vectors[args.count :][:MORE], questions[0], "without postings")))
        store.optimize()
        print(json.dumps(growth(store, extra[MORE:], vectors[args.count :][MORE:], questions[0], "with postings")))
        store.optimize()
        print(json.dumps({"passages": len(store), "index": store.info().kind, "questions": len(questions)}))
        latencies_ms = latencies(store, questions)
    dense = float(np.median(latencies_ms["dense"]))
    for name, times in latencies_ms.items():
        p50, p99 = (float(np.percentile(times, percent)) for percent in (50, 99))
        print(
            json.dumps(
                {"mode": name, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "of_dense": round(p50 / dense, 3)}
            )
        )


if __name__ == "__main__":
    main()

"""Measure questions a second with 1, 2, 4 and 8 callers at once, from words to passages.

    make demo && python benchmarks/threads.py [--store demo.dpr] [--seconds 5] [--callers 1,2,4,8]

Every caller is a thread that asks one question after another of the same retriever. Questions are stretches of the store's
own passages.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

from dpr_rag import DualEncoder, PassageStore, Retriever


def ask(retriever: Retriever, questions: list[str], start: int, deadline: float) -> int:
    """Ask until ``deadline``, a value of ``time.perf_counter()``; returns the number of answers."""
    count = 0
    for question in cycle(questions[start:] + questions[:start]):
        if time.perf_counter() >= deadline:
            return count
        retriever.retrieve(question)
        count += 1
    return count


def rate(retriever: Retriever, questions: list[str], callers: int, seconds: float) -> float:
    """Questions a second of all callers together."""
    with ThreadPoolExecutor(callers) as pool:
        start = time.perf_counter()
        jobs = [
            pool.submit(ask, retriever, questions, caller * len(questions) // callers, start + seconds)
            for caller in range(callers)
        ]
        return sum(job.result() for job in jobs) / (time.perf_counter() - start)


def main() -> None:
    """Measure, callers in turn, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="demo.dpr")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--callers", default="1,2,4,8")
    args = parser.parse_args()
    with PassageStore.open(args.store, encoder=DualEncoder.default(), read_only=True) as store:
        passages, _ = store.sample(1000)
        questions = [" ".join(islice(passage.text.split(), 10)) for passage in passages]
        retriever = Retriever(store, k=20, ranking=None)
        callers = [int(number) for number in args.callers.split(",")]
        for count in callers:
            rate(retriever, questions, count, 1.0)
        print(json.dumps({str(count): round(rate(retriever, questions, count, args.seconds), 1) for count in callers}))


if __name__ == "__main__":
    main()

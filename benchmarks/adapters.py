"""Measure the latency that each adapter adds: every question goes through the core, LangChain and LlamaIndex.

    make demo && python benchmarks/adapters.py [--store demo.dpr] [--questions 1000] [--k 4]

Questions are beginnings of the store's own passages. Each goes to all three, in rotating order; the overhead is the median over
the questions of (adapter's time − core's time), in microseconds and as a share of the core's median.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np
from llama_index.retrievers.dpr_rag import DPRRetriever as LlamaIndexRetriever

from dpr_rag import DualEncoder, PassageStore, Retriever
from langchain_dpr_rag import DPRRetriever


def questions_of(store: PassageStore, count: int) -> list[str]:
    """The first ten words of passages drawn at random, repeated up to ``count`` questions."""
    passages, _ = store.sample(count)
    texts = [" ".join(passage.text.split()[:10]) for passage in passages]
    return [texts[at % len(texts)] for at in range(count)]


def timed(call: Callable[[str], object], question: str) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call(question)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print one JSON line per adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="demo.dpr")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--k", type=int, default=4)
    args = parser.parse_args()
    with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
        calls: dict[str, Callable[[str], object]] = {
            "core": Retriever(store, k=args.k).retrieve,
            "langchain": DPRRetriever(store=store, k=args.k).invoke,
            "llama-index": LlamaIndexRetriever(store, similarity_top_k=args.k).retrieve,
        }
        names = list(calls)
        questions = questions_of(store, args.questions)
        for question in questions[:30]:
            for call in calls.values():
                call(question)
        times: dict[str, list[float]] = {name: [] for name in names}
        for number, question in enumerate(questions):
            for turn in range(len(names)):
                name = names[(number + turn) % len(names)]
                times[name].append(timed(calls[name], question))
        passages = len(store)
    core = np.array(times["core"])
    print(
        json.dumps(
            {"python": platform.python_version(), "passages": passages, "questions": len(questions), "k": args.k}
        )
    )
    print(json.dumps({"core_ms_median": round(1000 * float(np.median(core)), 3)}))
    for name in names[1:]:
        added = float(np.median(np.array(times[name]) - core))
        share = added / float(np.median(core))
        print(json.dumps({"adapter": name, "overhead_us": round(1e6 * added), "share_of_core": round(share, 4)}))


if __name__ == "__main__":
    main()

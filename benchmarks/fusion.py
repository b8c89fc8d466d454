"""Compare hybrid rankings with each leg alone, on data sets that favour the dense or the BM25 leg.

    python benchmarks/fusion.py DATA OUTPUT [--model MODEL] [--questions 1500] [--background 15000] [--read 200]

DATA holds ``squad/``, ``fairytaleqa/``, ``real-questions/`` and ``wiki-background/`` as JSONL, and ``pubmedqa/`` and
``medquad/`` (``medquad.py``) where their figures are wanted; OUTPUT keeps the encoded stores. For real questions, over SQuAD's
paragraphs and the background, passages with an answer are relevant, for all others the labelled passage. Prints one line per set
and ranking: top-1, 5 and 20 in percent, and the gain over the better leg with the 95 % interval of the paired bootstrap.
``--read N`` lets the built-in reader rerank the first 20 of hybrid for N questions of each set, beside hybrid on the same ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shifts import drawn, keywords, share_of

from dpr_rag import DualEncoder, Passage, PassageStore, Ranking, Reader, Retriever
from dpr_rag.corpora import Question, open_corpus, read_questions
from dpr_rag.evaluation.judging import judged
from dpr_rag.evaluation.legs import JudgedLegs, read_legs
from dpr_rag.evaluation.results import By
from dpr_rag.evaluation.statistics import Bootstrap

KS = (1, 5, 20)
Ranks = NDArray[np.float64]


def store_of(data: Path, output: Path, pools: Sequence[str], encoder: DualEncoder, background: int) -> PassageStore:
    """Open the store of some pools and encode the passages it lacks; of equal texts one is kept."""
    store = PassageStore.open(output / f"{'+'.join(pools)}-{encoder.fingerprint[:8]}.dpr", encoder=encoder)
    for pool in pools:
        by_text = {passage.text: passage for passage in open_corpus(str(data / pool / "passages.jsonl.gz"))}
        passages: Sequence[Passage] = list({passage.id: passage for passage in by_text.values()}.values())
        if pool == "wiki-background":
            passages = sorted(passages, key=lambda passage: share_of(passage.id))[:background]
        for start in range(0, len(passages), 1024):
            store.add([passage for passage in passages[start : start + 1024] if passage.id not in store])
    return store


def sets(data: Path, limit: int) -> Iterator[tuple[str, tuple[str, ...], list[Question], By]]:
    """Yield the data sets: name, pools, questions, and whether relevance is by passage or by answer."""

    def load(folder: str, name: str) -> list[Question]:
        return drawn(list(read_questions(data / folder / f"questions.{name}.jsonl.gz")), limit)

    dev = load("squad", "dev")
    yield "squad", ("squad",), dev, "passage"
    yield "squad as keywords", ("squad",), [replace(q, question=keywords(q.question, 6)) for q in dev], "passage"
    yield "fairytaleqa", ("fairytaleqa",), load("fairytaleqa", "test"), "passage"
    for name in ("pubmedqa", "medquad"):
        if (data / name).is_dir():
            yield name, (name,), load(name, "test"), "passage"
    for name in ("natural-questions", "triviaqa"):
        yield name, ("squad", "wiki-background"), load("real-questions", f"{name}.dev"), "answer"


def rows(legs: Sequence[JudgedLegs], rankings: dict[str, Ranking]) -> Iterator[str]:
    """Format accuracies and gains, one line per ranking."""
    ranks = {name: np.array([pair.first(ranking) for pair in legs]) for name, ranking in rankings.items()}
    for name, system in ranks.items():
        accuracies = " ".join(f"{100 * np.mean(system <= k):.1f}" for k in KS)
        gains = "  ".join(gain(system, _better_leg(ranks, k), k) for k in KS) if name.startswith("hybrid") else ""
        yield f"{name:24} {accuracies:18} {gains}"


def gain(system: Ranks, baseline: Ranks, k: int) -> str:
    """Difference to the baseline in points of top-k accuracy, with its 95 % interval."""
    columns = {name: np.where(ranks <= k, 1.0, 0.0) for name, ranks in (("own", system), ("other", baseline))}
    estimate = Bootstrap(columns, seed=0).difference("own", "other", among=1)
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def _better_leg(ranks: dict[str, Ranks], k: int) -> Ranks:
    return max((ranks["dense"], ranks["bm25"]), key=lambda leg: float(np.mean(leg <= k)))


def reading(store: PassageStore, questions: Sequence[Question], by: By, reader: Reader) -> Iterator[str]:
    """Format one line for hybrid and one for the reader as its second stage, with the gain."""
    systems = {"hybrid": Retriever(store, k=max(KS), mode="hybrid")}
    systems["hybrid, read"] = Retriever(store, k=max(KS), mode="hybrid", reranker=reader, rerank=max(KS))
    ranks: dict[str, Ranks] = {}
    for name, retriever in systems.items():
        results = zip(questions, retriever.retrieve_batch([question.question for question in questions]), strict=True)
        ranks[name] = np.array([judged(question, hits, by).first or np.inf for question, hits in results])
    for name, system in ranks.items():
        accuracies = " ".join(f"{100 * np.mean(system <= k):.1f}" for k in KS)
        gains = "  ".join(gain(system, ranks["hybrid"], k) for k in KS) if name != "hybrid" else ""
        yield f"{name:12} of {len(questions):5}    {accuracies:18} {gains}"


def main() -> None:
    """Encode and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="folder or hub name (default: the default encoder)")
    parser.add_argument("--questions", type=int, default=1500)
    parser.add_argument("--background", type=int, default=15_000)
    parser.add_argument("--read", type=int, default=0, help="questions of a set that the reader reads for")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    encoder = DualEncoder.from_pretrained(args.model) if args.model else DualEncoder.default()
    reader = Reader.default() if args.read else None
    for name, pools, questions, by in sets(args.data, args.questions):
        with store_of(args.data, args.output, pools, encoder, args.background) as store:
            weight = store.suggested_weight()
            rankings = {"dense": Ranking(), "bm25": Ranking("bm25"), "hybrid": Ranking("hybrid")}
            rankings |= {"hybrid, one λ": Ranking("hybrid", weight), "hybrid rrf": Ranking("hybrid", fusion="rrf")}
            legs = read_legs(store, questions, Ranking("hybrid"), by)
            sys.stdout.write(f"{name}: {len(questions)} questions, {len(store)} passages, λ {weight:.1f}\n")
            sys.stdout.writelines(f"  {line}\n" for line in rows(legs, rankings))
            if reader:
                sys.stdout.writelines(f"  {line}\n" for line in reading(store, questions[: args.read], by, reader))
            sys.stdout.flush()


if __name__ == "__main__":
    main()

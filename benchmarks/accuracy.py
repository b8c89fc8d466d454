"""Measure top-k accuracy of dense, BM25 and hybrid retrieval on SQuAD's dev and FairytaleQA's test questions.

    python benchmarks/accuracy.py DATA OUTPUT [--model MODEL] [--dtype float32] [--datasets squad,fairytaleqa]

DATA holds the folders ``squad/`` and ``fairytaleqa/`` as JSONL (passages, questions.dev, questions.test), OUTPUT keeps the
encoded stores. λ is tuned on FairytaleQA's dev questions, and on SQuAD, whose test questions are not public, by
cross-validation: each fifth of the dev questions is ranked with the λ that is best on the others. Prints one JSON line per data
set and mode: top-k accuracy by gold passage in percent, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from dpr_rag import DualEncoder, PassageStore, Ranking, Retriever
from dpr_rag.corpora import Question, open_corpus, read_questions
from dpr_rag.evaluation import evaluate, tune
from dpr_rag.evaluation.results import Estimate

KS = (1, 5, 20, 100)
MODES = {
    "dense": Ranking(),
    "bm25": Ranking("bm25"),
    "hybrid, reciprocal ranks": Ranking("hybrid", fusion="rrf"),
    "hybrid": Ranking("hybrid"),
}


def filled(path: Path, encoder: DualEncoder, passages: str) -> PassageStore:
    """Open the store of a data set and encode the passages it lacks; of passages with one id the last one counts."""
    store = PassageStore.open(path, encoder=encoder)
    start, previous_count = time.monotonic(), len(store)
    by_id = {passage.id: passage for passage in open_corpus(passages)}
    store.add(passage for passage in by_id.values() if passage.id not in store)
    added, seconds = len(store) - previous_count, time.monotonic() - start
    if added:
        sys.stderr.write(f"{path.name}: {added} passages in {seconds:.0f} s\n")
    return store


def asked_in(folder: Path, split: str) -> list[Question]:
    """Read the questions of a split, such as ``dev``."""
    return list(read_questions(folder / f"questions.{split}.jsonl.gz"))


def accuracies(store: PassageStore, folder: Path) -> dict[str, Mapping[int, Estimate]]:
    """Top-k accuracy of every ranking mode, by the name of the mode."""
    dev = asked_in(folder, "dev")
    tuned = tune(store, dev, by="passage", k=10, keep=False)
    weight = tuned.weights if len(set(tuned.weights)) > 1 else tuned.weights[:1]
    name = f"hybrid, tuned ({', '.join(f'{value:.1f}' for value in weight)})"
    modes = dict(MODES)
    if (folder / "questions.test.jsonl.gz").is_file():
        questions = asked_in(folder, "test")
        modes[name] = next(candidate.ranking for candidate in tuned.candidates if candidate.name == "hybrid λ")
        held_out = {}
    else:
        questions = dev
        held_out = {name: next(candidate.accuracy for candidate in tuned.candidates if candidate.name == "hybrid λ")}
    systems = {mode: Retriever(store, ranking=ranking) for mode, ranking in modes.items()}
    evaluation = evaluate(systems, questions, k=max(KS), by="passage", batch_size=256)
    return {system.name: system.accuracy for system in evaluation.systems} | held_out


def main() -> None:
    """Encode and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="folder or hub name (default: the default encoder)")
    parser.add_argument("--dtype", help="precision (default: the runtime's own)")
    parser.add_argument("--datasets", default="squad,fairytaleqa")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.model:
        encoder = DualEncoder.from_pretrained(args.model, dtype=args.dtype)
    else:
        encoder = DualEncoder.default(dtype=args.dtype)
    for name in args.datasets.split(","):
        path = args.output / f"{name}-{encoder.fingerprint[:8]}-{args.dtype or 'own'}.dpr"
        with filled(path, encoder, str(args.data / name / "passages.jsonl.gz")) as store:
            for mode, accuracy in accuracies(store, args.data / name).items():
                figures = {
                    f"top-{k}": [round(100 * x, 1) for x in (accuracy[k].value, accuracy[k].low, accuracy[k].high)]
                    for k in KS
                }
                sys.stdout.write(json.dumps({"model": encoder.source, "data": name, "mode": mode, **figures}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Measure encoders on SQuAD's dev questions and FairytaleQA's test questions: dense, by words, and both together.

    python benchmarks/accuracy.py DATA OUTPUT [--model MODEL] [--dtype float32] [--datasets squad,fairytaleqa]

DATA holds the folders ``squad/`` and ``fairytaleqa/`` as JSONL (passages, questions.dev, questions.test), OUTPUT keeps the
encoded stores. λ is tuned on FairytaleQA's dev questions, and on SQuAD, whose test questions are not public, by
cross-validation: each fifth of the dev questions is ranked with the λ that is best on the others. One JSON line per row:
top-k accuracy by gold passage in percent, with its 95 % interval.
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
    """The store of a data set, encoded where it was not before; of two passages with one id, the later one."""
    store = PassageStore.open(path, encoder=encoder)
    began, before = time.monotonic(), len(store)
    found = {one.id: one for one in open_corpus(passages)}
    store.add(one for one in found.values() if one.id not in store)
    added, seconds = len(store) - before, time.monotonic() - began
    if added:
        sys.stderr.write(f"{path.name}: {added} passages in {seconds:.0f} s\n")
    return store


def asked_in(folder: Path, split: str) -> list[Question]:
    """The questions of a split."""
    return list(read_questions(folder / f"questions.{split}.jsonl.gz"))


def accuracies(store: PassageStore, folder: Path) -> dict[str, Mapping[int, Estimate]]:
    """Top-k accuracy by the name of the way to rank."""
    dev = asked_in(folder, "dev")
    tuned = tune(store, dev, by="passage", k=10, keep=False)
    weight = tuned.weights if len(set(tuned.weights)) > 1 else tuned.weights[:1]
    name = f"hybrid, tuned ({', '.join(f'{one:.1f}' for one in weight)})"
    modes = dict(MODES)
    if (folder / "questions.test.jsonl.gz").is_file():
        asked = asked_in(folder, "test")
        modes[name] = next(one.ranking for one in tuned.candidates if one.name == "hybrid λ")
        held_out = {}
    else:
        asked = dev
        held_out = {name: next(one.accuracy for one in tuned.candidates if one.name == "hybrid λ")}
    systems = {one: Retriever(store, ranking=ranking) for one, ranking in modes.items()}
    found = evaluate(systems, asked, k=max(KS), by="passage", batch_size=256)
    return {one.name: one.accuracy for one in found.systems} | held_out


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
                    f"top-{k}": [round(100 * one, 1) for one in (accuracy[k].value, accuracy[k].low, accuracy[k].high)]
                    for k in KS
                }
                sys.stdout.write(json.dumps({"model": encoder.source, "data": name, "mode": mode, **figures}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()

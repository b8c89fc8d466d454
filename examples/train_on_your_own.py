"""Improve the default encoder with some hundred questions of your own, and see by how much.

    python examples/train_on_your_own.py PASSAGES TRAIN TEST --output my-model [--questions 500] [--epochs 4]

PASSAGES is a corpus (JSONL, TSV, a folder of texts), TRAIN and TEST are questions with ``positive_ids`` or ``answers`` in any
form that ``dpr-rag evaluate`` reads. The passages are encoded twice, by the encoder before and after.

With the first 500 training questions of FairytaleQA, 24 minutes on two busy cores in all: of its 919 test questions 57.6 % have
the right section among the first 5 before and 62.1 % after (+4.6 points, 95 % interval +2.6 to +6.6), among the first 20
73.1 and 76.1 % (+2.9, +1.2 to +4.7).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice

from dpr_rag import DualEncoder, PassageStore, Retriever
from dpr_rag.corpora import open_corpus, read_questions
from dpr_rag.evaluation import evaluate
from dpr_rag.training import Mining, Progress, TrainingSettings, mine, train


def tell(progress: Progress) -> None:
    """One line every ten steps."""
    if progress.step % 10 == 0 or progress.step == progress.steps:
        remaining = f"{progress.seconds_left / 60:.0f} min left" if progress.step < progress.steps else "done"
        print(f"step {progress.step} of {progress.steps}, loss {progress.loss:.3f}, {remaining}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, mine, train, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("passages", "train", "test"):
        parser.add_argument(name)
    parser.add_argument("--output", required=True, help="folder for the trained encoder")
    parser.add_argument("--questions", type=int, default=500, help="how many of TRAIN to use")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-5)
    args = parser.parse_args(argv)

    tests = list(read_questions(args.test))
    by = "passage" if all(question.positive_ids for question in tests) else "answer"
    start = DualEncoder.default()
    with PassageStore.temporary(encoder=start) as before:
        before.add(open_corpus(args.passages))
        questions = list(islice(read_questions(args.train), args.questions))
        samples, report = mine(questions, before, mining=Mining("bm25", negatives=5))
        print(f"{len(samples)} questions to train on", *report.lines(), sep="\n")
        settings = TrainingSettings(
            batch_size=args.batch, epochs=args.epochs, learning_rate=args.lr, temperature=0.05, dropout=0.0
        )
        train(samples, args.output, init=start, settings=settings, progress=tell)

        trained = DualEncoder.from_pretrained(args.output)
        with PassageStore.temporary(encoder=trained) as after:
            after.add(before)
            systems = {"before": Retriever(before), "after": Retriever(after)}
            evaluation = evaluate(systems, tests, k=20, by=by, batch_size=64)
    for system in evaluation.systems:
        print(system.name, *(f"top-{k} {100 * estimate.value:.1f}" for k, estimate in system.accuracy.items()))
    for comparison in evaluation.comparisons:
        print(
            f"top-{comparison.k}: {100 * comparison.difference.value:+.1f} points "
            f"[{100 * comparison.difference.low:+.1f}, {100 * comparison.difference.high:+.1f}]"
        )


if __name__ == "__main__":
    main()

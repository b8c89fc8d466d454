"""Train the encoder that the package ships, and go on where an earlier run stopped.

    python benchmarks/default_encoder.py PASSAGES QUESTIONS BACKGROUND OUTPUT [--steps N] [--seed N] …

PASSAGES and QUESTIONS are JSONL files of labelled questions with ``positive_ids`` (SQuAD's training set), BACKGROUND is a
JSONL file of passages without questions (introductions of Wikipedia articles). A batch holds clusters of passages of one
article each, with up to four questions a passage, a part of them without question marks or as keywords; beside them
passages of the background ask for themselves with stretches and keywords. All passages of a batch are negatives of all
its other questions.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dpr_rag import DualEncoder, Passage
from dpr_rag.corpora import TrainingPassage, TrainingSample, open_corpus, read_questions
from dpr_rag.training import MixedBatches, Progress, TopicBatches, TrainingSettings, train
from dpr_rag.training.pseudo import AsTyped, PseudoQuestions


def samples(passages: str, questions: str) -> list[TrainingSample]:
    """Questions with their first positive passage."""
    known = {one.id: TrainingPassage(one.text, one.title, one.id) for one in open_corpus(passages)}
    return [
        TrainingSample(one.question, one.answers, (known[one.positive_ids[0]],)) for one in read_questions(questions)
    ]


def background(path: str, count: int | None) -> list[Passage]:
    """Passages of at least a dozen words."""
    found = [one for one in open_corpus(path) if len(one.text.split()) >= 12]
    return found[:count]


def tell(progress: Progress) -> None:
    """Say now and then how it goes."""
    if progress.step % 10 == 0 or progress.measures:
        now = time.strftime("%H:%M:%S")
        sys.stdout.write(
            f"{now} {progress.step}/{progress.steps} loss {progress.loss:.3f} {progress.questions_per_second:.1f} questions/s, "
            f"{progress.seconds_left / 60:.0f} min left\n"
        )
        sys.stdout.flush()


def main() -> None:
    """Read the data and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("passages", "questions", "background", "output"):
        parser.add_argument(name)
    parser.add_argument("--init", help="folder of a model to start from (default: the default encoder)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--topics", type=int, default=4)
    parser.add_argument("--cluster", type=int, default=24)
    parser.add_argument("--questions-per-passage", type=int, default=4)
    parser.add_argument("--pseudo", type=int, default=32, help="passages of the background in a batch; 0 for none")
    parser.add_argument("--average-with-start", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    labelled = TopicBatches(
        samples(args.passages, args.questions),
        topics=args.topics,
        passages=args.cluster,
        questions=args.questions_per_passage,
    )
    source = AsTyped(labelled)
    if args.pseudo:
        source = MixedBatches(source, PseudoQuestions(background(args.background, None), batch_size=args.pseudo))
    settings = TrainingSettings(
        steps=args.steps,
        learning_rate=args.learning_rate,
        temperature=args.temperature,
        dropout=0.0,
        weight_decay=0.01,
        bf16=True,
        chunk_tokens=8192,
        gradient_cache=False,
        average_with_start=args.average_with_start,
        seed=args.seed,
        save_every=25,
        log_every=5,
    )
    init = DualEncoder.from_pretrained(Path(args.init)) if args.init else DualEncoder.default()
    train(source, args.output, init=init, settings=settings, progress=tell)


if __name__ == "__main__":
    main()

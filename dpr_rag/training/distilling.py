"""Distillation from an earlier encoder, so that fine-tuning on new questions does not forget what it knew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.passages import Passage
from dpr_rag.training.batches import Batch, BatchSource, refreshing
from dpr_rag.training.checks import check_number
from dpr_rag.training.model import Model
from dpr_rag.training.objective import NegativeLogLikelihood, Objective

if TYPE_CHECKING:
    import torch


class TaughtBatches:
    """Another source's batches, with the inner products of a teacher for every question and passage of each.

    Every other passage of the batch becomes a negative of its own of each question, so that the scores stay beside them
    where :class:`MixedBatches` joins the batches with others. Such questions need no label: the first passage may be any.

    Args:
        source: Where the batches come from.
        teacher: An encoder, for example the one that training starts from; it is asked batch by batch.

    Raises:
        TrainingError: The source depends on the weights.
    """

    def __init__(self, source: BatchSource, teacher: Encoder) -> None:
        if refreshing(source) is not None:
            raise TrainingError(
                f"{type(source).__name__} depends on the weights, and what a teacher scores must not; give another source"
            )
        self._source, self._teacher = source, teacher
        self.fingerprint = f"taught {teacher.fingerprint} {source.fingerprint}"

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        for batch in self._source.batches(epoch, seed=seed):
            yield self._taught(batch)

    def _taught(self, batch: Batch) -> Batch:
        passages = [Passage(str(at), passage.text, passage.title) for at, passage in enumerate(batch.passages)]
        scores = self._teacher.encode_questions(batch.questions) @ self._teacher.encode_passages(passages).T
        columns = range(len(passages))
        others = tuple(tuple(at for at in columns if at != own) for own in batch.positives)
        return Batch(batch.questions, batch.passages, batch.positives, others, scores.astype(np.float32))


class Distillation(Objective):
    """KL divergence from a teacher's distribution for questions with its scores, another objective for all others.

    The first part is the Kullback-Leibler divergence of the softmax over the scored passages of a question, the teacher's
    to the student's (Hinton et al. 2015), averaged over these questions; both sides are divided by one temperature. It
    is 0 where the student is the teacher. The second is another objective over the questions without scores.

    Args:
        objective: For the questions without scores; None is the paper's.
        weight: Of the first part.
        temperature: Inner products are divided by it; 0.05 suits vectors of length 1.

    Raises:
        TrainingError: The weight or the temperature is not above 0.
    """

    def __init__(self, objective: Objective | None = None, *, weight: float = 1.0, temperature: float = 0.05) -> None:
        check_number("weight", weight, above=0.0)
        check_number("temperature", temperature, above=0.0)
        self._objective = objective or NegativeLogLikelihood(temperature=temperature)
        self._weight, self._temperature = weight, temperature

    @property
    def fingerprint(self) -> str:
        """Weight, temperature and the other objective."""
        return f"distillation/{self._weight!r}/{self._temperature!r}/{self._objective.fingerprint}"

    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The sum of both parts; a part without questions is 0."""
        import torch

        taught = np.zeros(len(batch.questions), bool) if batch.scores is None else np.isfinite(batch.scores).any(axis=1)
        loss = (questions.sum() + passages.sum()) * 0.0  # what no part looks at still has a gradient
        labelled = np.flatnonzero(~taught).tolist()
        if labelled:
            loss = loss + self._objective.loss(questions[labelled], passages, _rows(batch, labelled))
        if batch.scores is not None and taught.any():
            rows = np.flatnonzero(taught).tolist()
            wanted = torch.from_numpy(batch.scores[rows]).to(questions.device)
            loss = loss + self._weight * self._divergence(questions[rows] @ passages.T, wanted)
        return loss

    def _divergence(self, scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        import torch

        unscored = ~wanted.isfinite()
        student, teacher = (
            (scored / self._temperature).masked_fill(unscored, -torch.inf).log_softmax(dim=1)
            for scored in (scores, wanted)
        )
        terms = teacher.exp() * (teacher - student)
        return terms.masked_fill(unscored, 0.0).sum(dim=1).mean()

    def check(self, model: Model) -> None:
        """Refuse towers that the other objective cannot train."""
        self._objective.check(model)

    def learns_from(self, epoch: Iterable[Batch]) -> bool:
        """Whether any batch has more than one passage."""
        return any(len(batch.passages) > 1 for batch in epoch)

    def on_step(self, model: Model) -> None:
        """Called after every step of the optimizer."""
        self._objective.on_step(model)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The other objective's state between steps."""
        return self._objective.tensors()

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._objective.load(tensors)


def _rows(batch: Batch, rows: list[int]) -> Batch:
    """The batch, with some of its questions and all of its passages."""

    def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[at] for at in rows)

    scores = None if batch.scores is None else batch.scores[rows]
    return Batch(some(batch.questions), batch.passages, some(batch.positives), some(batch.negatives), scores)

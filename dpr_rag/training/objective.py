"""Training objectives over the matrix of scores, and DPR's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dpr_rag.training.batches import Batch
from dpr_rag.training.checks import check_number
from dpr_rag.training.model import Model

if TYPE_CHECKING:
    import torch


class Objective(ABC):
    """The loss of a whole batch, over all processes, from the vectors of its questions and passages.

    A subclass needs :meth:`loss` and :attr:`fingerprint`; one with a memory of its own also :meth:`on_step`,
    :meth:`tensors` and :meth:`load`.
    """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the objective and its settings; a training resumes with the same objective only."""

    @abstractmethod
    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss, to be minimised.

        Args:
            questions: Vectors of the questions, float32 [n, dim].
            passages: Vectors of the distinct passages, float32 [m, dim].
            batch: What they are vectors of.

        Returns:
            One number, through which gradients flow into both arguments.
        """

    def check(self, model: Model) -> None:
        """Refuse towers that the objective cannot train; called before anything is written.

        Raises:
            TrainingError: They cannot be trained with it.
        """
        return

    def learns_from(self, epoch: Iterable[Batch]) -> bool:
        """Whether any batch of an epoch has a loss that depends on the weights; called before anything is written."""
        return True

    def on_step(self, model: Model) -> None:
        """Called after every step of the optimizer."""
        return

    def tensors(self) -> dict[str, torch.Tensor]:
        """The objective's state between steps, such as a queue; saved with the weights."""
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        return


class NegativeLogLikelihood(Objective):
    """The paper's objective: softmax cross-entropy of the positive among all passages of the batch (section 3.2).

    Args:
        temperature: Scores are divided by it; 1 is the paper's.

    Raises:
        TrainingError: The temperature is not above 0.
    """

    def __init__(self, *, temperature: float = 1.0) -> None:
        check_number("temperature", temperature, above=0.0)
        self.temperature = temperature

    @property
    def fingerprint(self) -> str:
        """Name and temperature."""
        return f"nll/{self.temperature!r}"

    def learns_from(self, epoch: Iterable[Batch]) -> bool:
        """Whether any batch has more than one passage: the softmax of one is 1."""
        return any(len(batch.passages) > 1 for batch in epoch)

    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean over the questions of the negative log-likelihood of their positives."""
        import torch

        scores = questions @ passages.T / self.temperature
        positives = torch.tensor(batch.positives, device=scores.device)
        return torch.nn.functional.cross_entropy(scores, positives)

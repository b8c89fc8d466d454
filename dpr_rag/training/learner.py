"""The interface between the training loop and what it trains: an encoder's towers, or a reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Start(Protocol):
    """The model that a training starts from."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights."""
        ...


class Learner(Protocol):
    """Weights that learn: :class:`dpr_rag.training.model.Model` and :class:`dpr_rag.training.reading_model.ReaderModel`."""

    @property
    def start(self) -> Start:
        """The model that training starts from."""
        ...

    @property
    def encoder(self) -> Any:
        """The model with the current weights, for validation."""
        ...

    @property
    def device(self) -> Any:
        """Where the weights are."""
        ...

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Everything that learns, by name."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """All current weights by name."""
        ...

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load weights by name."""
        ...

    def check_finite(self) -> None:
        """Raise if the weights give NaN or infinite outputs."""
        ...

    def learning(self) -> AbstractContextManager[None]:
        """Dropout is on inside."""
        ...

    def averaged(self, start_share: float) -> AbstractContextManager[None]:
        """Inside, the weights are their average with the starting ones."""
        ...

    def save(self, path: Path) -> None:
        """Write the weights of the moment."""
        ...


class Source(Protocol):
    """Yields the batches of an epoch, of whatever the gradients are calculated from; see ``BatchSource``."""

    @property
    def fingerprint(self) -> str:
        """What identifies the data and how they are drawn."""
        ...

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def batches(self, epoch: int, *, seed: int) -> Iterator[Any]:
        """The batches of one epoch."""
        ...


class Aim(Protocol):
    """What is minimised; see ``Objective``."""

    @property
    def fingerprint(self) -> str:
        """What identifies it and its settings."""
        ...

    def check(self, model: Any) -> None:
        """Refuse what it cannot train."""
        ...

    def learns_from(self, epoch: Any) -> bool:
        """Whether any batch of an epoch teaches anything."""
        ...

    def on_step(self, model: Any) -> None:
        """Called after every step."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """What it remembers between steps."""
        ...

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back what :meth:`tensors` gave."""
        ...


class Asking(Protocol):
    """A batch: the loop counts its questions."""

    @property
    def questions(self) -> Sized:
        """Its questions."""
        ...


class Gradients(Protocol):
    """Adds the gradients of a batch's loss; see :func:`dpr_rag.training.gradients.add_gradients`."""

    def __call__(
        self,
        model: Any,
        objective: Any,
        batch: Any,
        *,
        seed: Any,
        chunk_tokens: int | None = None,
        gradient_cache: bool | None = None,
        bf16: bool = False,
        scale: float = 1.0,
        processes: Any = None,
    ) -> float:
        """The loss, whose gradients are added to those that the parameters have."""
        ...

"""A reader's weights as trainable modules; run by the runtime of encoders, and saved as a reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoders.runtime import Batch as Chunk
from dpr_rag.encoders.torch_runtime import TorchRuntime
from dpr_rag.encoders.towers import Tower
from dpr_rag.errors import TrainingError
from dpr_rag.reading.heads import body_of, heads_of, with_heads
from dpr_rag.reading.pairs import BODY
from dpr_rag.reading.reader import Reader
from dpr_rag.training.model import own_weights, with_dropout

if TYPE_CHECKING:
    import torch


class ReaderModel:
    """A reader in training: float32 copies of its weights, which stay as they are.

    Args:
        start: The reader whose weights are the starting point.
        dropout: Of the hidden states and the attention; None keeps what the configuration says.
        frozen: So many of the first layers, and the embeddings with them, stay as they are; 0 trains everything.
        device: Where to train; None takes a GPU where there is one.

    Attributes:
        start: The reader that training starts from.
    """

    def __init__(
        self, start: Reader, *, dropout: float | None = None, frozen: int = 0, device: str | None = None
    ) -> None:
        self.start = start
        body, heads = with_dropout(body_of(start.tower), dropout), heads_of(start.tower)
        self._runtime = TorchRuntime(body, BODY, device=device, dtype="float32", each_token=heads)
        own_weights(self._runtime)
        if self.device.type == "cpu":  # the fused attention's way back takes a CPU longer than all that it fuses
            self._runtime.backbone.set_attn_implementation("eager")
        first = ("embeddings.", *(f"encoder.layer.{at}." for at in range(frozen))) if frozen else ()
        for name, parameter in self._runtime.backbone.named_parameters():
            parameter.requires_grad_(not name.startswith(first))

    @property
    def device(self) -> Any:
        """Where the weights are."""
        return self._runtime.device

    @property
    def encoder(self) -> Reader:
        """The reader with the current weights, on the device of the training."""
        running: Any = {"runtime": "torch", "dtype": "float32", "device": str(self.device)}
        return Reader(self._tower(), profile=self.start.profile, source=self.start.source, **running)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Everything that learns, by name."""
        return {name: parameter for name, parameter in self._named().items() if parameter.requires_grad}

    def tensors(self) -> dict[str, torch.Tensor]:
        """All current weights by name; they share memory with the modules."""
        return {name: tensor.detach() for name, tensor in self._named().items()}

    def _named(self) -> dict[str, torch.nn.Parameter]:
        parts: dict[str, Any] = {"body": self._runtime.backbone, "heads": self._runtime.head}
        return {
            f"{part}.{name}": parameter
            for part, module in parts.items()
            for name, parameter in module.named_parameters()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load weights by name.

        Raises:
            TrainingError: They are of another model.
        """
        import torch

        own = self.tensors()
        if set(own) != set(tensors):
            odd = sorted(set(own) ^ set(tensors))[:3]
            raise TrainingError(
                f"the saved weights do not fit the reader (for example {odd}); start with the same reader"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def check_finite(self) -> None:
        """Raise if the weights give NaN or infinite scores.

        Raises:
            TrainingError: One is infinite or NaN.
        """
        import torch

        for name, tensor in self.tensors().items():
            if not torch.isfinite(tensor).all():
                raise TrainingError(
                    f"what was trained is not finite ({name}); choose another folder for the output and a lower learning rate"
                )

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Dropout is on inside."""
        self._runtime.backbone.train()
        try:
            yield
        finally:
            self._runtime.backbone.eval()

    @contextmanager
    def averaged(self, start_share: float) -> Iterator[None]:
        """Inside, the weights are their average with the starting ones; outside they are as they were."""
        import torch

        kept = {name: tensor.clone() for name, tensor in self.tensors().items()} if start_share else {}
        weight, bias = heads_of(self.start.tower)
        before = {f"body.{name}": array for name, array in self.start.tower.state.items()}
        before |= {"heads.weight": weight, "heads.bias": bias}
        with torch.no_grad():
            for name in kept:
                old = torch.from_numpy(np.array(before[name], np.float32)).to(self.device)
                self.tensors()[name].mul_(1 - start_share).add_(old, alpha=start_share)
        try:
            yield
        finally:
            if kept:
                self.load(kept)

    def save(self, path: Path) -> None:
        """Write the current weights as a reader into a folder."""
        self.encoder.save_pretrained(path)

    def scores(self, chunk: Chunk) -> torch.Tensor:
        """Start, end and selection of every token, float32 [n, length, 3]; gradients flow through them."""
        return self._runtime.forward(chunk)

    def _tower(self) -> Tower:
        arrays = {name: tensor.float().cpu().numpy().copy() for name, tensor in self.tensors().items()}
        body = {name.removeprefix("body."): array for name, array in arrays.items() if name.startswith("body.")}
        return with_heads(self.start.tower, arrays["heads.weight"], arrays["heads.bias"], body)

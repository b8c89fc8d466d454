"""AdamW over the towers, and its state by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpr_rag.errors import TrainingError
from dpr_rag.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

_SEPARATOR = "/"


class Optimizer:
    """AdamW as in DPR's code: no weight decay on biases and layer norms, gradients clipped by their common norm.

    Args:
        parameters: What learns, by name.
        settings: Weight decay and the norm.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], settings: TrainingSettings) -> None:
        import torch

        self._parameters = dict(parameters)
        self._norm = settings.gradient_norm
        one_dimensional = [
            parameter for parameter in self._parameters.values() if parameter.ndim < 2
        ]  # biases and layer norms
        others = [parameter for parameter in self._parameters.values() if parameter.ndim >= 2]
        groups = [
            {"params": others, "weight_decay": settings.weight_decay},
            {"params": one_dimensional, "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(groups, lr=settings.learning_rate, eps=1e-8)

    def step(self, rate: float) -> float:
        """Clip the gradients, take one step at a rate, forget the gradients; return their norm before clipping.

        Raises:
            TrainingError: The norm is not finite; the weights are as they were.
        """
        import torch

        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"the norm of the gradients is {float(norm)}; lower the learning rate, or try it without bf16"
            )
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return float(norm)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Moments and step counts as ``moment/parameter``."""
        moments = {}
        for name, parameter in self._parameters.items():
            for moment, tensor in self._adam.state.get(parameter, {}).items():
                moments[f"{moment}{_SEPARATOR}{name}"] = tensor
        return moments

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`tensors` returned.

        Raises:
            TrainingError: They are of other parameters.
        """
        for key, tensor in tensors.items():
            moment, _, name = key.partition(_SEPARATOR)
            if name not in self._parameters:
                raise TrainingError(
                    f"the saved state of the optimizer has {key!r:.100}, which the model has not; start with the same model"
                )
            parameter = self._parameters[name]
            self._adam.state[parameter][moment] = tensor if moment == "step" else tensor.to(parameter.device)

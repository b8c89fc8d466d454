"""Data-parallel training: shards of a batch, gathered vectors, and summed gradients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dpr_rag.encoders.torch_runtime import import_torch
from dpr_rag.errors import TrainingError

if TYPE_CHECKING:
    import torch

_PATIENCE = timedelta(hours=6)
"""How long others wait while the first process validates."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: Which it is, from 0; the first writes the files.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Processes:
        """The group that ``torch.distributed`` has been set up with, or this process alone."""
        import torch

        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return cls()
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """The rows of a batch that this process encodes: one run of them, as even as can be."""
        return range(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def gather(self, own: torch.Tensor, total: int) -> torch.Tensor:
        """All rows of a batch, of which each process has its share: float [total, dim], without gradients."""
        import torch

        if self.count == 1:
            return own.detach()
        sizes = [len(Processes(rank, self.count).share(total)) for rank in range(self.count)]
        padded = torch.zeros((max(sizes), own.shape[1]), dtype=own.dtype, device=own.device)
        padded[: len(own)] = own.detach()
        gathered = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(gathered, padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up the gradients of all processes, which are then the same everywhere.

        They go over as one: where the processes share cores with others, each exchange waits for all of them to be scheduled.
        """
        import torch

        if self.count == 1:
            return
        learning = list(parameters)
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        together = torch.cat([parameter.grad.reshape(-1) for parameter in learning if parameter.grad is not None])
        torch.distributed.all_reduce(together)
        parts = torch.split(together, [parameter.numel() for parameter in learning])
        for parameter, part in zip(learning, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def broadcast(self, message: dict[str, Any], device: Any) -> dict[str, Any]:
        """Send a JSON object from the first process to all others; returns it in each."""
        import torch

        if self.count == 1:
            return message
        text = json.dumps(message).encode()
        length = torch.tensor([len(text)], device=device)
        torch.distributed.broadcast(length, 0)
        letters = torch.zeros(int(length), dtype=torch.uint8, device=device)
        if self.first:
            letters.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        torch.distributed.broadcast(letters, 0)
        received: dict[str, Any] = json.loads(bytes(letters.cpu().tolist()))
        return received

    def wait(self) -> None:
        """Wait for all."""
        import torch

        if self.count > 1:
            torch.distributed.barrier()


def join_processes() -> Processes:
    """Join the group that ``torchrun`` describes in the environment, or return this process alone.

    Raises:
        TrainingError: The environment describes a group that cannot be joined.
        MissingExtraError: PyTorch or transformers is not installed.
    """
    torch = import_torch()

    if Processes.current().count > 1 or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes.current()
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        torch.distributed.init_process_group("nccl" if on_gpus else "gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise TrainingError(
            f"the processes of torchrun cannot be joined ({error}); start them with torchrun"
        ) from error
    return Processes.current()


def leave_processes() -> None:
    """Leave the group that this process has joined, if it has: one that ends inside of it is warned about."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

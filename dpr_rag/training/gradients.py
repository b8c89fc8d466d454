"""The gradients of one batch, exact for any batch size, with the memory of a chunk of it.

Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache): all texts are
encoded without gradients, the loss gives the gradient of each vector, and the texts are encoded once more, chunk by
chunk, to carry these gradients into the weights. Each chunk's dropout comes from a seed of its own, so that both times
the same units are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Batch as Chunk
from dpr_rag.encoders.runtime import batches as chunks_of
from dpr_rag.encoders.sides import Side
from dpr_rag.encoders.tokens import TokenSequence, normalize_passage
from dpr_rag.encoders.torch_runtime import TorchRuntime
from dpr_rag.passages import Passage
from dpr_rag.training.batches import Batch
from dpr_rag.training.model import Model
from dpr_rag.training.objective import Objective
from dpr_rag.training.processes import Processes

if TYPE_CHECKING:
    import torch

    from dpr_rag.corpora import TrainingPassage

CPU_TOKENS = 4096
GPU_TOKENS = 32768


@dataclass(slots=True)
class Encoding:
    """The texts of one side that this process encodes, in chunks of similar length.

    Attributes:
        runtime: The tower.
        profile: Whether vectors are normalised.
        chunks: Padded token ids; their ``rows`` are places among the texts.
        seeds: Of each chunk's dropout.
        count: How many texts there are.
        bf16: Whether the tower runs in bfloat16.
        learns: Whether any of its weights does.
    """

    runtime: TorchRuntime
    profile: Profile
    chunks: list[Chunk]
    seeds: list[int]
    count: int
    bf16: bool
    learns: bool
    _kept: torch.Tensor | None = field(default=None)

    @property
    def tokens(self) -> int:
        """Padded tokens of all chunks."""
        return sum(chunk.ids.size for chunk in self.chunks)

    def vectors(self, *, keep: bool) -> torch.Tensor:
        """All vectors, float32 [count, dim], detached; ``keep`` keeps their graph for :meth:`backward`."""
        import torch

        with torch.set_grad_enabled(keep and self.learns):
            parts = [self._forward(chunk, seed) for chunk, seed in zip(self.chunks, self.seeds, strict=True)]
            if not parts:
                return torch.zeros((0, self.runtime.dim), device=self.runtime.device)
            places = np.argsort([row for chunk in self.chunks for row in chunk.rows])
            encoded = torch.cat(parts)[torch.from_numpy(places).to(self.runtime.device)]
        self._kept = encoded if encoded.requires_grad else None
        return encoded.detach()

    def backward(self, gradient: torch.Tensor) -> None:
        """Backpropagate the gradient of the vectors, float32 [count, dim], to the weights."""
        import torch

        if self._kept is not None:
            self._kept.backward(gradient)  # type: ignore[no-untyped-call]
            self._kept = None
            return
        for chunk, seed in zip(self.chunks, self.seeds, strict=True):
            with torch.enable_grad():
                vectors = self._forward(chunk, seed)
            vectors.backward(gradient[chunk.rows])  # type: ignore[no-untyped-call]

    def _forward(self, chunk: Chunk, seed: int) -> torch.Tensor:
        import torch

        torch.manual_seed(seed)
        with torch.autocast(self.runtime.device.type, torch.bfloat16, enabled=self.bf16):
            vectors = self.runtime.forward(chunk)
        return torch.nn.functional.normalize(vectors, eps=1e-12) if self.profile.normalise else vectors


def add_gradients(
    model: Model,
    objective: Objective,
    batch: Batch,
    *,
    seed: Sequence[int],
    chunk_tokens: int | None = None,
    gradient_cache: bool | None = None,
    bf16: bool = False,
    scale: float = 1.0,
    processes: Processes | None = None,
) -> float:
    """Accumulate the gradients of a batch's loss in the parameters, and return the loss.

    With several processes each encodes its share of the texts and adds its part of the gradients: their sum is the whole.

    Args:
        model: The towers, in training mode.
        objective: The loss.
        batch: The whole batch, the same in every process.
        seed: Numbers that the dropout of this batch follows from.
        chunk_tokens: See ``TrainingSettings.chunk_tokens``.
        gradient_cache: See ``TrainingSettings.gradient_cache``.
        bf16: Run the towers in bfloat16.
        scale: The gradients are multiplied by it.
        processes: Those that train together; None is this one alone.
    """
    group = processes or Processes()
    budget = chunk_tokens or (CPU_TOKENS if model.device.type == "cpu" else GPU_TOKENS)
    rows, columns = group.share(len(batch.questions)), group.share(len(batch.passages))
    with private_randomness(model.device):
        own = [*seed, group.rank]
        questions = _questions(model, batch.questions[rows.start : rows.stop], budget, own, bf16)
        passages = _passages(model, batch.passages[columns.start : columns.stop], budget, own, bf16)
        fits = questions.tokens + passages.tokens <= budget
        keep = fits if gradient_cache is None else not gradient_cache
        all_questions = group.gather(questions.vectors(keep=keep), len(batch.questions)).requires_grad_()
        all_passages = group.gather(passages.vectors(keep=keep), len(batch.passages)).requires_grad_()
        loss = objective.loss(all_questions, all_passages, batch)
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        for encoding, vectors, share in ((questions, all_questions, rows), (passages, all_passages, columns)):
            if encoding.learns and vectors.grad is not None:
                encoding.backward(vectors.grad[share.start : share.stop])
    return float(loss.detach())


def _questions(model: Model, questions: Sequence[str], budget: int, seed: list[int], bf16: bool) -> Encoding:
    side = model.encoder.sides[0]
    return _encoding(side, model.question, side.tokens.questions(questions), budget, [*seed, 0], bf16)


def _passages(model: Model, passages: Sequence[TrainingPassage], budget: int, seed: list[int], bf16: bool) -> Encoding:
    side = model.encoder.sides[1]
    clean = normalize_passage if side.profile.straighten else str
    plain = [Passage.checked_before("", clean(passage.text), passage.title, {}) for passage in passages]
    return _encoding(side, model.context, side.tokens.passages(plain), budget, [*seed, 1], bf16)


def _encoding(
    side: Side, runtime: TorchRuntime, sequences: list[TokenSequence], budget: int, seed: list[int], bf16: bool
) -> Encoding:
    profile = side.profile
    chunks = list(chunks_of(sequences, budget=budget, pad=side.tokens.pad, segments=profile.segments))
    seeds = [mixed(*seed, at) for at in range(len(chunks))]
    learns = any(parameter.requires_grad for parameter in runtime.backbone.parameters())
    return Encoding(runtime, profile, chunks, seeds, len(sequences), bf16, learns)


def mixed(*numbers: int) -> int:
    """A seed derived from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


@contextmanager
def private_randomness(device: Any) -> Iterator[None]:
    """Restore the global random state of the process after the block."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield

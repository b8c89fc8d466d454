"""Trains a reader, on the same loop as the encoders: with states to go on from, a log and a schedule.

``train_reader(read_samples("train.jsonl")[0], "out", init=reader_from(encoder))`` and ``Reader.from_pretrained("out")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.corpora import TrainingSample
from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.runtime import batches as chunks_of
from dpr_rag.errors import TrainingError
from dpr_rag.reading.heads import SELECTION, with_heads
from dpr_rag.reading.profiles import OWN, ReaderProfile
from dpr_rag.reading.reader import Reader
from dpr_rag.training.checks import check_int
from dpr_rag.training.folder import OutputFolder
from dpr_rag.training.gradients import CPU_TOKENS, GPU_TOKENS, mixed, private_randomness
from dpr_rag.training.processes import Processes
from dpr_rag.training.progress import ProgressCallback
from dpr_rag.training.reading_batches import Example, ReadingBatch, ReadingBatches, examples_of
from dpr_rag.training.reading_loss import question_loss, span_losses
from dpr_rag.training.reading_model import ReaderModel
from dpr_rag.training.running import TrainingResult
from dpr_rag.training.settings import TrainingSettings
from dpr_rag.training.trainer import Trainer
from dpr_rag.training.validation import Validation

if TYPE_CHECKING:
    import torch


def reader_from(start: DualEncoder, *, profile: ReaderProfile = OWN, seed: int = 0) -> Reader:
    """Make a reader of a BERT's weights, with new heads.

    Args:
        start: An encoder on one BERT.
        profile: How question and passage become one input.
        seed: Of the heads.

    Raises:
        TrainingError: The encoder is no single BERT.
    """
    tower = start.question_tower
    if not start.shared or tower.architecture != "BertModel":
        raise TrainingError(f"{start.source} is {tower.architecture}; a reader is made of a single BertModel")
    size = int(tower.config["hidden_size"])
    weight = np.random.default_rng(seed).normal(0, 0.02, (3, size)).astype(np.float32)
    return Reader(
        with_heads(tower, weight, np.zeros(3, np.float32)), profile=profile, source=f"reader of {start.source}"
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """The objective of a reader, see :func:`dpr_rag.training.reading_loss.question_loss`.

    Attributes:
        frozen: So many of the first layers stay as they are.
    """

    frozen: int = 0

    @property
    def fingerprint(self) -> str:
        """Name and frozen layers."""
        return f"reading/{self.frozen}"

    def check(self, model: Any) -> None:
        """Every reader can be trained."""

    def learns_from(self, epoch: Iterable[ReadingBatch]) -> bool:
        """Whether any question has a second passage."""
        return any(len(own) > 1 for batch in epoch for own in batch.passages)

    def on_step(self, model: Any) -> None:
        """Nothing follows a step."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Nothing is remembered between steps."""
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Nothing was remembered."""


def add_reading_gradients(
    model: ReaderModel,
    objective: Reading,
    batch: ReadingBatch,
    *,
    seed: Sequence[int],
    chunk_tokens: int | None = None,
    gradient_cache: bool | None = None,
    bf16: bool = False,
    scale: float = 1.0,
    processes: Any = None,
) -> float:
    """Add the gradients of a batch's mean loss over its questions, and return the loss.

    Inputs of similar length run together, whichever question they belong to, and all of them are kept in memory. With several
    processes each takes its share of the questions.

    Args:
        model: The reader, in training mode.
        objective: What is minimised.
        batch: The whole batch, the same in every process.
        seed: Numbers that the windows and the dropout follow from.
        chunk_tokens: Most padded tokens that run at once.
        gradient_cache: Not for readers.
        bf16: Run the body in bfloat16.
        scale: The gradients are multiplied by it.
        processes: Those that train together; None is this one alone.
    """
    import torch

    group = processes or Processes()
    share = group.share(len(batch.questions))
    questions = examples_of(batch, model.start.pairs, seed)[share.start : share.stop]
    budget = chunk_tokens or (CPU_TOKENS if model.device.type == "cpu" else GPU_TOKENS)
    with private_randomness(model.device):
        torch.manual_seed(mixed(*seed, group.rank))
        losses = _losses(model, questions, budget, bf16=bf16)
        (losses.sum() * scale / len(batch.questions)).backward()  # type: ignore[no-untyped-call]
    return float(group.gather(losses[:, None], len(batch.questions)).mean())


def _losses(model: ReaderModel, questions: Sequence[Sequence[Example]], budget: int, *, bf16: bool) -> torch.Tensor:
    """The loss of each question, float32 [n]."""
    import torch

    flat = [example for own in questions for example in own]
    selection, spans = ([torch.empty(0)] * len(flat) for _ in range(2))
    sequences = [example.window.sequence for example in flat]
    for chunk in chunks_of(sequences, budget=budget, pad=model.start.pairs.pad, segments="zero"):
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            scores = model.scores(chunk)
        losses = span_losses(scores, [flat[row] for row in chunk.rows])
        for at, row in enumerate(chunk.rows):
            selection[row], spans[row] = scores[at, 0, SELECTION], losses[at]
    question_losses, at = [torch.zeros(0, device=model.device)], 0
    for own in questions:
        rows = slice(at, at := at + len(own))
        question_losses.append(question_loss(torch.stack(selection[rows]), torch.stack(spans[rows]))[None])
    return torch.cat(question_losses)


def train_reader(
    samples: Sequence[TrainingSample],
    output: str | Path,
    *,
    init: Reader,
    settings: TrainingSettings | None = None,
    frozen: int = 0,
    validation: Sequence[Validation] = (),
    progress: ProgressCallback | None = None,
    device: str | None = None,
) -> TrainingResult:
    """Train a reader; a folder with an unfinished training goes on exactly where its newest state stands.

    Under ``torch.distributed`` every process calls this with the same arguments.

    Args:
        samples: Questions with answers, positives and hard negatives, as :func:`dpr_rag.training.mine` makes them.
        output: Folder for the reader; log, picture and states go to its ``training/``.
        init: The reader to start from, see :func:`reader_from`; it stays as it is.
        settings: Hyperparameters; None is two epochs in batches of 16 questions with two hard negatives each.
        frozen: So many of the first layers, and the embeddings with them, stay as they are, which takes a third less time
            for two of six; 0 trains everything.
        validation: What measures the weights while they are trained, see
            :class:`dpr_rag.training.reading_validation.ReadingValidation`; the best by ``settings.select`` are written in the
            end, or those of the start where none surpass them. Without any, the last ones are.
        progress: Called after every step; what it raises ends the training, whose state is saved first.
        device: Where to train; None takes a GPU where there is one.

    Raises:
        TrainingError: There is nothing to train on, another training is in the folder, or the loss is no longer finite.
    """
    chosen = replace(settings or SETTINGS, temperature=1.0)
    source = ReadingBatches(samples, batch_size=chosen.batch_size, hard_negatives=chosen.hard_negatives)
    model = ReaderModel(init, dropout=chosen.dropout, frozen=check_frozen(frozen, init), device=device)
    folder = OutputFolder(output)
    trainer = Trainer(
        model,
        source,
        Reading(frozen),
        chosen,
        folder,
        validation=validation,
        on_step=progress,
        gradients=add_reading_gradients,
    )
    processes = Processes.current()
    state = folder.begin(trainer.about) if processes.first else None
    processes.wait()
    state = state or folder.begin(trainer.about)
    end = folder.outcome() if state == "finished" else trainer.run()
    return TrainingResult(folder.path, end.step, end.best, end.best_step, end.start)


def check_frozen(frozen: int, init: Reader) -> int:
    """Refuse to freeze more layers than all but one.

    Raises:
        TrainingError: Nothing of the body would learn.
    """
    check_int("frozen", frozen, 0)
    layers = int(init.tower.config["num_hidden_layers"])
    if frozen >= layers:
        raise TrainingError(f"frozen is {frozen}, and the reader has {layers} layers; leave at least one to learn")
    return frozen


SETTINGS = TrainingSettings(batch_size=16, hard_negatives=2, epochs=2, learning_rate=5e-5, gradient_norm=1.0)

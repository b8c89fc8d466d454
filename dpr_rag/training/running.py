"""``train``: from samples or a batch source to a trained encoder in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path

from dpr_rag.arguments import check_callable
from dpr_rag.corpora import TrainingSample
from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.errors import TrainingError
from dpr_rag.training.batches import BatchSource, RandomBatches
from dpr_rag.training.folder import OutputFolder
from dpr_rag.training.learnable import cautions
from dpr_rag.training.model import Model
from dpr_rag.training.objective import NegativeLogLikelihood, Objective
from dpr_rag.training.processes import Processes
from dpr_rag.training.progress import ProgressCallback
from dpr_rag.training.samples import check_samples
from dpr_rag.training.settings import TrainingSettings
from dpr_rag.training.trainer import Trainer
from dpr_rag.training.validation import Validation

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        path: The folder, which ``DualEncoder.from_pretrained`` loads.
        steps: Steps taken in all.
        best: The best value of the selected measure, or None where nothing was validated.
        best_step: The step whose weights were kept for it; 0 is the start, which nothing that was trained surpassed.
        start: The selected measure before the first step, or None where nothing was validated.
    """

    path: Path
    steps: int
    best: float | None
    best_step: int | None
    start: float | None = None


def train(
    data: BatchSource | Sequence[TrainingSample],
    output: str | Path,
    *,
    init: DualEncoder,
    settings: TrainingSettings | None = None,
    objective: Objective | None = None,
    validation: Sequence[Validation] = (),
    progress: ProgressCallback | None = None,
    device: str | None = None,
) -> TrainingResult:
    """Train a dual encoder as in the DPR paper, or with the batches and the objective of another recipe.

    If the folder holds an unfinished training, it is resumed from its newest checkpoint, and ends with the same weights as an
    uninterrupted one. Under ``torch.distributed``, every process calls this with the same arguments.

    Args:
        data: Samples, which become :class:`RandomBatches`; or any batch source.
        output: Folder for the encoder; log, plot and checkpoints go to its ``training/``.
        init: The encoder to start from; it is not changed.
        settings: Hyperparameters; None for the paper's.
        objective: The objective; None for the paper's :class:`NegativeLogLikelihood`.
        validation: Measures of the weights during training. All are logged, and the best weights by ``settings.select``,
            including the initial ones, are saved at the end. Without validation, the last weights are saved.
        progress: Called after every step in the first process; an exception that it raises ends the training after a
            checkpoint.
        device: Device to train on; None for a GPU if there is one.

    Raises:
        TrainingError: The data are neither samples nor a batch source, or are empty; ``settings.select`` is not measured; the
            objective does not fit the towers; the folder holds another training; or the loss is not finite.
    """
    check_callable("progress", progress)
    chosen = settings or TrainingSettings()
    chosen = replace(chosen, temperature=chosen.temperature_for(init.profile))
    model = Model(init, towers=chosen.towers, dropout=chosen.dropout, device=device)
    folder = OutputFolder(output)
    trainer = Trainer(
        model,
        _source_of(data, chosen),
        objective or NegativeLogLikelihood(temperature=chosen.temperature_for(init.profile)),
        chosen,
        folder,
        validation=validation,
        on_step=progress,
    )
    processes = Processes.current()
    state = folder.begin(trainer.about) if processes.first else None
    processes.wait()
    state = state or folder.begin(trainer.about)
    end = folder.outcome() if state == "finished" else trainer.run()
    return TrainingResult(folder.path, end.step, end.best, end.best_step, end.start)


def _source_of(data: BatchSource | Sequence[TrainingSample], settings: TrainingSettings) -> BatchSource:
    if not isinstance(data, Sequence):
        if not hasattr(data, "batches"):
            raise TrainingError(
                f"data is a {type(data).__name__}; expected a list of samples, which are seen more than once, or a batch source"
            )
        return data
    samples, report = check_samples(data)
    if not samples:
        raise TrainingError(f"nothing to train on: {'; '.join(report.lines()) or 'no samples were given'}")
    told = cautions(samples, settings.batch_size, settings.hard_negatives, settings)
    for line in [*report.lines(), *told]:
        _log.warning("%s", line.strip())
    return RandomBatches(
        samples,
        batch_size=settings.batch_size,
        hard_negatives=settings.hard_negatives,
        shuffle_positives=settings.shuffle_positives,
    )

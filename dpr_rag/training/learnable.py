"""Refuses training data that nothing can be learnt from, before any work, and reports what is only partly usable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dpr_rag.corpora import TrainingSample
from dpr_rag.errors import TrainingError
from dpr_rag.training.batches import key_of
from dpr_rag.training.learner import Aim
from dpr_rag.training.settings import TrainingSettings, learning_rate


def check_learnable(epoch: Iterable[Any], objective: Aim) -> None:
    """Refuse batches with nothing to compare, whose loss is 0 for any weights.

    Of an epoch that teaches anything only the first batches are made.

    Raises:
        TrainingError: The objective learns from none of them.
    """
    if not objective.learns_from(epoch):
        raise TrainingError(
            "no batch has a second passage to tell the positive from, so that the loss is 0 whatever is learnt: its samples "
            "are alone in their batches or share one positive, without hard negatives; give a larger batch of samples with "
            "different positives, or samples with hard negatives (dpr-rag mine)"
        )


def check_rates(settings: TrainingSettings, steps: int) -> None:
    """Refuse a schedule whose every rate is 0.

    Raises:
        TrainingError: It is one.
    """
    if learning_rate(settings, steps - 1, steps) <= 0 and steps <= settings.warmup_of(steps):
        raise TrainingError(
            f"the warm-up of {settings.warmup_of(steps)} begins at a learning rate of 0, and its first step is the last; "
            "take more steps or less warm-up"
        )


def cautions(
    samples: Sequence[TrainingSample], batch_size: int, hard_negatives: int, settings: TrainingSettings | None = None
) -> list[str]:
    """Warnings for the user: samples that teach less than they could.

    Args:
        samples: The training set.
        batch_size: Questions of a batch.
        hard_negatives: Hard negatives of a question.
        settings: The schedule, or None to leave it out.
    """
    warnings = []
    bare = len(samples) if not hard_negatives else sum(not sample.hard_negatives for sample in samples)
    if 1 < len(samples) < batch_size:
        warnings.append(
            f"{len(samples):,} samples fill no batch of {batch_size:,}: an epoch is one step; give more, or a smaller batch"
        )
    if batch_size == 1 and 0 < bare < len(samples):
        warnings.append(f"{bare:,} samples have no hard negative and are alone in their batches: they teach nothing")
    if len(samples) > 1 and len({key_of(sample.positives[0]) for sample in samples}) == 1 and bare < len(samples):
        warnings.append("all samples have the same positive: they learn from their hard negatives alone")
    if settings is not None and settings.warmup_steps:
        steps = settings.steps or settings.epochs * -(-len(samples) // (batch_size * settings.accumulate))
        if settings.warmup_steps >= steps > 1:
            warnings.append(
                f"the warm-up of {settings.warmup_steps:,} steps is as long as the training: the learning rate never reaches "
                "its highest"
            )
    return warnings

"""The hyperparameters of a training: the published ones, and overrides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from dpr_rag.arguments import check_flag
from dpr_rag.encoders.profiles import Profile
from dpr_rag.errors import TrainingError, unknown
from dpr_rag.training.checks import check_int, check_number

Towers = Literal["as-given", "shared", "separate", "momentum"]
WARMUP_STEPS = 1237
NORMALISED_TEMPERATURE = 0.05
# How often is saved and logged shapes no weights, and the fingerprint of the data tells how positives are drawn.
_LEFT_OUT = ("save_every", "save_minutes", "log_every", "shuffle_positives")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of one training run; the defaults are those of DPR (``conf/train/biencoder_nq.yaml`` of its code).

    Attributes:
        batch_size: Questions of one batch, over all processes. This and the next two are for samples; a batch source has
            its own.
        hard_negatives: Hard negatives of a question, drawn anew in every epoch.
        shuffle_positives: Draw one of several positives in every epoch, instead of the first.
        epochs: How often every sample is seen.
        steps: Optimizer steps, instead of epochs.
        learning_rate: Highest rate of AdamW.
        warmup_steps: Steps over which the rate rises from 0; None is 1,237, or a tenth of all steps where that is less.
        weight_decay: Of AdamW; biases and layer norms are left out.
        gradient_norm: The norm that gradients are clipped to.
        dropout: Of the hidden states and the attention; None keeps what the model's configuration says.
        temperature: Scores are divided by it, unless an objective is given, which has its own. None is 0.05 where the
            encoder normalises its vectors, and else 1, the paper's.
        towers: ``separate`` trains two towers (of one model, if one is given), ``shared`` one; ``as-given`` keeps what
            the encoder has; ``momentum`` is for Contriever's recipe.
        accumulate: Batches whose gradients are averaged for one step; each keeps its own in-batch negatives.
        bf16: Run the towers in bfloat16; the weights and the loss stay float32.
        chunk_tokens: Most padded tokens that go through a tower at once; None is 4,096 on a CPU and 32,768 on a GPU.
        gradient_cache: Encode every text twice, first without gradients, so that a batch of any size needs the memory of
            one chunk. False keeps the whole batch in memory, which takes a quarter less time; None does so where it
            is no more than one chunk. The gradients are the same.
        seed: Of the order, the draws and the dropout.
        validate_every: Steps between validations; None validates after every epoch.
        select: The measure by which the best weights are kept, or ``last`` for those of the last step; None is
            the top-k accuracy of the largest k where that is measured, or else ``average_rank``, or else ``nll``.
        average_with_start: Share of the starting weights in the average that is written; 0 writes the trained ones.
        save_every: Steps between saved states.
        save_minutes: Minutes after which the state is saved sooner.
        log_every: Steps between lines of the log.

    Raises:
        TrainingError: A value is out of range.
        ArgumentError: ``shuffle_positives``, ``bf16`` or ``gradient_cache`` is neither true nor false.
    """

    batch_size: int = 128
    hard_negatives: int = 1
    shuffle_positives: bool = False
    epochs: int = 40
    steps: int | None = None
    learning_rate: float = 2e-5
    warmup_steps: int | None = None
    weight_decay: float = 0.0
    gradient_norm: float = 2.0
    dropout: float | None = 0.1
    temperature: float | None = None
    towers: Towers = "as-given"
    accumulate: int = 1
    bf16: bool = False
    chunk_tokens: int | None = None
    gradient_cache: bool | None = None
    seed: int = 0
    validate_every: int | None = None
    select: str | None = None
    average_with_start: float = 0.0
    save_every: int = 500
    save_minutes: float = 10.0
    log_every: int = 10

    def __post_init__(self) -> None:
        self._check_kinds()
        for name in ("batch_size", "epochs", "accumulate", "save_every", "log_every"):
            check_int(name, getattr(self, name), 1)
        for name in ("steps", "chunk_tokens", "validate_every"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        check_int("hard_negatives", self.hard_negatives, 0)
        check_int("seed", self.seed, 0)
        if self.warmup_steps is not None:
            check_int("warmup_steps", self.warmup_steps, 0)
        check_number("learning_rate", self.learning_rate, above=0.0, below=1e30)  # float32 ends soon behind it
        for name in ("gradient_norm", "save_minutes"):
            check_number(name, getattr(self, name), above=0.0)
        if self.temperature is not None:
            check_number("temperature", self.temperature, above=0.0)
        check_number("weight_decay", self.weight_decay, low=0.0)
        check_number("average_with_start", self.average_with_start, low=0.0, below=1.0)
        if self.dropout is not None:
            check_number("dropout", self.dropout, low=0.0, below=1.0)
        if self.towers not in get_args(Towers):
            raise TrainingError(unknown("towers", self.towers, get_args(Towers)))

    def _check_kinds(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, np.integer | np.floating):  # of a sweep; JSON and fingerprints know Python's own
                object.__setattr__(self, name, value.item())
        for name in ("shuffle_positives", "bf16", "gradient_cache"):
            if name != "gradient_cache" or self.gradient_cache is not None:
                check_flag(name, getattr(self, name))

    def as_dict(self) -> dict[str, Any]:
        """The settings that affect the weights, as a JSON object; saving and logging intervals do not."""
        return {name: value for name, value in asdict(self).items() if name not in _LEFT_OUT}

    def temperature_for(self, profile: Profile) -> float:
        """The temperature for an encoder's scores: the one given, or what its profile wants."""
        return self.temperature or (NORMALISED_TEMPERATURE if profile.normalise else 1.0)

    def warmup_of(self, steps: int) -> int:
        """Warm-up steps of a training of so many steps."""
        return min(WARMUP_STEPS, steps // 10) if self.warmup_steps is None else self.warmup_steps


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate of a step (from 0): a straight rise over the warm-up, then a straight fall to 0 at the end.

    Args:
        settings: The highest rate and the warm-up.
        step: Steps taken so far.
        steps: Steps in all.
    """
    warmup = settings.warmup_of(steps)
    if step < warmup:
        return settings.learning_rate * step / warmup
    return settings.learning_rate * max(0.0, (steps - step) / max(1, steps - warmup))

"""The progress reports of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

ProgressCallback = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training: step, loss, rate and remaining time.

    Attributes:
        step: Steps taken.
        steps: Steps in all.
        epoch: The epoch under way, from 0.
        loss: Mean loss of the last step.
        questions_per_second: Since this process began.
        seconds_left: At this rate, from the first step on; nothing is told before it.
        measures: What validation found after this step, or None where none was due.
        best: Whether these are the best weights so far.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    questions_per_second: float
    seconds_left: float
    measures: Mapping[str, float] | None = None
    best: bool = False

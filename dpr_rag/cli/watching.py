"""The progress display of a training, and Ctrl-C, which ends it between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from dpr_rag.cli.terminal import note, progress

if TYPE_CHECKING:
    from dpr_rag.training import Progress
    from dpr_rag.training.progress import ProgressCallback


@contextmanager
def shown(total: int, *, quiet: bool) -> Iterator[ProgressCallback]:
    """Show a progress bar, counted in questions, and a line for every validation."""
    with progress("training", total, quiet=quiet) as advance, _ends_between_steps() as check:

        def report(now: Progress) -> None:
            advance(total * now.step // now.steps)
            if now.measures is not None and not quiet:
                note(_line(now))
            check()

        yield report


@contextmanager
def _ends_between_steps() -> Iterator[Callable[[], None]]:
    """Delay the first Ctrl-C to the end of the step, when the state can be saved; the second one interrupts at once."""
    signals: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, _: FrameType | None) -> None:
        signals.append(number)
        signal.signal(signal.SIGINT, before)
        note("saving after this step; press Ctrl-C again to stop at once")

    def check() -> None:
        if signals:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    remaining = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {remaining}"
    )

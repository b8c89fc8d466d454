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
    """A bar in questions while a person watches, and a line for every validation."""
    with progress("training", total, quiet=quiet) as advance, _ends_between_steps() as check:

        def told(now: Progress) -> None:
            advance(total * now.step // now.steps)
            if now.measures is not None and not quiet:
                note(_line(now))
            check()

        yield told


@contextmanager
def _ends_between_steps() -> Iterator[Callable[[], None]]:
    """Let the first Ctrl-C wait for the end of the step, where the state can be saved; the second one does not wait."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note_it(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)
        note("saving after this step; press Ctrl-C again to stop at once")

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note_it)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    left = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {left}"
    )

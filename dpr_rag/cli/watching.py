"""The progress display of a training, and Ctrl-C, SIGTERM and SIGHUP, which end it between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from dpr_rag.cli.terminal import leave_terminal, note, progress

if TYPE_CHECKING:
    from dpr_rag.training import Progress
    from dpr_rag.training.progress import ProgressCallback

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a command beside Ctrl-C: its manager, or the terminal that closes."""


@contextmanager
def shown(total: int, *, quiet: bool, first: bool) -> Iterator[ProgressCallback]:
    """Show a progress bar, counted in questions, and a line for every validation.

    Args:
        total: Questions in all.
        quiet: Show nothing.
        first: Whether this is the first of the processes that train together; the others show nothing.
    """
    quiet = quiet or not first
    with progress("training", total, quiet=quiet) as advance, _ends_between_steps(first=first) as check:

        def report(now: Progress) -> None:
            advance(total * now.step // now.steps)
            if now.measures is not None and not quiet:
                note(_line(now))
            check()

        yield report


def is_ignored(number: int) -> bool:
    """Whether a signal is not to be heard: who started this process wants it ignored, or has a handler that is not Python's."""
    return signal.getsignal(number) in (signal.SIG_IGN, None)


@contextmanager
def _ends_between_steps(*, first: bool) -> Iterator[Callable[[], None]]:
    """Delay the first signal to the end of the step, when the state can be saved; the second one interrupts at once.

    Processes beside the first take part in its step, and end when it has gone.
    """
    heard: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING) if not is_ignored(number)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, _: FrameType | None) -> None:
        heard.append(number)
        restore()
        leave_terminal()
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        if first:
            note(f"saving after this step{again}")

    def check() -> None:
        for number in heard:
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield check
    except RuntimeError:
        if not first:
            check()
        raise
    finally:
        restore()


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    remaining = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {remaining}"
    )

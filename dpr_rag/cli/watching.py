"""The progress display of a training, and Ctrl-C, SIGTERM and SIGHUP, which end it between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from dpr_rag.cli.terminal import leave_terminal, note, progress

if TYPE_CHECKING:
    from dpr_rag.training import Progress
    from dpr_rag.training.progress import ProgressCallback

HANG_UP: int | None = getattr(signal, "SIGHUP", None)
ENDING = tuple(number for number in (signal.SIGTERM, HANG_UP) if number is not None)
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
            try:
                advance(total * now.step // now.steps)
                if now.measures is not None and not quiet:
                    note(_line(now))
            finally:
                check()

        yield report


def is_ignored(number: int) -> bool:
    """Whether a signal is not to be heard: who started this process wants it ignored, or has a handler that is not Python's."""
    return signal.getsignal(number) in (signal.SIG_IGN, None)


class _Delayed:
    """The first signal waits for the end of the step, when the state can be saved; the second one interrupts at once.

    SIGHUP is never the second: a shell and the system each send it when their terminal is closed.
    Processes beside the first take part in its step, and end when it has gone.
    """

    def __init__(self, *, first: bool) -> None:
        self._first = first
        self._heard: list[int] = []
        self._before = {one: signal.getsignal(one) for one in (signal.SIGINT, *ENDING) if not is_ignored(one)}

    def listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._hear)

    def leave(self) -> None:
        if not self._heard:
            self._restore()

    def check(self) -> None:
        """Raise the signal that was heard, if one was."""
        if self._heard:
            self._restore()
            signal.raise_signal(self._heard[0])

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._heard.append(number)
        self._restore()
        if HANG_UP in self._before:
            signal.signal(HANG_UP, signal.SIG_IGN)
        leave_terminal()
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        if self._first:
            with suppress(OSError, SystemExit):  # whoever read it may have been ended, too
                note(f"saving after this step{again}")


@contextmanager
def _ends_between_steps(*, first: bool) -> Iterator[Callable[[], None]]:
    """Delay signals to the end of the step, see :class:`_Delayed`."""
    signals = _Delayed(first=first)
    signals.listen()
    try:
        yield signals.check
    except RuntimeError:
        if not first:
            signals.check()
        raise
    finally:
        signals.leave()


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    remaining = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {remaining}"
    )

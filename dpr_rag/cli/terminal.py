"""Output of the commands: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import logging
import os
import stat
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from dpr_rag.cli.escaping import fitting, json_line, printable, visible
from dpr_rag.faces import ByFace, on_face
from dpr_rag.passages import Hit

Advance = Callable[[int], None]
_LINES = 3
_BETWEEN_LINES = 30.0


class _Terminal(Console):
    """A console that escapes control characters in texts; the cells of tables are escaped with ``printable`` before."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, with control characters escaped."""
        super().print(*(visible(item) if isinstance(item, str) else item for item in objects), **options)


def output() -> Console:
    """Standard output, without colours when it is piped."""
    return _Terminal()


def notes() -> Console:
    """Standard error, without colours when it is piped."""
    return _Terminal(stderr=True)


def say(text: str = "") -> None:
    """Write a result on standard output."""
    _write(sys.stdout, visible(text))


def say_json(value: Any) -> None:
    """Write a value as one line of JSON on standard output."""
    _write(sys.stdout, json_line(value, sys.stdout))


def warn(text: str) -> None:
    """Write an error or advice on standard error."""
    _write(sys.stderr, visible(text))


def leave_terminal() -> None:
    """Write to the null device from now on in place of a terminal that has gone, where writing fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            number = stream.fileno()
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, number)
                os.close(null)
        except (OSError, ValueError):  # no file of the system
            continue


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def note(text: str) -> None:
    """Write one line on standard error, for the person who waits."""
    notes().print(text)


def confirm(question: str) -> None:
    """Ask on standard error, and end the command unless the answer is yes."""
    typer.confirm(fitting(visible(question), sys.stderr), abort=True, err=True)


class LogNotes(logging.Handler):
    """A log handler that writes records as notes, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        note(f"dpr-rag: {printable(' '.join(_message_of(record).split()))}")


def _message_of(record: logging.LogRecord) -> str:
    """The message of a record in the command line's words."""
    arguments = [
        on_face(argument, "cli") if isinstance(argument, ByFace | Exception) else argument
        for argument in record.args or ()
    ]
    message = on_face(record.msg, "cli")
    return message % tuple(arguments) if arguments else message


@contextmanager
def log_as_notes() -> Iterator[None]:
    """Write the library's warnings, and the store's log about its index, as notes."""
    library, store = logging.getLogger("dpr_rag"), logging.getLogger("dpr_rag.store")
    handler, level = LogNotes(), store.level
    handler.addFilter(
        lambda record: record.name != "dpr_rag.encoders.loaded"
    )  # cut passages are counted once, at the end
    library.addHandler(handler)
    store.setLevel(logging.INFO)
    try:
        yield
    finally:
        store.setLevel(level)
        library.removeHandler(handler)


def show_hits(question: str, hits: Sequence[Hit]) -> None:
    """Write a question and its hits: rank, score, title, id, the answer, and the passage's first lines."""
    console = output()
    console.print(printable(question), style="bold")
    if not hits:
        console.print("  no passage matches")
    for hit in hits:
        passage = hit.passage
        line = Text(f"  {hit.rank:>3}  {hit.score:8.4f}  ")
        line.append(printable(passage.title or "(no title)"), style="cyan")
        line.append(f"  [{printable(passage.id)}]", style="dim")
        console.print(line)
        if hit.answer is not None:
            console.print(f"       → {printable(hit.answer.text)}  ({hit.answer.probability:.0%})", style="green")
        for part in first_lines(passage.text, console.width):
            console.print(f"       {part}")
    console.print()


def first_lines(text: str, width: int) -> list[str]:
    """At most three lines from the start of a text, as they fit a terminal of this width."""
    room = max(20, min(width, 110) - 8)
    filled = [line for line in map(printable, text.splitlines()) if line]
    lines = [part for line in filled[: _LINES + 1] for part in textwrap.wrap(line, room)]
    if len(lines) > _LINES:
        lines[_LINES - 1] = textwrap.shorten(f"{lines[_LINES - 1]} {lines[_LINES]}", room - 2, placeholder="") + " …"
    return lines[:_LINES]


def show_facts(rows: Sequence[tuple[str, str]]) -> None:
    """Write names and values as a table."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, printable(value))
    output().print(table, soft_wrap=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "…/s", style="cyan")


class _ProgressLines:
    """Progress as a line every half minute, where no bar can be drawn: in a file, or a log."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._of = label, "" if total is None else f" of {total:,}"
        self._start = self._last = time.monotonic()

    def report(self, done: int) -> None:
        """Take the number done so far; writes a line if the last one is half a minute old."""
        now = time.monotonic()
        if now - self._last >= _BETWEEN_LINES:
            self._last = now
            note(f"{self._label}: {done:,}{self._of}, {done / (now - self._start):,.0f}/s")


@contextmanager
def progress(label: str, total: int | None, *, quiet: bool = False) -> Iterator[Advance]:
    """Show a bar with rate and time left while standard error is a terminal, or else a line every half minute.

    Args:
        label: Name of the activity.
        total: Number of passages, or None if it is unknown.
        quiet: Show nothing, terminal or not.

    Yields:
        A function that takes the number done so far.
    """
    console = notes()
    if not console.is_terminal:
        yield (lambda done: None) if quiet else _ProgressLines(label, total).report
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


def is_watched() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()


class Stopwatch:
    """Measures time and rate."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def rate(self, count: int) -> str:
        """The seconds since the start and the passages per second, as text."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        return f"in {seconds:,.1f} s ({count / seconds:,.0f} passages/s)"

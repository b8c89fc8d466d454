"""The commands under one name, and how each of them ends: result, one-line error, usage, or interruption."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from dpr_rag import __version__
from dpr_rag.cli import (
    agents,
    asking,
    chatting,
    copying,
    demo,
    evaluating,
    indexing,
    mining,
    recovering,
    removing,
    scaling,
    searching,
    serving,
    training,
    tuning,
    upkeep,
)
from dpr_rag.cli.escaping import visible
from dpr_rag.cli.terminal import leave_terminal, log_as_notes, say, warn
from dpr_rag.cli.watching import ENDING, HANG_UP, is_ignored
from dpr_rag.errors import DprRagError
from dpr_rag.faces import on_face

_UsageError: type[Any] = typer.BadParameter.__bases__[0]  # of click, or of the copy of it that typer brings
_UNTIL_INTERRUPTED = {"chat", "ui", "mcp", "serve"}  # commands that people end with Ctrl-C
_SERVING = {"serve", "mcp"}  # which hear signals themselves
_SIGNAL = "dpr_rag.signal"
_SOON = 0.02  # seconds
_RESUMABLE = {"index", "reencode", "demo", "train", "encode", "load", "export", "merge", "copy"}


class Commands(TyperGroup):
    """Turns what a command raises into an exit code and one line on standard error."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments before the command's name."""
        with _said_in_one_line(), _visible_usage():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            with _said_in_one_line(), _visible_usage():
                return super().invoke(ctx)
        except MemoryError:
            warn(
                "dpr-rag: error: the memory is used up; give the process more, or less to do at once, by --batch-size or --k"
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            heard = ctx.meta.get(_SIGNAL, signal.SIGINT)
            if ctx.invoked_subcommand in _UNTIL_INTERRUPTED and heard == signal.SIGINT:
                raise typer.Exit(0) from None
            with suppress(OSError):  # whoever read it may have been ended, too
                warn(f"\ndpr-rag: interrupted{_resume_advice(ctx.invoked_subcommand)}")
            raise typer.Exit(128 + heard) from None


@contextmanager
def _interrupted_by_signals(ctx: typer.Context) -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into interruptions, so that the command says how to go on, and puts away what it holds.

    Which it was is noted in the context, as libraries raise interruptions of their own in place of the handler's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    hearing = [number for number in ENDING if not is_ignored(number)]

    def on_signal(number: int, _: FrameType | None) -> NoReturn:
        # a second SIGTERM ends the process at once; that a terminal was closed is often said twice
        for other in hearing:
            signal.signal(other, signal.SIG_IGN if other == HANG_UP else signal.SIG_DFL)
        leave_terminal()
        ctx.meta[_SIGNAL] = number
        raise KeyboardInterrupt

    def again() -> int:
        number: int = ctx.meta.get(_SIGNAL, signal.SIGINT)
        if number != signal.SIGINT:
            signal.signal(number, on_signal)
        return number

    before = {number: signal.signal(number, on_signal) for number in hearing}
    try:
        with _heard_in_callbacks(again):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _heard_in_callbacks(again: Callable[[], int]) -> Iterator[None]:
    """Repeat a signal that came while Python ran a callback of its memory's, from which no interruption gets out.

    Args:
        again: Makes ready to hear it once more, and returns it.
    """
    before, waiting = sys.unraisablehook, list[threading.Timer]()

    def on_unraisable(problem: Any) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if not issubclass(problem.exc_type, KeyboardInterrupt) or not in_main:
            before(problem)
            return
        # a moment later and from another thread, as this is called inside the callback
        waiting.append(threading.Timer(_SOON, os.kill, (os.getpid(), again())))
        waiting[-1].daemon = True
        waiting[-1].start()

    sys.unraisablehook = on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in waiting:
            timer.cancel()
            timer.join()


@contextmanager
def _visible_usage() -> Iterator[None]:
    """Escape control characters in messages about wrong usage."""
    try:
        yield
    except _UsageError as error:
        error.message = visible(error.message)
        raise


@contextmanager
def _said_in_one_line() -> Iterator[None]:
    """End the process with a line on standard error where something is refused, or cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise typer.Exit(0) from None  # the reader has seen enough, as in `| head`
    except (DprRagError, OSError, ImportError) as error:
        if interruption := _interruption_behind(error):
            raise interruption from None
        if not isinstance(error, DprRagError | OSError):
            raise
        warn(f"dpr-rag: error: {_one_line(error)}")
        raise typer.Exit(1) from None


def _interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that caused an error: pybind11 makes an ImportError of one that comes while a library is loaded."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error


def _one_line(error: Exception) -> str:
    told = on_face(error, "cli")
    if isinstance(error, PermissionError) and not isinstance(error, DprRagError) and error.filename is not None:
        told = f"{error.filename}: {error.strerror}; check its rights, and those of its folders"
    return " ".join(told.split()) or type(error).__name__


def _resume_advice(command: str | None) -> str:
    if command not in _RESUMABLE:
        return "; nothing was applied by half"
    return f"; what was committed is kept. To go on, run the same command again:\n  {shlex.join(['dpr-rag', *sys.argv[1:]])}"


def _show_version(show: bool) -> None:
    if show:
        say(f"dpr-rag {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Dense passage retrieval: encode passages, store them, and ask them questions."""
    ctx.with_resource(log_as_notes())
    if ctx.invoked_subcommand not in _SERVING:
        ctx.with_resource(_interrupted_by_signals(ctx))


app.command()(indexing.index)
app.command()(searching.search)
app.command()(asking.ask)
app.command()(searching.info)
app.command()(chatting.chat)
app.command()(chatting.ui)
app.command()(agents.mcp)
app.command()(serving.serve)
app.command()(evaluating.evaluate)
app.command()(tuning.tune)
app.command()(mining.mine)
app.command()(training.train)
app.command()(removing.delete)
app.command()(upkeep.check)
app.command()(upkeep.optimize)
app.command()(upkeep.backup)
app.command()(upkeep.restore)
app.command()(recovering.recover)
app.command()(indexing.reencode)
app.command()(upkeep.convert)
app.command()(scaling.encode)
app.command()(scaling.load)
app.command()(scaling.export)
app.command()(scaling.merge)
app.command()(copying.copy)
app.command()(demo.demo)

"""The commands under one name, and how each of them ends: result, one-line error, usage, or interruption."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from dpr_rag.cli.terminal import log_as_notes, say, warn
from dpr_rag.errors import DprRagError
from dpr_rag.faces import on_face

_UsageError: type[Any] = typer.BadParameter.__bases__[0]  # of click, or of the copy of it that typer brings
_UNTIL_INTERRUPTED = {"chat", "ui", "mcp", "serve"}  # commands that people end with Ctrl-C
_MOVING = {"load", "merge", "copy"}
_RESUMABLE = {"index", "reencode", "demo", "train", "encode", "load", "export", "merge", "copy"}


class Commands(TyperGroup):
    """Turns what a command raises into an exit code and one line on standard error."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments before the command's name."""
        with _visible_usage():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            with _visible_usage():
                return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(0) from None  # the reader has seen enough, as in `| head`
        except (DprRagError, OSError) as error:
            warn(f"dpr-rag: error: {_one_line(error)}")
            raise typer.Exit(1) from None
        except MemoryError:
            warn(
                "dpr-rag: error: the memory is used up; give the process more, or less to do at once, by --batch-size or --k"
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt as error:
            if ctx.invoked_subcommand in _UNTIL_INTERRUPTED:
                raise typer.Exit(0) from None
            warn(f"\ndpr-rag: interrupted{_resume_advice(ctx.invoked_subcommand)}")
            raise typer.Exit(128 + (signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT)) from None


class _Terminated(KeyboardInterrupt):
    """SIGTERM, from the system or ``timeout``."""


def _raise_terminated(*_: object) -> NoReturn:
    raise _Terminated


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an interruption, so that the command says how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _visible_usage() -> Iterator[None]:
    """Escape control characters in messages about wrong usage."""
    try:
        yield
    except _UsageError as error:
        error.message = visible(error.message)
        raise


def _one_line(error: Exception) -> str:
    return " ".join(on_face(error, "cli").split()) or type(error).__name__


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
    if ctx.invoked_subcommand in _MOVING:
        ctx.with_resource(_interrupted_by_sigterm())


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

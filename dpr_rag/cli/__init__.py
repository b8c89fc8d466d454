"""The command line: its entry point, and nothing heavy before a command needs it."""

from __future__ import annotations

import os
import sys

from dpr_rag.cli.escaping import let_streams_escape

_NARROWEST = 10


def main() -> None:
    """Run ``dpr-rag`` with the process's arguments and end the process.

    Exit codes: 0 done, 1 an error (one line on standard error), 2 wrong usage, 129 the terminal was closed,
    130 interrupted, 143 ended by SIGTERM.
    """
    _open_closed_streams()
    _pass_over_width()
    let_streams_escape()
    try:
        from dpr_rag.cli.app import app

        app(prog_name="dpr-rag")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        _flush()


def _open_closed_streams() -> None:
    """Put the null device in the place of standard streams that were closed before the start, as by ``>&-``.

    Python leaves None there, and the system gives their numbers to the next files that are opened.
    """
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def _pass_over_width() -> None:
    """Forget a width in which nothing can be shown: ``COLUMNS=0``, as of terminals that do not know theirs, would hide all."""
    width = os.environ.get("COLUMNS", "")
    if width.isdecimal() and int(width) < _NARROWEST:
        del os.environ["COLUMNS"]


def _flush() -> None:
    """Flush now: a reader that went away (``| head``) would otherwise be reported while Python shuts down."""
    try:
        sys.stdout.flush()
    except OSError:  # a full disk was reported where the text was written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

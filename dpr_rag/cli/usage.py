"""Usage errors, with exit code 2: of errors about an option's value, and of options that would do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar

import typer

from dpr_rag.errors import DprRagError
from dpr_rag.faces import on_face

T = TypeVar("T")


@contextmanager
def usage(option: str | None = None) -> Iterator[None]:
    """Turn the library's refusal of an option's value into wrong usage; what files and stores hold is none of its business.

    Args:
        option: The option or argument that the value is of; None where the message names it.

    Raises:
        typer.BadParameter: The library refused it.
    """
    try:
        yield
    except DprRagError as error:
        raise typer.BadParameter(on_face(error, "cli"), param_hint=option) from error


def parsing(read: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of an argument: what the library refuses is wrong usage, with the advice for the command line.

    Args:
        read: Reads a path or an address.
    """

    @wraps(read)
    def parse(text: str) -> T:
        with usage():
            return read(text)

    return parse


def is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter of the command was given, not left to its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse parameters that would do nothing beside the others.

    Args:
        context: The command's.
        names: The names of the parameters.
        why: What they go with instead.

    Raises:
        typer.BadParameter: One was given.
    """
    for parameter in context.command.params:
        if parameter.name in names and is_given(context, parameter.name):
            raise typer.BadParameter(f"{why}; leave it out", param_hint=parameter.opts[0])

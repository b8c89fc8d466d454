"""Turns errors about an option's value into usage errors with exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dpr_rag.errors import DprRagError
from dpr_rag.faces import on_face


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

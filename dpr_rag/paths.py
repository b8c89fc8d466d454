"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from dpr_rag.arguments import kind
from dpr_rag.errors import PathError


def place_of(path: str | os.PathLike[str]) -> Path:
    """The place that a path from outside means: ``~`` and ``~name`` at its start are home folders.

    A shell expands them where they begin a word, and not in ``--store=~/wiki.dpr``, a notebook, or a configuration file.
    Where there is no such user, the path stays as it is; ``./~`` is always a folder of that name.

    Raises:
        PathError: It is none, or empty, as a variable that is not set leaves it.
    """
    if not isinstance(path, str | os.PathLike):
        raise PathError(
            f"the path is {kind(path)}, expected a string or a pathlib.Path; pass the name of a folder or a file"
        )
    given = os.fspath(path)
    if isinstance(given, bytes):
        raise PathError(f"the path is {kind(given)}, expected text; decode it with os.fsdecode(path)")
    if not given.strip():
        raise PathError("the path is empty; write . for the current folder")
    place = Path(os.path.expanduser(given))
    # A Path drops the "./", and would be taken for a home folder the next time.
    return place.absolute() if place.parts[:1] and place.parts[0].startswith("~") else place

"""Finds the passages that `index` made from a file, by their source or by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dpr_rag.errors import StoreError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import Passage


class Made(NamedTuple):
    """What is known of the file that a passage was made of.

    Attributes:
        source: Its absolute path, or an empty string.
        name: What stands before ``#`` and a number in the ids of a text file, or an empty string.
    """

    source: str
    name: str


def made_of(passage: Passage) -> Made:
    """What is known of the file that a passage was made of."""
    from dpr_rag.corpora.texts import SUFFIXES
    from dpr_rag.store import source_of

    source = source_of(passage)
    name, _, number = passage.id.rpartition("#")
    is_text = number.isdecimal() and (not source or source.lower().endswith(SUFFIXES))
    return Made(source, name if is_text else "")


class Files:
    """The files that the passages of a store were made of."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        """Read through the passages."""
        self._all = {made_of(passage) for passage in passages}

    def find(self, path: str) -> set[Made]:
        """The file at a path, or all below a folder; nothing where no passage was made of it.

        A path that exists means that file alone. One that does not, or that no source is known of, is also found by the
        name that ids begin with, with the folder's name in front or without it.

        Raises:
            StoreError: Several files have such a name.
        """
        path = str(place_of(path))
        exact = {made for made in self._all if made.source and _lies_in(made.source, _absolute(path))}
        if exact:
            return exact
        there = Path(path).exists()
        open_to_names = [made for made in self._all if made.name and not (made.source and there)]
        given = Path(path).as_posix()
        found = {made for made in open_to_names if _lies_in(made.name, [given])}
        if found:
            return found
        found = {made for made in open_to_names if _ends_alike(made.name, given)}
        if len(found) > 1:
            names = ", ".join(sorted(made.source or made.name for made in found)[:5])
            raise StoreError(f"{path} may be any of {len(found):,} files ({names}); name one in full")
        return found


def _absolute(path: str) -> Sequence[str]:
    """The path as sources name it: a link to the file as it stands, or what it leads to."""
    from dpr_rag.store import source_path

    return [source_path(path), source_path(Path(path).resolve())]


def _lies_in(name: str, places: Sequence[str]) -> bool:
    return any(name == place or name.startswith(f"{place.rstrip('/')}/") for place in places)


def _ends_alike(name: str, given: str) -> bool:
    return name.endswith(f"/{given}") or given.endswith(f"/{name}")

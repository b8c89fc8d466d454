"""Finds the passages that `index` made from a file, by their source or by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dpr_rag.errors import StoreError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import Passage


class SourceFile(NamedTuple):
    """The file that a passage was made from.

    Attributes:
        source: Its absolute path, or an empty string.
        name: The part before ``#`` and a number in the ids of a text file's passages, or an empty string.
    """

    source: str
    name: str


def file_of(passage: Passage) -> SourceFile:
    """The file that a passage was made from, by its source and its id."""
    from dpr_rag.corpora.texts import SUFFIXES
    from dpr_rag.store import source_of

    source = source_of(passage)
    name, _, number = passage.id.rpartition("#")
    is_text = number.isdecimal() and (not source or source.lower().endswith(SUFFIXES))
    return SourceFile(source, name if is_text else "")


class Files:
    """The files that the passages of a store were made from."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        """Read through the passages."""
        self._all = {file_of(passage) for passage in passages}

    def find(self, path: str) -> set[SourceFile]:
        """The file at a path, or all below a folder; empty if no passage was made from it.

        A path that exists means that file alone. Otherwise, or if passages have no source, the path is also compared with the
        name at the beginning of their ids, with or without the folder's name in front.

        Raises:
            StoreError: Several files have such a name.
        """
        path = str(place_of(path))
        exact = {file for file in self._all if file.source and _lies_in(file.source, _absolute(path))}
        if exact:
            return exact
        exists = Path(path).exists()
        with_names = [file for file in self._all if file.name and not (file.source and exists)]
        posix_path = Path(path).as_posix()
        matches = {file for file in with_names if _lies_in(file.name, [posix_path])}
        if matches:
            return matches
        matches = {file for file in with_names if _ends_alike(file.name, posix_path)}
        if len(matches) > 1:
            names = ", ".join(sorted(file.source or file.name for file in matches)[:5])
            raise StoreError(f"{path} may be any of {len(matches):,} files ({names}); name one in full")
        return matches


def _absolute(path: str) -> Sequence[str]:
    """The absolute paths that a source may have: of a link itself, and of its target."""
    from dpr_rag.store import source_path

    return [source_path(path), source_path(Path(path).resolve())]


def _lies_in(name: str, places: Sequence[str]) -> bool:
    return any(name == place or name.startswith(f"{place.rstrip('/')}/") for place in places)


def _ends_alike(name: str, path: str) -> bool:
    return name.endswith(f"/{path}") or path.endswith(f"/{name}")

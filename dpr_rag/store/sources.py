"""Sources: the file of each passage, so that one source does not replace the passages of another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from dpr_rag.errors import StoreError
from dpr_rag.passages import PRIVATE_KEY, SOURCE_KEY, Passage
from dpr_rag.paths import place_of

Replace = Literal["any", "own"]
UPLOAD = "upload:"
"""What the sources of files begin with that came from a browser, and lie nowhere."""


def source_of(passage: Passage) -> str:
    """The file that a passage was read from; empty if unknown."""
    source = passage.metadata.get(SOURCE_KEY)
    return source if isinstance(source, str) else ""


def named_source(passage: Passage) -> str:
    """The file that a passage was read from, or else ``source`` of its metadata, or an empty string."""
    named = passage.metadata.get("source")
    return source_of(passage) or (named if isinstance(named, str) else "")


def shown_source(source: str, passage_id: str = "") -> str:
    """A source for display, without folders of the machine that indexed it.

    Args:
        source: What :func:`named_source` returned.
        passage_id: Of a passage that has it; the ids of texts begin with the path inside the folder that was indexed.

    Returns:
        The path inside that folder, or the file's name; what is no path stays.
    """
    if not os.path.isabs(source):
        return source.removeprefix(UPLOAD)
    inside = passage_id.rpartition("#")[0]
    return inside if inside and source.endswith(f"/{inside}") else os.path.basename(source)


def with_source(passage: Passage, source: str) -> Passage:
    """The passage with its source: the absolute path of a file, see :func:`source_path`, or a name such as ``python:gzip``."""
    return _with(passage, {SOURCE_KEY: source})


def source_path(path: str | os.PathLike[str]) -> str:
    """The source of a file: its absolute path as text, with links to folders resolved."""
    place = place_of(path) if isinstance(path, str) else Path(path)  # a walk through "." meets folders called ~
    return os.fsencode(place.parent.resolve() / place.name).decode("utf-8", "backslashreplace")


def with_private(passage: Passage, old: Passage | None) -> Passage:
    """The passage with the reserved metadata of the one that it replaces, unless it has its own."""
    if old is None:
        return passage
    kept = {key: old.metadata[key] for key in (PRIVATE_KEY, SOURCE_KEY) if key in old.metadata}
    missing = {key: value for key, value in kept.items() if key not in passage.metadata}
    return _with(passage, missing) if missing else passage


def _with(passage: Passage, more: Mapping[str, object]) -> Passage:
    return Passage.checked_before(passage.id, passage.text, passage.title, {**passage.metadata, **more})


def check_replace(replace: object) -> None:
    """Refuse an unknown value of ``replace``.

    Raises:
        StoreError: It is neither ``any`` nor ``own``.
    """
    if not isinstance(replace, str) or replace not in ("any", "own"):
        raise StoreError(f"replace is {replace!r:.60}, expected 'any' or 'own'")


def split_by_source(
    passages: Sequence[Passage], known: Mapping[str, tuple[int, Passage]], replace: Replace
) -> tuple[list[Passage], dict[str, int]]:
    """Split passages into those to write and those left out, which are counted by the source that has their ids.

    What two files say alike stays with the one that brought it first, as long as that is there: a folder that has moved
    brings its passages anew.
    """
    ready, owners = [], dict[str, int]()
    for passage in passages:
        old = known[passage.id][1] if replace == "own" and passage.id in known else None
        owner = "" if old is None else source_of(old)
        if old is None or not owner or owner == source_of(passage):
            ready.append(passage)
        elif (old.title, old.text, without_source(old)) == (passage.title, passage.text, without_source(passage)):
            ready.append(old if os.path.exists(owner) or not os.path.isabs(owner) else passage)
        else:
            owners[owner] = owners.get(owner, 0) + 1
    return ready, owners


def without_source(passage: Passage) -> str:
    """Metadata but for the source, as text that tells values of different types apart."""
    return repr({key: value for key, value in passage.metadata.items() if key != SOURCE_KEY})

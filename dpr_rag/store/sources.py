"""Where passages come from: a source kept with each, so that one source does not replace what another one brought."""

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
    """The file that a passage was read from, or an empty string where nobody said."""
    source = passage.metadata.get(SOURCE_KEY)
    return source if isinstance(source, str) else ""


def named_source(passage: Passage) -> str:
    """Where a passage comes from: the file that it was read from, or what its metadata names as ``source``, or nothing."""
    named = passage.metadata.get("source")
    return source_of(passage) or (named if isinstance(named, str) else "")


def shown_source(source: str, passage_id: str = "") -> str:
    """A source as anybody may see it: never with the places of the machine that indexed it.

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
    """A file as sources name it: its absolute path with links to folders resolved, as text."""
    place = place_of(path) if isinstance(path, str) else Path(path)  # a walk through "." meets folders called ~
    return os.fsencode(place.parent.resolve() / place.name).decode("utf-8", "backslashreplace")


def with_private(passage: Passage, old: Passage | None) -> Passage:
    """The passage with what users do not see of the one that it replaces, unless it brings its own."""
    if old is None:
        return passage
    kept = {key: old.metadata[key] for key in (PRIVATE_KEY, SOURCE_KEY) if key in old.metadata}
    missing = {key: value for key, value in kept.items() if key not in passage.metadata}
    return _with(passage, missing) if missing else passage


def _with(passage: Passage, more: Mapping[str, object]) -> Passage:
    return Passage.checked_before(passage.id, passage.text, passage.title, {**passage.metadata, **more})


def check_replace(replace: object) -> None:
    """Refuse a policy that there is not.

    Raises:
        StoreError: It is neither ``any`` nor ``own``.
    """
    if not isinstance(replace, str) or replace not in ("any", "own"):
        raise StoreError(f"replace is {replace!r:.60}, expected 'any' or 'own'")


def parted(
    passages: Sequence[Passage], known: Mapping[str, tuple[int, Passage]], replace: Replace
) -> tuple[list[Passage], dict[str, int]]:
    """Part what may be written from what is left out, which is counted by the source that has the ids.

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

"""Folders of segments inside a store: names, folders to build in, and removal of superseded ones."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_rag.errors import RESTORE, StoreError
from dpr_rag.index.segments import Manifest
from dpr_rag.paths import write_failure
from dpr_rag.storage.claims import Claim, remove_abandoned
from dpr_rag.storage.place import INDEX_FOLDER, refuse_links
from dpr_rag.storage.state import State

_BUILDING = "building-"
_OWN = re.compile(r"(?:base|words)-[0-9]+-[0-9a-f]{8}")


def is_own(name: str) -> bool:
    """Whether a name has the form of a segment's folder."""
    return _OWN.fullmatch(name) is not None


def base_manifest(state: State) -> Manifest | None:
    """The manifest of the base segment, or None."""
    return None if state.base is None else Manifest.from_json(state.base)


def new_name(kind: str, number: int) -> str:
    """A unique name for a segment of a kind, ``base`` or ``words``, and a generation."""
    return f"{kind}-{number}-{secrets.token_hex(4)}"


@contextmanager
def building(store: Path) -> Iterator[Path]:
    """A folder to build a segment in; it is removed at the end, unless it was renamed to its final name.

    Raises:
        StoreError: The folder of segments is a link, or what is to be built cannot be written.
    """
    refuse_links(store)
    try:
        claim = Claim(store / INDEX_FOLDER, _BUILDING)
        try:
            yield claim.path
        finally:
            claim.release()
    except OSError as error:
        raise StoreError(
            f"{store / INDEX_FOLDER} cannot be written {write_failure(error)}: what is stored is untouched, and is searched "
            "without a new index"
        ) from error


def remove_all_but(store: Path, current: Collection[str]) -> None:
    """Remove the segments that are not current and the remains of builds whose process has gone, and nothing else.

    Raises:
        StoreError: The folder of segments is a link.
    """
    refuse_links(store)
    if not (store / INDEX_FOLDER).is_dir():
        return
    with os.scandir(store / INDEX_FOLDER) as entries:
        for entry in entries:
            if is_own(entry.name) and entry.name not in current:
                if entry.is_symlink():
                    Path(entry.path).unlink(missing_ok=True)  # the link alone
                elif entry.is_dir():
                    shutil.rmtree(entry.path, ignore_errors=True)
    remove_abandoned(store / INDEX_FOLDER, _BUILDING)


def checked(name: object) -> str:
    """The name of a segment out of a store's record, which is to be written to.

    Raises:
        StoreError: No store gives such a name.
    """
    if not isinstance(name, str) or not is_own(name):
        raise StoreError(f"the record names the segment {name!r:.80}, which no dpr-rag has made; " + RESTORE)
    return name

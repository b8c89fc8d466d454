"""The folders of segments inside a store: their names, making one to build in, and removing those that no commit names."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

from dpr_rag.errors import StoreError
from dpr_rag.storage.place import INDEX_FOLDER, refuse_links

_OWN = re.compile(r"(?:base|words|building)-[0-9]+-[0-9a-f]{8}")


def is_own(name: str) -> bool:
    """Whether a name is one that stores give to the folders of their segments."""
    return _OWN.fullmatch(name) is not None


def new_name(kind: str, number: int) -> str:
    """A name that no other segment has: ``base`` or ``words`` with a generation, ``building`` with a process."""
    return f"{kind}-{number}-{secrets.token_hex(4)}"


def new_folder(store: Path) -> Path:
    """Make a folder to build a segment in; it is removed when its process has gone.

    Raises:
        StoreError: The folder of segments is a link.
    """
    refuse_links(store)
    folder = store / INDEX_FOLDER / new_name("building", os.getpid())
    folder.mkdir(parents=True)
    return folder


def remove_all_but(store: Path, current: Collection[str]) -> None:
    """Remove the segments that are not current and the remains of builds whose process has gone, and nothing else.

    Raises:
        StoreError: The folder of segments is a link.
    """
    refuse_links(store)
    with os.scandir(store / INDEX_FOLDER) as entries:
        for entry in entries:
            own = is_own(entry.name) and entry.is_dir(follow_symlinks=False)
            if own and entry.name not in current and not _in_progress(entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)


def checked(name: object) -> str:
    """The name of a segment out of a store's record, which is to be written to.

    Raises:
        StoreError: No store gives such a name.
    """
    if not isinstance(name, str) or not is_own(name):
        raise StoreError(f"the record names the segment {name!r:.80}, which no dpr-rag has made; restore a backup")
    return name


def _in_progress(name: str) -> bool:
    kind, number, _ = name.split("-")
    if kind != "building" or int(number) <= 0:  # 0 is this process's group, not a process
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

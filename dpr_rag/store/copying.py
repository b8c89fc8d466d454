"""Backups: a consistent copy of a store that is in use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr_rag.errors import StoreError
from dpr_rag.storage.database import WRITER_FILE
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.store.engine import Engine
from dpr_rag.store.opening import Settings, open_engine
from dpr_rag.store.snapshot import INDEX_FOLDER


def backup(engine: Engine, target: Path) -> None:
    """Copy the database and its segments, and only then give the copy its name; see ``PassageStore.backup``."""
    if target.exists():
        raise StoreError(f"{target} exists already; back up to a new path")
    if engine.folder in target.absolute().parents:
        raise StoreError(f"{target} lies inside the store itself; back up to a path outside {engine.folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        engine.database.backup(partial / FILE_NAME)
        copy = open_engine(partial, None, Settings())
        try:
            _copy_segments(engine.folder / INDEX_FOLDER, copy)
        finally:
            copy.close()
        (partial / WRITER_FILE).unlink(missing_ok=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_segments(source: Path, copy: Engine) -> None:
    """Copy the segments that the copied database names; one that was replaced meanwhile is left out."""
    state = copy.state()
    lost = [
        name
        for name, record in (("base", state.base), ("lexical", state.lexical))
        if record is not None and not _copied(record, source, copy.folder / INDEX_FOLDER)
    ]
    if not lost:
        return
    with copy.writing() as writer:
        if "base" in lost:
            writer.set_base(None, built_from=-1, index=writer.now.index)
        if "lexical" in lost:
            writer.now = replace(writer.now, lexical=None)
        writer.commit_state()


def _copied(record: Mapping[str, Any], source: Path, target: Path) -> bool:
    """Whether all files of a segment could be copied; a part of them is removed again."""
    folder = target / record["directory"]
    with suppress(OSError):  # shutil.Error is one
        shutil.copytree(source / record["directory"], folder)
        # a folder that is being removed is copied without an error, but without the files that went first
        if all((folder / name).is_file() for name in record["files"]):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False

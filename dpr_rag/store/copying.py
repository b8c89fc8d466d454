"""Backups: a consistent copy of a store that is in use."""

from __future__ import annotations

import shutil
from pathlib import Path

from dpr_rag.errors import StoreError
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.store.engine import Engine
from dpr_rag.store.snapshot import INDEX_FOLDER


def backup(engine: Engine, target: Path) -> None:
    """Copy the database and its base segment, and only then give the copy its name; see ``PassageStore.backup``."""
    if target.exists():
        raise StoreError(f"{target} exists already; back up to a new path")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        engine.database.backup(partial / FILE_NAME)
        base = engine.state().base
        if base is not None:
            _copy_segment(engine.folder / INDEX_FOLDER / base["directory"], partial / INDEX_FOLDER / base["directory"])
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_segment(source: Path, target: Path) -> None:
    """Copy a segment; one that was replaced meanwhile is left out, since it can be rebuilt."""
    try:
        shutil.copytree(source, target)
    except (shutil.Error, FileNotFoundError):
        shutil.rmtree(target, ignore_errors=True)

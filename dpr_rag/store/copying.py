"""Backups: a consistent copy of a store that is in use."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dpr_rag.errors import StoreError
from dpr_rag.storage.database import WRITER_FILE
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.store.engine import Engine
from dpr_rag.store.opening import Settings, open_engine
from dpr_rag.store.snapshot import INDEX_FOLDER


def backup(engine: Engine, target: Path) -> None:
    """Copy the database and its base segment, and only then give the copy its name; see ``PassageStore.backup``."""
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
            _copy_segment(engine.folder / INDEX_FOLDER, copy)
        finally:
            copy.close()
        (partial / WRITER_FILE).unlink(missing_ok=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_segment(source: Path, copy: Engine) -> None:
    """Copy the segment that the copied database names; one that was replaced meanwhile is left out."""
    base = copy.state().base
    if base is None:
        return
    target = copy.folder / INDEX_FOLDER / base["directory"]
    try:
        shutil.copytree(source / base["directory"], target)
    except (shutil.Error, OSError):
        shutil.rmtree(target, ignore_errors=True)
        with copy.writing() as writer:
            writer.set_base(None, built_from=-1, index=writer.now.index)
            writer.commit_state()

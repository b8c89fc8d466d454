"""Backup and restore: consistent copies of a store that is in use."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr_rag.errors import NotAStoreError, StoreCorrupted, StoreError, StoreLocked, StoreNotFoundError
from dpr_rag.faces import ByFace, each_face, message_of
from dpr_rag.paths import write_failure, writing_to
from dpr_rag.storage.claims import Claim, is_claim, remove_abandoned
from dpr_rag.storage.database import is_open_here
from dpr_rag.storage.locking import nobody_else
from dpr_rag.storage.place import INDEX_FOLDER, LOG, PARTS, WRITER_FILE, identity_of, refuse_links
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.storage.state import new_name
from dpr_rag.store import segment_folders
from dpr_rag.store.checking import check
from dpr_rag.store.compaction import remove_superseded
from dpr_rag.store.engine import Engine
from dpr_rag.store.opening import Settings, open_engine

_RESTORING = "restoring-"


def backup(engine: Engine, target: Path) -> None:
    """Copy the database and its segments, then rename the copy to its final path; see ``PassageStore.backup``."""
    if target.exists():
        raise StoreError(f"{target} exists already; back up to a new path")
    if engine.folder in target.absolute().parents:
        raise StoreError(f"{target} lies inside the store itself; back up to a path outside {engine.folder}")
    with claimed(target.parent, f"{target.name}.partial-") as place:
        partial = place / "copy"
        partial.mkdir()
        engine.database.backup(partial / FILE_NAME)
        with closing(open_engine(partial, None, Settings())) as copy:
            _rename(copy)
            _copy_segments(engine.folder / INDEX_FOLDER, copy)
        (partial / WRITER_FILE).unlink(missing_ok=True)
        partial.chmod(stat.S_IMODE(engine.folder.stat().st_mode))
        partial.rename(target)


@contextmanager
def claimed(parent: Path, prefix: str) -> Iterator[Path]:
    """A working folder that only this user may read; those left by killed processes are removed."""
    try:
        remove_abandoned(parent, prefix)
        claim = Claim(parent, prefix, mode=0o700)
        try:
            yield claim.path
        finally:
            claim.release()
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"nothing was copied, as {parent} cannot be written {write_failure(error)}") from error


def restore(source: Path, target: Path) -> None:
    """Replace a store by a copy, or put one where there is none; see ``PassageStore.restore``."""
    if not (source / FILE_NAME).is_file():
        raise StoreNotFoundError(
            f"there is no store at {source}; give the folder that " + ByFace("backup()", cli="dpr-rag backup") + " made"
        )
    if source.resolve() == target.resolve():
        raise StoreError(f"{source} is to be restored over itself; restore it to another folder")
    if source.resolve() in target.resolve().parents:
        raise StoreError(f"{target} lies inside the copy {source}; restore it to a path outside")
    _refuse_foreign(target)
    is_new = not target.exists()
    with writing_to(target, StoreError):
        target.mkdir(parents=True, exist_ok=True)
    try:
        # inside the target, which may be a filesystem of its own
        with claimed(target, _RESTORING) as partial:
            _copied_store(source, partial / "copy")
            _replace_files(partial / "copy", target)
    except BaseException:
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise
    with closing(open_engine(target, None, Settings(create=False))) as engine:
        remove_superseded(engine)


def _refuse_foreign(target: Path) -> None:
    """Refuse a folder that holds anything but a store or what is left of one."""
    refuse_links(target)
    if not target.exists() or (target / FILE_NAME).is_file():
        return
    if not target.is_dir() or not all(
        entry.name in PARTS or is_claim(entry.name, _RESTORING) for entry in target.iterdir()
    ):
        raise NotAStoreError(f"{target} exists, but is no dpr-rag store; restore to a store or to a new path")


def _copied_store(source: Path, target: Path) -> None:
    """Copy a store, and check the copy."""
    with closing(open_engine(source, None, Settings(create=False, read_only=True))) as engine:
        backup(engine, target)
    with closing(open_engine(target, None, Settings(create=False))) as copy:
        try:
            check(copy)
        except StoreCorrupted as error:
            damage = each_face(
                lambda text: text.replace(f"{target / FILE_NAME}: ", "").replace(str(target), str(source)),
                message_of(error),
            )
            raise StoreCorrupted(f"the copy {source} is damaged, and nothing was restored: " + damage) from error


def _replace_files(copy: Path, target: Path) -> None:
    """Move a store's files over those of another one that nobody has open; replacing the database, last, is atomic."""
    database = target / FILE_NAME
    if is_open_here(identity_of(database)):
        raise StoreLocked(f"{target} is open in this process; close it, then try again")
    with nobody_else(database) if database.exists() else nullcontext():
        _copy_permissions(database, copy)
        (target / INDEX_FOLDER).mkdir(exist_ok=True)
        if (copy / INDEX_FOLDER).is_dir():
            for segment in (copy / INDEX_FOLDER).iterdir():
                place = target / INDEX_FOLDER / segment.name
                if place.exists():  # of the same build, and maybe damaged
                    place.rename(place.with_name(segment_folders.new_name("base", 0)))
                segment.rename(place)
        (target / f"{FILE_NAME}-journal").unlink(missing_ok=True)  # SQLite would play it back over the copy
        os.replace(copy / FILE_NAME, database)
        # killed before this, the next to open the store is told that this log is not its own
        for name in (LOG, f"{FILE_NAME}-shm"):
            (target / name).unlink(missing_ok=True)
        _sync(target)


def _copy_permissions(database: Path, copy: Path) -> None:
    """Give a copy the owner and the permissions of the store that it replaces."""
    if not database.exists():
        return
    model = database.stat()
    for place in (copy, *copy.rglob("*")):
        mode = stat.S_IMODE(model.st_mode)
        place.chmod(mode | (mode & 0o444) >> 2 if place.is_dir() else mode)
        with suppress(PermissionError):
            os.chown(place, model.st_uid, model.st_gid)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(copy: Engine) -> None:
    """Give a copy a name of its own: from now on, equal generation numbers mean different states in the two stores."""
    with copy.writing() as writer:
        writer.now = replace(writer.now, store=new_name())
        writer.commit_state()


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
    name = segment_folders.checked(record["directory"])
    folder = target / name
    with suppress(OSError):  # shutil.Error is one
        shutil.copytree(source / name, folder)
        # a folder that is being removed is copied without an error, but without the files that went first
        if all((folder / name).is_file() for name in record["files"]):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False

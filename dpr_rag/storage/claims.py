"""Working folders of a process, under a lock that the system releases when the process ends, killed or not."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_MARK = r"[0-9]+-[0-9a-f]{8}"


class Claim:
    """A new working folder, locked until it is released, so that no other process removes it.

    A number of a process says nothing in another container, where the same number may be another process or none; the lock of
    a folder does, on every filesystem that is not a network's.

    Args:
        parent: Where to make it, and its parents, if there are none.
        prefix: What its name begins with.
        mode: Its permissions, before the umask.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: Path, prefix: str, *, mode: int = 0o777) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = None
        while self._descriptor is None:
            self.path = parent / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
            self.path.mkdir(mode=mode)
            try:
                self._descriptor = _held(self.path)  # else another process took it for abandoned
            except BaseException:
                self.path.rmdir()
                raise

    def release(self) -> None:
        """Remove the folder, unless it has been moved to its place, and let go of it."""
        if self._descriptor is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = None
            _remove_rest(self.path)


def _remove_rest(folder: Path) -> None:
    """Remove what is left where a process may not open as many files as ``shutil.rmtree`` takes."""
    for place, _, names in os.walk(folder, topdown=False):
        with suppress(OSError):
            for name in names:
                os.unlink(os.path.join(place, name))
            os.rmdir(place)


def _held(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where another process has removed it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a filesystem without such locks; nothing is removed there
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        if os.stat(folder).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def is_claim(name: str, prefix: str) -> bool:
    """Whether a name has the form of a claim with this prefix."""
    return re.fullmatch(re.escape(prefix) + _MARK, name) is not None


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove working folders of this user with a prefix whose process has ended."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if is_claim(entry.name, prefix) and entry.is_dir(follow_symlinks=False):
                _remove_if_abandoned(entry)


def _remove_if_abandoned(entry: os.DirEntry[str]) -> None:
    with suppress(OSError):  # somebody else removes it, or it is not ours to remove
        if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            return
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.path, ignore_errors=True)
        finally:
            os.close(descriptor)

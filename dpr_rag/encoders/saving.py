"""Writes an encoder's folder as a whole or not at all, and reads its profile back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dpr_rag.encoders.folders import PROFILE_FILE, ModelFolder
from dpr_rag.encoders.profiles import Profile, profile_from
from dpr_rag.encoders.towers import Role, Tower
from dpr_rag.errors import ModelError
from dpr_rag.paths import writing_to

_FORMAT = 1


def save_towers(path: Path, towers: Mapping[Role, Tower], profile: Profile, *, source: str) -> None:
    """Write ``question/``, ``context/`` (absent where the tower is shared) and ``dpr_rag.json``.

    The folder is built beside its place and renamed into it, so a reader never sees half of it.

    Raises:
        ModelError: Something other than a saved encoder is at the path, or it cannot be written.
    """

    def build(folder: Path) -> None:
        for role, tower in towers.items():
            tower.write(folder / role)
        about = {"format": _FORMAT, "profile": profile.as_dict(), "shared": len(towers) == 1, "source": source}
        (folder / PROFILE_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    save_folder(path, build, marked_by=PROFILE_FILE, kind="encoder")


def save_folder(path: Path, build: Callable[[Path], None], *, marked_by: str, kind: str) -> None:
    """Write a folder as a whole or not at all, in the place of one of its kind.

    Args:
        path: Its place.
        build: Writes everything into a folder beside it, which does not exist yet.
        marked_by: The file by which a folder of this kind is recognised.
        kind: What it is called in a message.

    Raises:
        ModelError: Something else is at the path, or it cannot be written.
    """
    if path.exists() and not (path / marked_by).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(
            f"{path} exists and is no saved {kind}; pass a new folder, or one of a saved {kind} to replace"
        )
    with writing_to(path, ModelError):
        _replace_folder(path, build)


def _replace_folder(path: Path, build: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        built = Path(beside, "new")
        build(built)
        if path.exists():
            path.rename(Path(beside, "old"))
        built.rename(path)


def read_profile_file(folder: ModelFolder) -> tuple[Profile, tuple[Role, ...]]:
    """Read ``dpr_rag.json``: the profile and the towers that a saved folder holds.

    Raises:
        ModelError: It was written by a newer version, or is damaged.
    """
    about = folder.json(PROFILE_FILE)
    where = f"{folder.name}/{PROFILE_FILE}"
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ModelError(f"{where}: expected an object of format {_FORMAT}; if a newer dpr-rag wrote it, upgrade")
    profile = profile_from(about.get("profile"), where=where)
    return profile, ("question",) if about.get("shared") else ("question", "context")

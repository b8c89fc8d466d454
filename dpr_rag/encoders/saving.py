"""Writes an encoder's folder as a whole or not at all, and reads back what it says about itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dpr_rag.encoders.folders import PROFILE_FILE, ModelFolder
from dpr_rag.encoders.profiles import Profile, profile_from
from dpr_rag.encoders.towers import Role, Tower
from dpr_rag.errors import ModelError
from dpr_rag.paths import written

_FORMAT = 1


def save_towers(path: Path, towers: Mapping[Role, Tower], profile: Profile, *, source: str) -> None:
    """Write ``question/``, ``context/`` (absent where the tower is shared) and ``dpr_rag.json``.

    The folder is built beside its place and renamed into it, so a reader never sees half of it.

    Raises:
        ModelError: Something other than a saved encoder is at the path, or it cannot be written.
    """
    if path.exists() and not (path / PROFILE_FILE).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path} exists and is no saved encoder; pass a new folder, or an encoder's to replace")
    with written(path, ModelError):
        _put(path, towers, profile, source)


def _put(path: Path, towers: Mapping[Role, Tower], profile: Profile, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        built = Path(beside, "new")
        built.mkdir()
        for role, tower in towers.items():
            tower.write(built / role)
        about = {"format": _FORMAT, "profile": profile.as_dict(), "shared": len(towers) == 1, "source": source}
        (built / PROFILE_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if path.exists():
            path.rename(Path(beside, "old"))
        built.rename(path)


def read_about(folder: ModelFolder) -> tuple[Profile, tuple[Role, ...]]:
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

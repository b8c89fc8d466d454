"""The output folder of a training: its settings, states to resume from, log, best weights, and the final encoder.

``training/`` holds ``training.json`` (what is trained), ``log.jsonl``, ``progress.svg``, ``state-N/`` (weights and
optimizer as safetensors, the position as JSON) and ``best/``, and ``prepared.json`` where a recipe has something to
prepare; when all is done the encoder stands beside it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dpr_rag.encoders.folders import PROFILE_FILE
from dpr_rag.errors import TrainingError
from dpr_rag.paths import place_of, writing_to
from dpr_rag.reading.reader import READER_FILE

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
_FORMAT = 1
_MARKS = (PROFILE_FILE, READER_FILE)


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a training: steps and batches done, and the best measure so far.

    Attributes:
        step: Steps of the optimizer taken.
        epoch: The epoch under way.
        batches: Batches of it that are done.
        best: The best value of the selected measure so far.
        best_step: The step that it was measured after; 0 is the start.
        start: The selected measure before the first step.
    """

    step: int = 0
    epoch: int = 0
    batches: int = 0
    best: float | None = None
    best_step: int | None = None
    start: float | None = None


class OutputFolder:
    """The files of one training.

    Args:
        path: The folder, which may not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = place_of(path)
        self.inside = self.path / "training"
        self.log = self.inside / "log.jsonl"
        self.plot = self.inside / "progress.svg"
        self.best = self.inside / "best"
        self.prepared = self.inside / "prepared.json"
        self._about = self.inside / "training.json"

    def begin(self, about: Mapping[str, Any]) -> Literal["new", "unfinished", "finished"]:
        """Compare the folder with this training, and record the settings in a new one.

        A folder whose training ended before anything was saved counts as new, whatever was to be trained there.

        Args:
            about: What shapes the weights, as a JSON object.

        Raises:
            TrainingError: Another training, or anything else, is at the path.
        """
        self.check()
        if not self._about.exists():
            with writing_to(self.inside, TrainingError):
                self.inside.mkdir(parents=True, exist_ok=True)
            self._write_about(about, None)
            return "new"
        known = self._read(self._about)
        if known.get("format") != _FORMAT:
            raise TrainingError(f"{self._about}: expected format {_FORMAT}; a newer dpr-rag wrote it, upgrade")
        differing = differences(known.get("about", {}), json.loads(json.dumps(about)))
        if differing and known.get("finished") is None and not self._states() and not self.best.exists():
            self._write_about(about, None)
            return "new"
        if differing:
            raise TrainingError(
                f"{self.path} holds a training that was begun otherwise: {'; '.join(differing[:6])}; go on with the same "
                "data and settings, or choose another folder for the output"
            )
        return "unfinished" if known.get("finished") is None else "finished"

    def check(self) -> None:
        """Refuse a folder that holds anything but a training; nothing is written.

        Raises:
            TrainingError: There is.
        """
        if not self._about.exists() and not self._unused():
            raise TrainingError(f"{self.path} exists and holds no training; choose a new folder for the output")

    def _unused(self) -> bool:
        """Whether the folder is empty, or holds only what a kill left before the settings were recorded."""
        if not self.path.exists():
            return True
        if not self.path.is_dir() or any(entry != self.inside for entry in self.path.iterdir()):
            return False
        early = {partial_of(self._about), self.prepared, partial_of(self.prepared)}
        return not self.inside.exists() or (self.inside.is_dir() and early.issuperset(self.inside.iterdir()))

    def outcome(self) -> Position:
        """The final position of a finished training.

        Raises:
            TrainingError: The file that says so is damaged.
        """
        try:
            return Position(**self._read(self._about)["finished"])
        except (KeyError, TypeError) as error:
            raise TrainingError(f"{self._about} is damaged ({error}); choose another folder") from error

    def _write_about(self, about: Mapping[str, Any], end: Position | None) -> None:
        content = {"format": _FORMAT, "finished": None if end is None else asdict(end), "about": about}
        write_text(self._about, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            record = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise TrainingError(f"{path}: cannot be read as JSON ({error}); choose another folder") from error
        if not isinstance(record, dict):
            raise TrainingError(f"{path}: holds {type(record).__name__}, expected a JSON object; choose another folder")
        return record

    def save(self, position: Position, tensors: Mapping[str, Tensors], extra: Mapping[str, Any]) -> None:
        """Save a state atomically, and remove the previous one.

        Args:
            position: Where the training stands.
            tensors: Groups of tensors (weights, optimizer, objective) by the name of their file.
            extra: What else is needed to go on, as a JSON object.

        Raises:
            TrainingError: It cannot be written.
        """
        with writing_to(self.inside, TrainingError):
            self._save(position, tensors, extra)

    def _save(self, position: Position, tensors: Mapping[str, Tensors], extra: Mapping[str, Any]) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        partial = self.inside / "state.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, group in tensors.items():
            file = partial / f"{name}.safetensors"
            try:
                save_file({key: tensor.detach().cpu().contiguous() for key, tensor in group.items()}, file)
            except SafetensorError as error:
                raise TrainingError(f"{file}: cannot be written ({error}); free some space, and go on") from error
            _sync(file)
        state = {"format": _FORMAT, "position": asdict(position), "extra": extra}
        write_text(partial / "state.json", json.dumps(state, ensure_ascii=False))
        target = self.inside / f"state-{position.step}"
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        _sync(self.inside)
        for old in self._states():
            if old != target:
                shutil.rmtree(old)

    def newest(self) -> tuple[Position, dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
        """The newest state: position, tensors by group and further data; None if there is none."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        states = self._states()
        if not states:
            return None
        state = self._read(states[-1] / "state.json")
        try:
            tensors = {file.stem: load_file(file) for file in sorted(states[-1].glob("*.safetensors"))}
            return Position(**state["position"]), tensors, state["extra"]
        except (SafetensorError, OSError, KeyError, TypeError) as error:
            raise TrainingError(f"{states[-1]} is damaged ({error}); remove it to begin anew") from error

    def _states(self) -> list[Path]:
        """Folders of complete states, oldest first."""
        folders = [path for path in self.inside.glob("state-*") if (path / "state.json").is_file()]
        return sorted(folders, key=lambda path: int(path.name.removeprefix("state-")))

    def finish(self, encoder: Path, about: Mapping[str, Any], end: Position) -> None:
        """Move the trained encoder or reader to its final path, and remove the states."""
        names = sorted(path.name for path in encoder.iterdir() if path.name not in _MARKS)
        marks = [name for name in _MARKS if (encoder / name).exists() or (self.path / name).exists()]
        for name in [*names, *marks]:  # the file that makes it an encoder, or a reader, comes last
            target = self.path / name
            if target.exists() and not (encoder / name).exists():
                continue  # an earlier call was killed behind this one
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(encoder / name, target)
        self._write_about(about, end)
        for path in (encoder, self.best, self.inside / "state.partial", *self._states()):
            shutil.rmtree(path, ignore_errors=True)


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """The differences of two JSON objects, each as one phrase."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = dict.fromkeys([*there, *here])
        return [
            difference
            for key in keys
            for difference in differences(there.get(key), here.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if there == here else [f"{name} was {_short(there)} and is {_short(here)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:18]}…{text[-4:]}"


def write_text(path: Path, text: str) -> None:
    """Write a file atomically.

    Raises:
        TrainingError: It cannot be written.
    """
    partial = partial_of(path)
    with writing_to(path, TrainingError):
        partial.write_text(text, encoding="utf-8")
        _sync(partial)
        os.replace(partial, path)


def partial_of(path: Path) -> Path:
    """Path of the temporary file for a file that is written atomically."""
    return path.with_name(f".{path.name}.partial")


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

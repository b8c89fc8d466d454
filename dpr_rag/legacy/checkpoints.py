"""DPR's original ``.cp`` checkpoints: read without torch, and written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.errors import ModelError
from dpr_rag.legacy.standins import Sealed
from dpr_rag.legacy.torch_files import read_torch
from dpr_rag.paths import replacing

CHECKPOINT_FIELDS = ("model_dict", "optimizer_dict", "scheduler_dict", "offset", "epoch", "encoder_params")


class _CheckpointState(metaclass=Sealed):
    """DPR's named tuple, which becomes the dict that other versions of DPR write."""

    __slots__ = ()

    def __new__(cls, *fields: object) -> dict[str, object]:  # type: ignore[misc]
        if len(fields) != len(CHECKPOINT_FIELDS):
            raise ValueError(f"a CheckpointState of {len(fields)} fields, expected {len(CHECKPOINT_FIELDS)}")
        return dict(zip(CHECKPOINT_FIELDS, fields, strict=True))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read an original DPR checkpoint without importing torch.

    Reads torch's zip container (torch 1.6 and newer) and the older stream, of the dict or the ``CheckpointState``
    that DPR saves. Nothing of the file is run; OmegaConf objects in ``encoder_params`` become ``Skipped``.

    Args:
        path: A ``.cp`` file.

    Returns:
        The fields ``model_dict, optimizer_dict, scheduler_dict, offset, epoch, encoder_params`` that the file has,
        with numpy arrays for tensors; bfloat16 becomes float32.

    Raises:
        UnsafeFileError: The file asks for more than tensors and plain containers.
        CorpusError: It is truncated, damaged or no torch file.
        ModelError: It holds something else than a DPR checkpoint.
    """
    path = Path(path)
    state = read_torch(path, allowed={"dpr.utils.model_utils.CheckpointState": _CheckpointState}, skip=True)
    if not isinstance(state, dict) or not isinstance(state.get("model_dict"), dict):
        found = sorted(map(str, state))[:8] if isinstance(state, dict) else type(state).__name__
        raise ModelError(f"{path}: holds {found}, expected a DPR checkpoint with the field 'model_dict'")
    return state


def write_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a DPR checkpoint that ``torch.load(weights_only=True)`` and DPR's own code read.

    Args:
        path: The ``.cp`` file to write or replace.
        state: ``model_dict`` (names to arrays) and any of the other five fields, which default to what DPR writes
            before training.

    Raises:
        ModelError: An unknown field, no ``model_dict``, a value that is no array, number, string or container; or the file
            cannot be written.
    """
    import torch

    path = Path(path)
    unknown = sorted(set(state) - set(CHECKPOINT_FIELDS))
    if unknown or not isinstance(state.get("model_dict"), Mapping):
        raise ModelError(f"{path}: a checkpoint has the fields {list(CHECKPOINT_FIELDS)}, given were {sorted(state)}")
    empty = {"optimizer_dict": {}, "scheduler_dict": {}, "offset": 0, "epoch": 0, "encoder_params": {}}
    filled = {**empty, **state}
    tensors = {name: _with_tensors(filled[name], name) for name in CHECKPOINT_FIELDS}
    try:
        with replacing(path, ModelError) as partial, partial.open("wb") as file:
            torch.save(tensors, file)
    except RuntimeError as error:  # of torch, where the disk fills up
        raise ModelError(f"{path}: cannot be written ({error!s:.100}); free some space") from error


def _with_tensors(value: Any, where: str) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, order="C"))
    if isinstance(value, Mapping):
        return {name: _with_tensors(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(item, where) for item in value)
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    raise ModelError(f"{where} is {value!r:.80}, expected arrays, numbers, strings, lists or dicts; replace or drop it")

"""Bare state dicts (``pytorch_model.bin``), whole or in shards, as models of the field are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import CorpusError, ModelError
from dpr_rag.faces import message_of
from dpr_rag.legacy.torch_files import read_torch

_INDEX = ".index.json"


def read_state_dict(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """Read the weights that ``torch.save(model.state_dict(), path)`` wrote, without importing torch.

    Reads torch's zip container (torch 1.6 and newer) and the older stream. Nothing of the file is run.

    Args:
        path: ``pytorch_model.bin``; or ``pytorch_model.bin.index.json``, whose shards lie beside it.

    Returns:
        Arrays by name, in the order of the file; bfloat16 becomes float32. Arrays that share numbers in the file
        share memory.

    Raises:
        UnsafeFileError: The file asks for more than tensors and plain containers; the message names what for.
        ModelError: It is truncated, damaged, no torch file, or holds anything else than tensors by name.
    """
    path = Path(path)
    if not path.name.endswith(_INDEX):
        return _read_one(path)
    found: dict[str, npt.NDArray[Any]] = {}
    for shard in _shards(path):
        found.update(_read_one(shard))
    return found


def _read_one(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        state = read_torch(path)
    except CorpusError as error:
        raise ModelError(message_of(error)) from error
    if not isinstance(state, dict):
        raise ModelError(f"{path}: holds {type(state).__name__}, expected a state dict of tensors by name")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ModelError(
                f"{path}: {name!r:.60} is {type(value).__name__}, expected tensors by name alone; "
                "save the model's state_dict() and nothing around it"
            )
    return state


def _shards(path: Path) -> list[Path]:
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error!s:.120}); fetch it again") from error
    listed = index.get("weight_map") if isinstance(index, dict) else None
    names = list(listed.values()) if isinstance(listed, dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ModelError(f"{path}: expected a weight_map from the names of weights to files beside it")
    return [path.with_name(name) for name in sorted(set(names))]

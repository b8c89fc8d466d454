"""Weights of one tower under canonical names: read from safetensors without torch, renamed, hashed, and written back."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import ModelError

Array = npt.NDArray[Any]
State = Mapping[str, Array]
Layer = tuple[Array, Array]
"""Weights [rows, hidden] and bias [rows] of a linear layer."""

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_MOST_TENSORS = 100_000
_IDLE = re.compile(
    r"^(pooler|cls|classifier|lm_head|vocab_transform|vocab_layer_norm|vocab_projector)\.|(^|\.)(position_ids|token_type_ids)$"
)


def read_safetensors(path: Path) -> dict[str, Array]:
    """Read one safetensors file as arrays that share the mapped file (bfloat16 is widened to float32).

    The arrays are writable copies-on-write: changing one never changes the file.

    Raises:
        ModelError: The file is damaged, or holds a type of number that no encoder has.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass  # the library checks the header, the offsets and the file's length
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole safetensors file ({error}); fetch it again") from error
    mapped = np.memmap(path, dtype=np.uint8, mode="c").view(np.ndarray)
    start = 8 + int.from_bytes(mapped[:8].tobytes(), "little")
    header = json.loads(mapped[8:start].tobytes())
    header.pop("__metadata__", None)
    if len(header) > _MOST_TENSORS:
        raise ModelError(
            f"{path} holds {len(header):,} tensors, expected at most {_MOST_TENSORS:,}; no encoder has so many, check the file"
        )
    data = mapped[start:]
    return {name: _tensor(data, entry, f"{path}: {name}") for name, entry in header.items()}


def _tensor(data: Array, entry: Mapping[str, Any], where: str) -> Array:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ModelError(f"{where} is of type {entry['dtype']}, expected one of {', '.join(_DTYPES)}")
    begin, end = entry["data_offsets"]
    try:
        array = np.frombuffer(data[begin:end], dtype=dtype).reshape(entry["shape"])
    except ValueError as error:  # of no numbers at all, in a shape that numpy does not have
        raise ModelError(f"{where} has the shape {entry['shape']!s:.200}, which no array has ({error})") from error
    if entry["dtype"] == "BF16":
        return (array.astype("<u4") << 16).view("<f4")
    return np.require(array, requirements="A")


def write_safetensors(path: Path, state: State) -> None:
    """Write arrays as a safetensors file that transformers reads, replacing an older one atomically.

    Raises:
        ModelError: The library cannot write it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    temporary = path.with_name(f"{path.name}.part")
    arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
    try:
        save_file(arrays, temporary, metadata={"format": "pt"})
    except SafetensorError as error:
        raise ModelError(f"{path}: cannot be written ({error}); check its folder, and the space there") from error
    os.replace(temporary, path)


def renamed(state: State, prefixes: Iterable[tuple[str, str]]) -> dict[str, Array]:
    """Give weights their canonical names.

    Args:
        state: Arrays by the names in the file.
        prefixes: Pairs of a prefix in the file and its replacement; the first that fits is used.
    """
    pairs = list(prefixes)
    return {_canonical(name, pairs): array for name, array in state.items()}


def without_shared_prefix(state: State) -> dict[str, Array] | None:
    """Weights without the first part of a name that all share, as ``module.`` or ``_orig_mod.`` of a wrapped model."""
    prefix = next(iter(state), "").partition(".")[0] + "."
    if not all(name.startswith(prefix) for name in state):
        return None
    return {name.removeprefix(prefix): array for name, array in state.items()}


def _canonical(name: str, prefixes: list[tuple[str, str]]) -> str:
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
    for prefix, canonical in prefixes:
        if name.startswith(prefix):
            return canonical + name.removeprefix(prefix)
    return name


def used(state: State) -> dict[str, Array]:
    """The weights that take part in encoding: all but poolers, language-model and classification heads, position counters."""
    return {name: array for name, array in state.items() if not is_idle(name)}


def is_idle(name: str) -> bool:
    """Whether a weight takes no part in encoding."""
    return _IDLE.search(name) is not None


def hash_weights(state: State) -> str:
    """SHA-256 over name, shape and float32 bytes of every weight in use, in the order of their names."""
    return hash_arrays(sorted(used(state).items()))


def hash_arrays(named: Iterable[tuple[str, Array]]) -> str:
    """SHA-256 over names, shapes and float32 bytes of arrays, one at a time and in the order given."""
    digest = hashlib.sha256()
    for name, values in named:
        array = np.ascontiguousarray(values, dtype="<f4")
        digest.update(f"{name}:{list(array.shape)};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

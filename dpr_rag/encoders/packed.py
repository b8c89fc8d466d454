"""Matrices of weights in eight bits: a quarter of float32's bytes in a file, widened when they are read.

A matrix ``name`` of a safetensors file becomes ``name.int8``, int8 [rows, columns], and ``name.scale``, float16 [rows, columns /
64]: each number is its integer times the scale of its group of 64 columns. The integers of a group reach 127, so that what is
read is off by at most a 254th of the greatest number of its group, and by float16's rounding. Vectors and matrices of a few rows
stay as they are.
"""

from __future__ import annotations

import numpy as np

from dpr_rag.encoders.weights import Array, State
from dpr_rag.errors import ModelError

GROUP = 64
_INTEGERS, _SCALE = ".int8", ".scale"


def pack(state: State) -> dict[str, Array]:
    """Store the matrices among weights in eight bits, except those of fewer than 64 rows or whose columns are no multiple of 64.

    Raises:
        ModelError: A group's numbers are beyond what its scale, a float16, can hold.
    """
    packed: dict[str, Array] = {}
    for name, array in state.items():
        if array.ndim != 2 or array.shape[1] % GROUP or len(array) < GROUP:
            packed[name] = array
            continue
        groups = np.asarray(array, np.float32).reshape(len(array), -1, GROUP)
        with np.errstate(over="ignore"):
            scale = (np.abs(groups).max(axis=2) / 127).astype(np.float16)
        if not np.isfinite(scale).all():
            raise ModelError(
                f"{name}: its numbers are too large for eight bits with a scale in float16; keep it as it is"
            )
        integers = np.rint(groups / np.where(scale, scale, 1).astype(np.float32)[..., None])
        packed[name + _INTEGERS] = np.clip(integers, -127, 127).astype(np.int8).reshape(array.shape)
        packed[name + _SCALE] = scale
    return packed


def unpack(state: State, *, where: str) -> dict[str, Array]:
    """Undo :func:`pack`: packed matrices become float16, other weights stay as they are.

    Args:
        state: Weights by the names in the file.
        where: The file, for messages.

    Raises:
        ModelError: A matrix lacks its scales, or they do not fit.
    """
    weights = dict(state)
    for name in [name for name in state if name.endswith(_INTEGERS)]:
        plain = name.removesuffix(_INTEGERS)
        integers, scale = weights.pop(name), weights.pop(plain + _SCALE, None)
        if (
            scale is None
            or integers.dtype != np.int8
            or scale.shape != (*integers.shape[:1], integers.shape[-1] / GROUP)
        ):
            raise ModelError(f"{where}: {name} is packed in eight bits, and its scales are missing or do not fit it")
        groups = integers.reshape(len(integers), -1, GROUP) * scale[..., None].astype(np.float32)
        weights[plain] = groups.reshape(integers.shape).astype(np.float16)
    return weights

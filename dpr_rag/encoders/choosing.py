"""Chooses what runs a tower: a GPU with PyTorch where there is one, else OpenVINO in int8 where that stays true to the model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dpr_rag.encoders.fast_runtime import FAST_DTYPES, FastRuntime
from dpr_rag.encoders.forms import knows_settings
from dpr_rag.encoders.graph import import_openvino
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Runtime, batches
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.torch_runtime import TorchRuntime
from dpr_rag.encoders.towers import Tower
from dpr_rag.errors import ModelError

RuntimeName = Literal["torch", "openvino"]

_log = logging.getLogger(__name__)
_MOST_ERROR = 0.15
_SCHEME = 3  # of int8 and of its check; a new one makes what was remembered void
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
_SAMPLES = (
    "who wrote hamlet",
    "how many people live in the capital of france?",
    "A tragedy in five acts about a prince of Denmark who is told by a ghost to avenge the murder of his father.",
    "In 1905 four papers on light, motion, molecules and energy changed how physicists think about space and time.",
    "gzip.compress(data, compresslevel=9): return a bytes object with the compressed data, 1.5 times smaller",
    "The mitral valve lies between the left atrium and the left ventricle; it opens while the ventricle fills.",
)


def choose_runtime(
    tower: Tower,
    profile: Profile,
    tokens: Tokens,
    *,
    runtime: RuntimeName | None,
    device: str | None,
    dtype: str | None,
) -> Runtime:
    """Make the runtime that the arguments name, or the quickest that is true to the model.

    Raises:
        ModelError: An argument is unknown or fits no other, or int8 was asked for by name and is too far off.
        MissingExtraError: The library of the runtime is not installed.
    """
    if runtime is not None and runtime not in get_args(RuntimeName):
        raise ModelError(f"runtime is {runtime!r}, expected one of {', '.join(get_args(RuntimeName))}, or None")
    if runtime is None:
        runtime = "openvino" if _suits_openvino(device, dtype) else "torch"
        if runtime == "openvino" and dtype is None and _torch_here() and not knows_settings(tower):
            runtime = "torch"
    if runtime == "torch":
        return TorchRuntime(tower, profile, device=device, dtype=dtype)
    if device not in (None, "cpu"):
        raise ModelError(
            f"runtime 'openvino' runs on the device 'cpu', not on {device!r}; pass runtime='torch' for others"
        )
    fast = FastRuntime(tower, profile, dtype=dtype or "int8")
    if dtype not in (None, "int8"):
        return fast
    error = _error_of(fast, tower, profile, tokens)
    if error <= _MOST_ERROR:
        return fast
    name, off = tower.tokenizer.name, f"its vectors are up to {100 * error:.0f} % off in int8"
    if dtype == "int8":
        raise ModelError(f"{name}: {off}, {100 * _MOST_ERROR:.0f} % is the most; pass dtype='float32'")
    _log.warning("%s: %s; it runs in float32, which takes longer", name, off)
    return FastRuntime(tower, profile, dtype="float32")


def _suits_openvino(device: str | None, dtype: str | None) -> bool:
    """Whether OpenVINO is there and what was asked for; a precision by name means PyTorch's, the reference, if it is there."""
    if dtype == "int8":
        return True
    if find_spec("openvino") is None or (device or "cpu") != "cpu" or dtype not in (None, *FAST_DTYPES):
        return False
    return not _torch_here() or (dtype is None and (device == "cpu" or not _gpu_here()))


def _torch_here() -> bool:
    return all(find_spec(one) is not None for one in ("torch", "transformers"))


def _gpu_here() -> bool:
    """Whether PyTorch sees a GPU; asked only where there may be one, as the question takes seconds."""
    if not any(Path(one).exists() for one in _GPU_FILES):
        return False
    import torch

    return torch.cuda.is_available()


def _error_of(fast: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens) -> float:
    """How far int8 is from float32 at worst, relative to the vector's length; measured once for a model and machine."""
    parts = (_SCHEME, tower.digest, profile.pooling, profile.head, import_openvino().__version__, fast.abilities)
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    root = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    known = root / "dpr-rag" / "int8" / name
    try:
        return float(known.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    error = _measured(fast, FastRuntime(tower, profile, dtype="float32"), profile, tokens)
    beside = known.with_name(f"{name}.{os.getpid()}")
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(f"{error}\n", encoding="utf-8")
        os.replace(beside, known)
    except OSError as problem:
        _log.debug("the check of int8 is not remembered: %s", problem)
    return error


def _measured(fast: FastRuntime, exact: FastRuntime, profile: Profile, tokens: Tokens) -> float:
    sequences = tokens.questions(_SAMPLES)
    off: list[float] = []
    for batch in batches(sequences, budget=fast.token_budget, pad=tokens.pad, segments=profile.segments):
        wanted = exact.encode(batch)
        lengths = np.maximum(np.linalg.norm(wanted, axis=1), np.float32(1e-12))
        _, side_by_side = next(iter(fast.encode_all([batch] * fast.streams)))
        for given in (fast.encode(batch), side_by_side):
            off.extend(np.linalg.norm(given - wanted, axis=1) / lengths)
    return float(np.max(off))  # NaN where one of them is

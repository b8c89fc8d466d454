"""Chooses the runtime of a tower: PyTorch on a GPU, else OpenVINO in the fastest precision that is accurate enough."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from dpr_rag.encoders.architectures import knows_settings
from dpr_rag.encoders.fast_runtime import FAST_DTYPES, FastRuntime
from dpr_rag.encoders.precision import effect_of
from dpr_rag.encoders.precision_choice import candidates, saved_choice
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.quickest import QuickestRuntime
from dpr_rag.encoders.runtime import OR_AUTO, Runtime
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.torch_runtime import DTYPES, TorchRuntime
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weights import Layer
from dpr_rag.errors import ModelError, unknown
from dpr_rag.faces import ByFace

RuntimeName = Literal["torch", "openvino"]
PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "openvino": FAST_DTYPES,
    "torch": DTYPES,
    "sentence-transformers": (),  # it takes the precision that a model's files name
}
"""The precisions of each runtime."""

_log = logging.getLogger(__name__)
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def choose_runtime(
    tower: Tower,
    profile: Profile,
    tokens: Tokens,
    *,
    runtime: RuntimeName | None,
    device: str | None,
    dtype: str | None,
    model: str,
    each_token: Layer | None = None,
) -> Runtime:
    """Make the runtime that the arguments name, or the quickest that is true to the model.

    The choice is saved on this machine under the name ``model``. With ``each_token`` the runtime outputs that layer for every
    token; whether a precision is accurate enough is measured on pooled vectors even then.

    Raises:
        ModelError: An argument is unknown or fits no other, or the precision that was asked for is not true to the model.
        MissingExtraError: The library of the runtime is not installed.
    """
    if runtime is not None and runtime not in get_args(RuntimeName):
        raise ModelError(unknown("runtime", runtime, get_args(RuntimeName), more=OR_AUTO))
    if runtime is None:
        runtime = "openvino" if _suits_openvino(device, dtype) else "torch"
        if runtime == "openvino" and dtype is None and _torch_installed() and not knows_settings(tower):
            runtime = "torch"
    if runtime == "torch":
        return TorchRuntime(tower, profile, device=device, dtype=dtype, each_token=each_token)
    if device not in (None, "cpu"):
        raise ModelError(
            f"runtime 'openvino' runs on the device 'cpu', not on {device!r}; "
            + ByFace("pass runtime='torch'", cli="pass --runtime torch")
            + " for others"
        )
    fast = (
        _in_precision(tower, profile, tokens, dtype) if dtype is not None else _quickest(tower, profile, tokens, model)
    )
    return fast if each_token is None else FastRuntime(tower, profile, dtype=fast.dtype, each_token=each_token)


def _in_precision(tower: Tower, profile: Profile, tokens: Tokens, dtype: str) -> FastRuntime:
    """The precision that was asked for by name, or a refusal where it is not true to the model."""
    fast = FastRuntime(tower, profile, dtype=dtype)
    if fast.dtype != "float32":
        exact = FastRuntime(tower, profile, dtype="float32", like=fast)
        effect = effect_of(fast, exact, tower, profile, tokens)
        if not effect.tolerable:
            raise ModelError(
                f"{tower.tokenizer.name} in {fast.dtype}: {effect}; "
                + ByFace("pass dtype='float32'", cli="pass --precision float32")
            )
        if effect.together:
            fast.run_together()
    return fast


def _quickest(tower: Tower, profile: Profile, tokens: Tokens, model: str) -> FastRuntime | QuickestRuntime:
    """The quickest precision on this processor that is true to the model."""
    if not candidates():
        return FastRuntime(tower, profile, dtype="float32")
    choice = saved_choice(model)
    if choice is None:
        return QuickestRuntime(tower, profile, tokens, model=model)
    return FastRuntime(tower, profile, dtype=choice.dtype, lone_threads=choice.threads, together=choice.together)


def _suits_openvino(device: str | None, dtype: str | None) -> bool:
    """Whether to take OpenVINO. A precision given by name means PyTorch, the reference, where it is installed."""
    if dtype == "int8":
        return True
    if find_spec("openvino") is None or (device or "cpu") != "cpu" or dtype not in (None, *FAST_DTYPES):
        return False
    return not _torch_installed() or (dtype is None and (device == "cpu" or not _gpu_available()))


def _torch_installed() -> bool:
    return all(find_spec(library) is not None for library in ("torch", "transformers"))


def _gpu_available() -> bool:
    """Whether PyTorch sees a GPU; without a GPU's device file it is not imported, which takes seconds."""
    if not any(Path(file).exists() for file in _GPU_FILES):
        return False
    import torch

    return torch.cuda.is_available()

"""Runs one tower with PyTorch: builds the transformer, insists on every weight, pools its last layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.architectures import FORMS, check_sizes
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.profiles import Pooling, Profile
from dpr_rag.encoders.runtime import OR_AUTO, PRECISION, Batch
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weight_checks import check_fit, check_positions, has_head
from dpr_rag.encoders.weights import Array, Layer, used
from dpr_rag.errors import MissingExtraError, ModelError, install, unknown
from dpr_rag.forking import has_lost_workers

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_INFINITE = float("inf")
_CPU_BUDGET = 4096
_GPU_BUDGET = 65536
_BERT_SETTINGS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"),
)
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "bert": _BERT_SETTINGS,
    "roberta": _BERT_SETTINGS,
    "mpnet": (*_BERT_SETTINGS, "relative_attention_num_buckets"),
    "distilbert": (
        *("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "activation", "max_position_embeddings"),
        *("pad_token_id", "sinusoidal_pos_embds", "dropout", "attention_dropout", "initializer_range"),
    ),
}
# What transformers and PyTorch raise while building a model of settings that make no sense.
_UNUSABLE = (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ArithmeticError, AssertionError)


class TorchRuntime:
    """One tower as PyTorch modules in evaluation mode.

    Args:
        tower: Weights and configuration.
        profile: Pooling and head.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; None takes a GPU where there is one.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``; None means float32 on a CPU and bfloat16 on a GPU.
        each_token: A layer over every token instead of pooling and head; what comes out is of shape [n, length, rows].

    Attributes:
        backbone: The transformer (``BertModel``, ``RobertaModel`` or ``DistilBertModel`` without a pooler).
        head: The layers after pooling, in float32, or None.

    Raises:
        MissingExtraError: PyTorch or transformers is not installed.
        ModelError: A weight is missing, left over or of the wrong shape, or the device or dtype is unknown.
    """

    streams = 1
    length_step = None

    def __init__(
        self,
        tower: Tower,
        profile: Profile,
        *,
        device: str | None = None,
        dtype: str | None = None,
        each_token: Layer | None = None,
    ) -> None:
        torch = import_torch()
        self.device = _device(torch, device)
        on_gpu = self.device.type != "cpu"
        self.dtype = _dtype(torch, dtype, on_gpu=on_gpu)
        # rounded numbers end elsewhere in another batch: on a CPU each text runs by itself, see FastRuntime
        self.token_budget = _GPU_BUDGET if on_gpu else _CPU_BUDGET if self.dtype == torch.float32 else 1
        self._pooling: Pooling | None = profile.pooling if each_token is None else None
        self._takes_segments = tower.backbone == "bert"
        state = used(tower.state)
        inside = {name: array for name, array in state.items() if not name.startswith("head.")}
        outside = {name.removeprefix("head."): array for name, array in state.items() if name.startswith("head.")}
        self.backbone = _with_weights(_backbone(tower), inside, tower).to(self.device, self.dtype).eval()
        head = _head(tower, profile, outside) if each_token is None else _layer(*each_token)
        self.head = None if head is None else head.to(self.device).eval()

    def __str__(self) -> str:
        return f"PyTorch in {str(self.dtype).removeprefix('torch.')} on {self.device}"

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        if self.head is not None:
            return int(getattr(self.head, "dense", self.head).out_features)
        return int(self.backbone.config.hidden_size)

    def encode(self, batch: Batch) -> Vectors:
        """Pooled float32 vectors of shape [n, dim]."""
        torch = import_torch()
        with NATIVE.held(), torch.inference_mode():
            vectors: Vectors = self.forward(batch).cpu().numpy()
        return vectors

    def encode_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Vectors]]:
        """Encode many batches, one after another."""
        for batch in batches:
            yield batch, self.encode(batch)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Pooled float32 vectors of shape [n, dim] on the device; gradients flow through them where they are on."""
        library = import_torch()
        arrays = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if self._takes_segments:
            arrays["token_type_ids"] = batch.segments
        inputs = {name: self._on_device(library.from_numpy(array)) for name, array in arrays.items()}
        hidden = self.backbone(**inputs).last_hidden_state
        pooled = hidden.float() if self._pooling is None else _pooled(hidden, inputs["attention_mask"], self._pooling)
        if self.head is None:
            return pooled
        with library.autocast(self.device.type, enabled=False):  # the head runs in float32 whatever the backbone does
            headed: torch.Tensor = self.head(pooled)
        return headed

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; from pinned memory a GPU fetches it by itself."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" else tensor
        return pinned.to(self.device, non_blocking=True)


def import_torch() -> Any:
    """Import PyTorch, and see that transformers is there too.

    Raises:
        MissingExtraError: One of them is not installed.
    """
    try:
        with NATIVE.held():
            import torch
            import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"this needs PyTorch and transformers ({error}), which OpenVINO on a CPU does without; {install('torch')}"
        ) from error
    if has_lost_workers():
        torch.set_num_threads(1)
    return torch


def _pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last":
        return hidden[import_torch().arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1].float()
    if pooling == "max":
        return hidden.float().masked_fill(mask.unsqueeze(-1) == 0, -_INFINITE).max(dim=1).values
    weights = mask.unsqueeze(-1).to(hidden.dtype).float()
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)


def _device(torch: Any, device: str | None) -> Any:
    """The device of a name.

    Raises:
        ModelError: There is none of this name on this machine, or PyTorch was built without it.
    """
    try:
        usable = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=usable).cpu()
    # without a GPU, or without CUDA in PyTorch, it is the first tensor that fails
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        devices = f"; {torch.cuda.device_count()} CUDA devices are here"
        raise ModelError(
            f"device is {device!r}, expected cpu, cuda, cuda:1, mps or another that PyTorch has here{devices} ({error!s:.120})"
        ) from error
    return usable


def _dtype(torch: Any, dtype: str | None, *, on_gpu: bool) -> Any:
    if dtype is not None and dtype not in DTYPES:
        raise ModelError(unknown(PRECISION, dtype, DTYPES, more=" with PyTorch" + OR_AUTO))
    return getattr(torch, dtype or ("bfloat16" if on_gpu else "float32"))


def _without_initialising() -> AbstractContextManager[Any]:
    try:
        from transformers.initialization import no_init_weights
    except ImportError:
        return nullcontext()
    return no_init_weights()  # random numbers that the weights replace at once


def _backbone(tower: Tower) -> Any:
    """An empty transformer with the tower's configuration."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    check_positions(tower)
    check_sizes(tower, FORMS[tower.backbone])
    settings = {name: tower.config[name] for name in _SETTINGS[tower.backbone] if name in tower.config}
    settings["attn_implementation"] = "sdpa"
    try:
        with _without_initialising():
            if tower.backbone == "distilbert":
                return transformers.DistilBertModel(transformers.DistilBertConfig(**settings))
            if tower.backbone == "roberta":
                return transformers.RobertaModel(transformers.RobertaConfig(**settings), add_pooling_layer=False)
            if tower.backbone == "mpnet":
                # it has its own way of attention only
                eager = settings | {"attn_implementation": "eager"}
                return transformers.MPNetModel(transformers.MPNetConfig(**eager), add_pooling_layer=False)
            return transformers.BertModel(transformers.BertConfig(**settings), add_pooling_layer=False)
    except (StrictDataclassError, *_UNUSABLE) as error:
        raise ModelError(
            f"{tower.tokenizer.name}: config.json describes no {tower.backbone} model ({type(error).__name__}: {error}); "
            "compare its settings with the model's original"
        ) from error


def _head(tower: Tower, profile: Profile, state: Mapping[str, Any]) -> Any:
    """The layers after pooling that the profile allows and the weights fill; None for no layers."""
    torch = import_torch()
    if not has_head(tower, profile):
        check_fit(tower.tokenizer.name, {f"head.{name}": array for name, array in state.items()}, {})
        return None
    shape = state["dense.weight"].shape if "dense.weight" in state else (1, 1)
    parts = {"dense": torch.nn.Linear(shape[1], shape[0])}
    if profile.head == "ance":
        parts["norm"] = torch.nn.LayerNorm(shape[0])
    if profile.activation == "tanh":
        parts["activation"] = torch.nn.Tanh()
    return _with_weights(_sequence(torch, parts), state, tower, prefix="head.").float()


def _layer(weight: Array, bias: Array) -> Any:
    torch = import_torch()
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.array(weight, np.float32)))
        layer.bias.copy_(torch.from_numpy(np.array(bias, np.float32)))
    return layer


def _sequence(torch: Any, parts: Mapping[str, Any]) -> Any:
    from collections import OrderedDict

    return torch.nn.Sequential(OrderedDict(parts))


def _with_weights(module: Any, state: Mapping[str, Any], tower: Tower, *, prefix: str = "") -> Any:
    """Put the weights into a module: every parameter must be found, and nothing may be left over."""
    torch = import_torch()
    expected = module.state_dict()
    check_fit(
        tower.tokenizer.name,
        {prefix + name: array for name, array in state.items()},
        {prefix + name: tuple(tensor.shape) for name, tensor in expected.items()},
    )
    writeable = {name: np.require(array, requirements="W") for name, array in state.items()}
    module.load_state_dict({name: torch.from_numpy(array) for name, array in writeable.items()}, assign=True)
    return module

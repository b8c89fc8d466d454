"""The supported architectures: names of settings and weights, their shapes, and which of them OpenVINO runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weight_checks import Shapes, check_positions, has_head
from dpr_rag.errors import ModelError


@dataclass(frozen=True, slots=True)
class Form:
    """How a backbone names its settings and the weights of a layer."""

    hidden: str
    layers: str
    heads: str
    inner: str
    activation: str
    prefix: str
    query: str
    key: str
    value: str
    attended: str
    attended_norm: str
    up: str
    down: str
    norm: str


_BERT = Form(
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "encoder.layer."),
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
)
FORMS: Mapping[str, Form] = {
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": Form(
        *("dim", "n_layers", "n_heads", "hidden_dim", "activation", "transformer.layer."),
        *("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        *("attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
    ),
    "mpnet": Form(
        *(
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "hidden_act",
            "encoder.layer.",
        ),
        *("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        *("attention.attn.o", "attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
}
RELATIVE = "encoder.relative_attention_bias.weight"
_BUCKETS, _FARTHEST = 32, 128
_SMALL = 1 << 12
ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "relu": ""}


def knows_settings(tower: Tower) -> bool:
    """Whether the configuration asks for nothing that this graph cannot do, and says all sizes."""
    try:
        check_settings(tower, FORMS[tower.backbone])
    except ModelError:
        return False
    return True


def check_settings(tower: Tower, form: Form) -> None:
    """Refuse settings that the graph does not know, or that are no sizes.

    Raises:
        ModelError: One of them.
    """
    config, name = tower.config, tower.tokenizer.name
    if activation_of(tower, form) not in ACTIVATIONS:
        raise ModelError(
            f"{name}: {form.activation} is {activation_of(tower, form)!r}, expected one of {', '.join(ACTIVATIONS)}"
        )
    check_positions(tower)
    for setting in (form.hidden, form.layers, form.heads, form.inner, "max_position_embeddings", "vocab_size"):
        if type(config.get(setting)) is not int or config[setting] < 1:
            raise ModelError(
                f"{name}: {setting} in config.json is {config.get(setting)!r}, expected a positive integer"
            )
    epsilon = config.get("layer_norm_eps", 1e-12)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ModelError(f"{name}: layer_norm_eps in config.json is {epsilon!r:.60}, expected a small number")
    if config[form.hidden] % config[form.heads]:
        raise ModelError(
            f"{name}: {form.hidden} is {config[form.hidden]}, no multiple of the {config[form.heads]} {form.heads}; compare "
            "config.json with the model's original"
        )


def check_sizes(tower: Tower, form: Form) -> None:
    """Hold the sizes in the configuration against the weights before anything of those sizes is made.

    Raises:
        ModelError: A size is another than that of the weights, or there are weights of fewer layers.
    """
    config, state, name = tower.config, tower.state, tower.tokenizer.name
    layers = {name.removeprefix(form.prefix).partition(".")[0] for name in state if name.startswith(form.prefix)}
    if isinstance(config.get(form.layers), int) and config[form.layers] > len(layers):
        raise ModelError(
            f"{name}: weights are missing: {form.layers} in config.json is {config[form.layers]}, and there are weights of "
            f"{len(layers)} layers; the model would answer at random; fetch or save all of its weights"
        )
    for setting, weight, axis in _sizes(form):
        size, array = config.get(setting), state.get(weight)
        if not isinstance(size, int) or size <= _SMALL:  # check_fit reports small mismatches, all in one message
            continue
        if array is not None and array.ndim > axis and array.shape[axis] == size:
            continue
        problem = "is missing" if array is None else f"has the shape {list(array.shape)}"
        raise ModelError(
            f"{name}: weights have the wrong shape: {setting} in config.json is {size}, and {weight} {problem}; config.json "
            "belongs to another model; fetch the matching one"
        )


def _sizes(form: Form) -> list[tuple[str, str, int]]:
    """Settings that are sizes, each with a weight of that size and the axis that has it."""
    return [
        ("vocab_size", "embeddings.word_embeddings.weight", 0),
        (form.hidden, "embeddings.word_embeddings.weight", 1),
        ("max_position_embeddings", "embeddings.position_embeddings.weight", 0),
        ("type_vocab_size", "embeddings.token_type_embeddings.weight", 0),
        (form.inner, f"{form.prefix}0.{form.up}.weight", 0),
    ]


def activation_of(tower: Tower, form: Form) -> str:
    """The name of the activation between the layers' two matrices."""
    return str(tower.config.get(form.activation, "gelu"))


def first_position(tower: Tower) -> int:
    """Where the first token stands in the table of positions: RoBERTa counts from its padding's id on."""
    pad = tower.config.get("pad_token_id")
    if tower.backbone == "mpnet":
        return 2  # whatever its padding
    return (1 if pad is None else int(pad)) + 1 if tower.backbone == "roberta" else 0


def bucket_of(distances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of MPNet's table for a distance, from a token to the one that it attends to.

    Small distances have a row each, larger ones share rows on a logarithmic scale, as in T5 (Raffel et al. 2020, 2.1).
    """
    half = _BUCKETS // 2
    exact = half // 2
    far = np.abs(distances)
    scaled = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(_FARTHEST / exact))
    shared = np.minimum(exact + (scaled * (half - exact)).astype(np.int64), half - 1)
    return np.where(distances > 0, half, 0) + np.where(far < exact, far, shared)


def shapes_of(tower: Tower, profile: Profile, form: Form) -> Shapes:
    """The shape of every weight that the graph needs."""
    config = tower.config
    hidden, inner = config[form.hidden], config[form.inner]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        **_norm_shapes("embeddings.LayerNorm", hidden),
    }
    if tower.backbone == "mpnet":
        shapes[RELATIVE] = (_BUCKETS, config[form.heads])
    elif tower.backbone != "distilbert":
        shapes["embeddings.token_type_embeddings.weight"] = (config.get("type_vocab_size", 2), hidden)
    for at in range(config[form.layers]):
        layer = f"{form.prefix}{at}."
        for name in (form.query, form.key, form.value, form.attended):
            shapes |= {f"{layer}{name}.weight": (hidden, hidden), f"{layer}{name}.bias": (hidden,)}
        shapes |= {f"{layer}{form.up}.weight": (inner, hidden), f"{layer}{form.up}.bias": (inner,)}
        shapes |= {f"{layer}{form.down}.weight": (hidden, inner), f"{layer}{form.down}.bias": (hidden,)}
        shapes |= _norm_shapes(layer + form.attended_norm, hidden) | _norm_shapes(layer + form.norm, hidden)
    if has_head(tower, profile):
        out = tower.state["head.dense.bias"].shape[0] if "head.dense.bias" in tower.state else hidden
        shapes |= {"head.dense.weight": (out, hidden), "head.dense.bias": (out,)}
        if profile.head == "ance":
            shapes |= _norm_shapes("head.norm", out)
    return shapes


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

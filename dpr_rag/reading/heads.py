"""The heads of a reader: separated from its BERT, and attached to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weights import Array, Layer
from dpr_rag.errors import ModelError

_HEADS = {"span": 2, "selection": 1}
START, END, SELECTION = range(3)
"""The rows of the layer that :func:`heads_of` gives, and what they say of a token; selection counts at ``[CLS]`` only."""


def body_of(tower: Tower) -> Tower:
    """The BERT of a reader, without its heads."""
    state = {name: array for name, array in tower.state.items() if name.partition(".")[0] not in _HEADS}
    return replace(tower, architecture="BertModel", state=state)


def heads_of(tower: Tower) -> Layer:
    """The heads as one layer: weights [3, hidden] and bias [3], for start, end and selection.

    Raises:
        ModelError: One is missing or of the wrong shape.
    """
    size = int(tower.config["hidden_size"])
    layers = []
    for name, rows in _HEADS.items():
        weight, bias = (tower.state.get(f"{name}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != (rows, size) or bias.shape != (rows,):
            raise ModelError(
                f"{tower.tokenizer.name}: the reader's head {name!r} is missing or has the wrong shape, expected "
                f"[{rows}, {size}]; fetch or save all of its weights"
            )
        layers.append((np.asarray(weight, np.float32), np.asarray(bias, np.float32)))
    return np.concatenate([weight for weight, _ in layers]), np.concatenate([bias for _, bias in layers])


def with_heads(tower: Tower, weight: Array, bias: Array, body: Mapping[str, Array] | None = None) -> Tower:
    """A reader's tower of a BERT and the two parts of :func:`heads_of`."""
    state = {name: array for name, array in tower.state.items() if not name.startswith("pooler.")}
    heads = {
        "span.weight": weight[:2],
        "span.bias": bias[:2],
        "selection.weight": weight[2:],
        "selection.bias": bias[2:],
    }
    config = {**tower.config, "model_type": "dpr", "projection_dim": 0}
    return replace(tower, architecture="DPRReader", config=config, state={**state, **(body or {}), **heads})

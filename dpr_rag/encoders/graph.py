"""Builds the graph of one tower for OpenVINO out of its weights: BERT, RoBERTa or DistilBERT, pooling and head included."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoders.architectures import (
    ACTIVATIONS,
    FORMS,
    RELATIVE,
    Form,
    activation_of,
    bucket_of,
    check_settings,
    check_sizes,
    first_position,
    shapes_of,
)
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.processor import this_processor
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weight_checks import check_fit, has_head
from dpr_rag.encoders.weights import Array, Layer, used
from dpr_rag.errors import MissingExtraError
from dpr_rag.faces import ByFace
from dpr_rag.forking import keep_in_children, new_lock

if TYPE_CHECKING:
    from openvino import Model

_MASKED = -1e4
_NEVER = -1e30
_GROUP = 32
_CORE_LOCK = new_lock()


def build_graph(tower: Tower, profile: Profile, *, int8: bool, each_token: Layer | None = None) -> Model:
    """Build the graph: ids, mask and segments of shape [n, length] in, pooled vectors of shape [n, dim] out.

    Args:
        tower: Weights and configuration.
        profile: Pooling and head.
        int8: Whether the matrices of the layers are stored as int8, with a scale for each :func:`group_of` numbers.
        each_token: A layer over every token instead of pooling and head; what comes out is of shape [n, length, rows].

    Raises:
        ModelError: A weight is missing, left over or of the wrong shape, or a setting is one that this graph does not know.
    """
    form = FORMS[tower.backbone]
    state = used(tower.state)
    check_settings(tower, form)
    check_sizes(tower, form)
    check_fit(tower.tokenizer.name, state, shapes_of(tower, profile, form))
    return _Builder(tower, profile, form, state, int8, each_token).model()


def group_of(tower: Tower) -> int:
    """How many numbers in a row share a scale where int8 stores them: 32, or 0, a whole row, where widths are no multiples.

    With one scale a row, and 128 numbers of the activations to one, the vectors of MiniLM are four times as far off float32,
    and a passage takes a tenth less; with 64 they are twice as far off.
    """
    form = FORMS[tower.backbone]
    return _GROUP if all(tower.config[name] % _GROUP == 0 for name in (form.hidden, form.inner)) else 0


def import_openvino() -> Any:
    """Import OpenVINO without its converter, which would report the import to its vendor.

    Raises:
        MissingExtraError: It is not installed.
    """
    hidden = "openvino.tools.ovc"
    alone = "openvino" not in sys.modules
    if alone:
        sys.modules[hidden] = None  # type: ignore[assignment]  # what Python keeps of a module that cannot be imported
    try:
        with NATIVE.held():
            import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"encoding on a CPU without PyTorch needs OpenVINO ({error}); pip install openvino, or "
            + ByFace("pass runtime='torch'", cli="pass --runtime torch")
        ) from error
    finally:
        if alone:
            del sys.modules[hidden]
    return openvino


def openvino_core() -> Any:
    """OpenVINO's CPU device, one for the life of the process.

    A second one, dropped after the first, leaves the process with a freed stack for its signals, so that Ctrl-C would end it
    with a segmentation fault (seen in OpenVINO 2026.4).
    """
    with _CORE_LOCK:
        return _one_core()


@cache
def _one_core() -> Any:
    openvino = import_openvino()
    with NATIVE.held():
        core = openvino.Core()
    keep_in_children(core)
    return core


@dataclass(slots=True)
class _Builder:
    """Adds node to node; each method is one step of the architecture."""

    tower: Tower
    profile: Profile
    form: Form
    state: Mapping[str, Array]
    int8: bool
    each_token: Layer | None = None
    op: Any = field(init=False)

    def model(self) -> Model:
        openvino = import_openvino()
        self.op = opset13 = openvino.opset13
        ids, mask, segments = (
            opset13.parameter([-1, -1], openvino.Type.i64, name) for name in ("ids", "mask", "segments")
        )
        present = opset13.convert(mask, "f32")
        hidden = self._embedded(ids, segments)
        absent = opset13.subtract(self._constant(np.float32(1)), present)
        bias = opset13.unsqueeze(opset13.multiply(absent, self._constant(np.float32(_MASKED))), self._axes(1, 2))
        if self.tower.backbone == "mpnet":
            bias = bias + self._relative_bias(ids)
        for layer in range(self.tower.config[self.form.layers]):
            hidden = self._layer(hidden, bias, f"{self.form.prefix}{layer}.")
        output = (
            self._with_head(self._pooled(hidden, present)) if self.each_token is None else self._token_outputs(hidden)
        )
        return openvino.Model([opset13.result(output)], [ids, mask, segments], self.tower.tokenizer.name)

    def _token_outputs(self, hidden: Any) -> Any:
        weight, bias = (np.asarray(array, np.float32) for array in self.each_token or ())
        return self.op.matmul(hidden, self._constant(weight), False, True) + bias

    def _embedded(self, ids: Any, segments: Any) -> Any:
        zero = self._constant(np.int64(0))
        positions = self._places_after_padding(ids) if self.tower.counts_from_padding else self._places(ids)
        embeddings = self._rows("word_embeddings", ids) + self._rows("position_embeddings", positions)
        if self.tower.backbone == "bert":
            embeddings = embeddings + self._rows("token_type_embeddings", segments)
        elif self.tower.backbone == "roberta":
            embeddings = embeddings + self._rows("token_type_embeddings", zero)
        return self._normed(embeddings, "embeddings.LayerNorm", self._epsilon())

    def _places(self, ids: Any) -> Any:
        """Positions of the tokens, counted from 0, of shape [length]."""
        op, zero = self.op, self._constant(np.int64(0))
        length = op.gather(op.shape_of(ids), self._constant(np.int64(1)), zero)
        return op.range(zero, length, self._constant(np.int64(1)), "i64")

    def _places_after_padding(self, ids: Any) -> Any:
        """Positions of shape [n, length], counted from behind the padding's id.

        A text can spell out the padding's token, ``<pad>``: it stands at its id, and takes no place of those behind it.
        """
        op, padding = self.op, self._constant(np.int64(first_position(self.tower) - 1))
        counted = op.convert(op.not_equal(ids, padding), "i64")
        counts = op.cum_sum(counted, self._constant(np.int64(1)), False, False)
        return op.add(op.multiply(counts, counted), padding)

    def _relative_bias(self, ids: Any) -> Any:
        """What MPNet adds for the distance of two tokens, of shape [1, heads, length, length]."""
        op, longest = self.op, self.tower.config["max_position_embeddings"]
        table = self._weight(RELATIVE)[bucket_of(np.arange(-longest, longest + 1))]
        positions = self._places(ids)
        distances = op.unsqueeze(positions, self._axes(0)) - op.unsqueeze(positions, self._axes(1))
        rows = op.add(distances, self._constant(np.int64(longest)))
        biases = op.gather(self._constant(table), rows, self._constant(np.int64(0)))
        return op.unsqueeze(op.transpose(biases, self._axes(2, 0, 1)), self._axes(0))

    def _rows(self, name: str, indices: Any) -> Any:
        table = self._constant(self._weight(f"embeddings.{name}.weight"))
        return self.op.gather(table, indices, self._constant(np.int64(0)))

    def _layer(self, hidden: Any, bias: Any, layer: str) -> Any:
        form, epsilon = self.form, self._epsilon()
        attended = self._linear(self._attention(hidden, bias, layer), layer + form.attended)
        hidden = self._normed(attended + hidden, layer + form.attended_norm, epsilon)
        inner = self._activated(self._linear(hidden, layer + form.up))
        return self._normed(self._linear(inner, layer + form.down) + hidden, layer + form.norm, epsilon)

    def _attention(self, hidden: Any, bias: Any, layer: str) -> Any:
        op, form, width = self.op, self.form, self.tower.config[self.form.hidden]
        heads = self.tower.config[form.heads]
        all_three = self._linear(hidden, layer + form.query, layer + form.key, layer + form.value)
        parts = op.split(all_three, self._constant(np.int64(2)), 3)
        query, key, value = (
            op.transpose(op.reshape(part, self._axes(0, 0, heads, width // heads), True), self._axes(0, 2, 1, 3))
            for part in parts.outputs()
        )
        mixed = op.scaled_dot_product_attention(query, key, value, bias)
        return op.reshape(op.transpose(mixed, self._axes(0, 2, 1, 3)), self._axes(0, 0, width), True)

    def _activated(self, inner: Any) -> Any:
        kind = ACTIVATIONS[activation_of(self.tower, self.form)]
        return self.op.gelu(inner, kind) if kind else self.op.relu(inner)

    def _linear(self, inputs: Any, *names: str) -> Any:
        """One linear layer, or several of the same inputs as one matrix product."""
        weight = np.concatenate([self._weight(f"{name}.weight") for name in names])
        if self.int8:
            matrix = self._quantized(weight)
        else:
            matrix = self._constant(weight)
        bias = np.concatenate([self._weight(f"{name}.bias") for name in names])
        return self.op.matmul(inputs, matrix, False, True) + bias

    def _quantized(self, weight: Array) -> Any:
        rows, width = weight.shape
        groups = weight.reshape(rows, -1, group_of(self.tower) or width)
        scale = np.maximum(np.abs(groups).max(axis=2, keepdims=True), np.float32(1e-12)) / np.float32(127)
        whole = self.op.convert(self._constant(np.rint(groups / scale).astype(np.int8)), "f32")
        return self.op.reshape(self.op.multiply(whole, self._constant(scale)), self._axes(rows, width), False)

    def _normed(self, states: Any, name: str, epsilon: float) -> Any:
        weight = self._weight(f"{name}.weight")
        if "avx" in this_processor().abilities:
            scaled = self.op.mvn(states, self._axes(-1), True, epsilon, "inside_sqrt")
        else:
            scaled = self._scaled(states, weight.size, epsilon)
        return scaled * weight + self._weight(f"{name}.bias")

    def _scaled(self, states: Any, width: int, epsilon: float) -> Any:
        """Mean 0 and variance 1 by single steps: OpenVINO has no kernel for the whole without AVX (seen in 2026.4)."""
        op = self.op
        centred = states - op.reduce_mean(states, self._axes(-1), True)
        total = op.reduce_sum(centred * centred, self._axes(-1), True)
        variance = total * self._constant(np.float32(1 / width)) + self._constant(np.float32(epsilon))
        return centred * op.power(variance, self._constant(np.float32(-0.5)))

    def _pooled(self, hidden: Any, present: Any) -> Any:
        op, pooling = self.op, self.profile.pooling
        if pooling == "cls":
            return op.gather(hidden, self._constant(np.int64(0)), self._constant(np.int64(1)))
        weights = op.unsqueeze(present, self._axes(2))
        if pooling == "max":
            absent = op.multiply(
                op.subtract(self._constant(np.float32(1)), weights), self._constant(np.float32(_NEVER))
            )
            return op.reduce_max(hidden * weights + absent, self._axes(1), False)
        if pooling == "last":
            length = op.reduce_sum(present, self._axes(1), True)
            place = op.convert(length - self._constant(np.float32(1)), "i64")
            return op.squeeze(op.gather(hidden, place, self._constant(np.int64(1)), 1), self._axes(1))
        total = op.reduce_sum(hidden * weights, self._axes(1), False)
        return total / op.reduce_sum(weights, self._axes(1), False)

    def _with_head(self, pooled: Any) -> Any:
        if not has_head(self.tower, self.profile):
            return pooled
        weight = self._constant(self._weight("head.dense.weight"))
        pooled = self.op.matmul(pooled, weight, False, True) + self._weight("head.dense.bias")
        if self.profile.activation == "tanh":
            return self.op.tanh(pooled)
        return self._normed(pooled, "head.norm", 1e-5) if self.profile.head == "ance" else pooled

    def _epsilon(self) -> float:
        return 1e-12 if self.tower.backbone == "distilbert" else float(self.tower.config.get("layer_norm_eps", 1e-12))

    def _weight(self, name: str) -> Array:
        return np.asarray(self.state[name], np.float32)

    def _axes(self, *axes: int) -> Any:
        return self._constant(np.array(axes, np.int64))

    def _constant(self, value: Any) -> Any:
        return self.op.constant(value)

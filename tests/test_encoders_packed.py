"""Weights in eight bits: how far they are from what was packed, and models that come so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from tiny_models import PASSAGES, QUESTIONS, load

from dpr_rag.encoders.packed import GROUP, pack, unpack
from dpr_rag.encoders.weights import Array, read_safetensors, write_safetensors
from dpr_rag.errors import ModelError


def a_state() -> dict[str, Array]:
    generator = np.random.default_rng(3)
    wide = generator.normal(size=(96, 128)).astype(np.float32) * np.geomspace(1e-3, 30, 96, dtype=np.float32)[:, None]
    wide[5, :GROUP] = 0
    return {
        "layer.weight": wide,
        "layer.bias": generator.normal(size=96).astype(np.float32),
        "odd.weight": generator.normal(size=(96, 100)).astype(np.float32),
        "head.weight": generator.normal(size=(2, 128)).astype(np.float32),
        "norm.scale": np.ones(4, np.float32),
    }


def test_each_number_stays_within_half_a_step_of_its_group() -> None:
    state = a_state()
    found = unpack(pack(state), where="here")
    assert found.keys() == state.keys()
    groups = state["layer.weight"].reshape(96, 2, GROUP)
    step = np.abs(groups).max(axis=2, keepdims=True) / 127
    error = np.abs(found["layer.weight"].astype(np.float32).reshape(groups.shape) - groups)
    assert (error <= 0.5 * step + 2**-9 * np.abs(groups).max(axis=2, keepdims=True)).all()
    assert error.max() > 0
    assert (found["layer.weight"][5, :GROUP] == 0).all()
    for name in ("layer.bias", "odd.weight", "head.weight", "norm.scale"):
        np.testing.assert_array_equal(found[name], state[name])


def test_a_packed_file_takes_a_little_more_than_a_byte_a_number(tmp_path: Path) -> None:
    state = {"layer.weight": np.random.default_rng(0).normal(size=(512, 384)).astype(np.float32)}
    write_safetensors(tmp_path / "packed.safetensors", pack(state))
    assert (tmp_path / "packed.safetensors").stat().st_size < 1.05 * 512 * 384
    packed = read_safetensors(tmp_path / "packed.safetensors")
    assert packed["layer.weight.int8"].dtype == np.int8
    np.testing.assert_array_equal(
        unpack(packed, where="here")["layer.weight"], unpack(pack(state), where="here")["layer.weight"]
    )


def test_a_model_that_comes_packed_has_the_vectors_of_its_widened_weights(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 128}
    folder = tiny.edit_config(tiny.bert(tmp_path / "m", **sizes), architectures=["Contriever"])
    file = folder / "model.safetensors"
    packed = pack(read_safetensors(file))
    assert [name for name in packed if name.endswith(".int8")]
    write_safetensors(file, packed)
    found = load(folder)
    write_safetensors(file, unpack(packed, where="here"))
    wanted = load(folder)
    assert found.fingerprint == wanted.fingerprint
    np.testing.assert_array_equal(found.encode_questions(QUESTIONS), wanted.encode_questions(QUESTIONS))
    np.testing.assert_array_equal(found.encode_passages(PASSAGES), wanted.encode_passages(PASSAGES))


@pytest.mark.parametrize("damage", ["no scales", "other scales", "other numbers"])
def test_a_matrix_whose_scales_do_not_fit_is_refused(damage: str) -> None:
    packed = pack(a_state())
    if damage == "no scales":
        del packed["layer.weight.scale"]
    elif damage == "other scales":
        packed["layer.weight.scale"] = packed["layer.weight.scale"][:, :1]
    else:
        packed["layer.weight.int8"] = packed["layer.weight.int8"].astype(np.float32)
    with pytest.raises(
        ModelError, match=r"^model: layer\.weight\.int8 is packed in eight bits, and its scales are missing"
    ):
        unpack(packed, where="model")


def test_numbers_beyond_the_scales_are_refused() -> None:
    with pytest.raises(ModelError, match=r"^layer\.weight: its numbers are too large"):
        pack({"layer.weight": np.full((64, 64), 1e30, np.float32)})

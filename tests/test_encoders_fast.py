"""What runs a tower: which runtime is chosen, many batches at once, and what is refused."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models as tiny
from tiny_models import PASSAGES, QUESTIONS

from dpr_rag import DualEncoder
from dpr_rag.encoders import processor, runtime_choice
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.precision import Effect
from dpr_rag.encoders.quickest import QuickestRuntime
from dpr_rag.encoders.runtime import batches, budget_for
from dpr_rag.encoders.tokens import TokenSequence
from dpr_rag.encoders.torch_runtime import TorchRuntime
from dpr_rag.errors import MissingExtraError, ModelError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.contriever(tmp_path_factory.mktemp("fast") / "m")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ({}, FastRuntime, "OpenVINO in float32"),
        ({"dtype": "float32"}, TorchRuntime, "PyTorch in float32 on cpu"),
        ({"dtype": "bfloat16"}, TorchRuntime, "PyTorch in bfloat16 on cpu"),
        ({"dtype": "float16", "device": "cpu"}, TorchRuntime, "PyTorch in float16 on cpu"),
        ({"runtime": "torch", "device": "cpu"}, TorchRuntime, "PyTorch in float32 on cpu"),
        ({"runtime": "openvino", "dtype": "float32"}, FastRuntime, "OpenVINO in float32"),
        ({"runtime": "openvino", "dtype": "bfloat16"}, FastRuntime, "OpenVINO in float32"),
    ],
)
def test_which_runtime(
    folder: Path, asked: dict[str, str], kind: type, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_choice, "_GPU_FILES", ())
    monkeypatch.setattr(processor, "_info", lambda: {"flags": "avx avx2"})
    encoder = DualEncoder.from_pretrained(folder, **asked)  # type: ignore[arg-type]
    assert type(encoder.sides[0].runtime) is kind
    assert encoder.runtime == told


def test_a_gpu_is_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_choice, "_gpu_available", lambda: True)
    assert runtime_choice._suits_openvino(None, None) is False
    assert runtime_choice._suits_openvino("cpu", None) is True
    assert runtime_choice._suits_openvino("cuda", None) is False
    assert runtime_choice._suits_openvino(None, "int8") is True


def test_without_pytorch_openvino_takes_every_precision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = runtime_choice.find_spec
    monkeypatch.setattr(runtime_choice, "find_spec", lambda name: None if name == "torch" else here(name))
    monkeypatch.setattr(runtime_choice, "effect_of", lambda *_: Effect(0.0, 0.0, 0.0))
    for dtype in ("float32", "bfloat16", "int8", None):
        encoder = DualEncoder.from_pretrained(folder, dtype=dtype)
        assert isinstance(encoder.sides[0].runtime, FastRuntime | QuickestRuntime)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '\.\[torch\]'"):
        DualEncoder.from_pretrained(folder, dtype="float16")
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '\.\[torch\]'"):
        DualEncoder.from_pretrained(folder, device="cuda")


def test_without_openvino_pytorch_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = runtime_choice.find_spec
    monkeypatch.setattr(runtime_choice, "find_spec", lambda name: None if name == "openvino" else here(name))
    assert isinstance(DualEncoder.from_pretrained(folder, device="cpu").sides[0].runtime, TorchRuntime)
    monkeypatch.setitem(sys.modules, "openvino", None)
    for asked in ({"runtime": "openvino"}, {"dtype": "int8"}):
        with pytest.raises(MissingExtraError, match=r"pip install openvino, or pass runtime='torch'"):
            DualEncoder.from_pretrained(folder, **asked)  # type: ignore[arg-type]


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="runtime is 'onnx', expected one of torch, openvino, or None"):
        DualEncoder.from_pretrained(folder, runtime="onnx")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"runs on the device 'cpu', not on 'cuda'; pass runtime='torch'"):
        DualEncoder.from_pretrained(folder, runtime="openvino", device="cuda")
    with pytest.raises(ModelError, match="dtype is 'float16', expected one of int8, float32, bfloat16 with OpenVINO"):
        DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float16")


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_many_batches_come_back_in_order(folder: Path, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = DualEncoder.from_pretrained(folder, runtime="torch", device="cpu")
    encoder = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32")
    monkeypatch.setattr(encoder.sides[0].runtime, "token_budget", budget)
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), exact.encode_passages(PASSAGES), atol=1e-5)
    side = encoder.sides[1]
    given = list(batches(side.tokens.passages(PASSAGES), budget=budget, pad=side.tokens.pad, segments="zero"))
    back = list(side.runtime.encode_all(iter(given)))
    assert [batch.rows for batch, _ in back] == [batch.rows for batch in given]
    for batch, vectors in back:
        np.testing.assert_allclose(vectors, side.runtime.encode(batch), atol=1e-5)


def test_threads_get_the_same_vectors(folder: Path) -> None:
    alone, encoder = (DualEncoder.from_pretrained(folder, device="cpu") for _ in range(2))
    questions, passages = alone.encode_questions(QUESTIONS), alone.encode_passages(PASSAGES)

    def both(_: int) -> tuple[np.ndarray, np.ndarray]:
        return encoder.encode_questions(QUESTIONS), encoder.encode_passages(PASSAGES)

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(both, range(24)):
            np.testing.assert_allclose(found[0], questions, atol=1e-5)
            np.testing.assert_allclose(found[1], passages, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "swish"}, "hidden_act is 'swish', expected one of gelu, gelu_new, gelu_pytorch_tanh, relu"),
        ({"hidden_size": "wide"}, "hidden_size in config.json is 'wide', expected a positive integer"),
        ({"num_attention_heads": 5}, "hidden_size is 32, no multiple of the 5 num_attention_heads"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key', expected 'absolute'"),
        ({"intermediate_size": 48}, r"weights have the wrong shape: encoder.layer.0.intermediate.dense.bias \[64\]"),
        (
            {"num_hidden_layers": 3},
            "weights are missing: num_hidden_layers in config.json is 3, and there are weights of 2 layers",
        ),
        ({"num_hidden_layers": 1}, "weights have no place: encoder.layer.1.attention"),
    ],
)
def test_a_configuration_that_does_not_fit(tmp_path: Path, change: dict[str, object], said: str) -> None:
    folder = tiny.edit_config(tiny.contriever(tmp_path / "m"), **change)
    with pytest.raises(ModelError, match=said):
        DualEncoder.from_pretrained(folder, runtime="openvino")


def test_what_the_graph_does_not_know_is_for_pytorch(tmp_path: Path) -> None:
    folder = tiny.edit_config(tiny.contriever(tmp_path / "m"), hidden_act="silu")
    assert isinstance(DualEncoder.from_pretrained(folder, device="cpu").sides[0].runtime, TorchRuntime)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "relu"])
def test_every_activation_equals_torch(tmp_path: Path, activation: str) -> None:
    folder = tiny.edit_config(tiny.contriever(tmp_path / "m"), hidden_act=activation)
    exact = DualEncoder.from_pretrained(folder, runtime="torch", device="cpu").encode_questions(QUESTIONS)
    found = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32").encode_questions(QUESTIONS)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_short_inputs_are_shared_out_among_streams() -> None:
    def budget(streams: int, lengths: list[int]) -> int:
        sequences = [TokenSequence([7] * length, length, False) for length in lengths]
        return budget_for(SimpleNamespace(token_budget=2048, streams=streams, length_step=None), sequences)

    assert budget(2, [14] * 64) == 224
    assert budget(8, [14] * 80) == 128
    assert budget(8, [14] * 64) == budget(2, [14]) == 2048  # one batch for all cores
    assert budget(2, [150] * 1000) == 2048
    assert budget(1, [14] * 64) == 2048


def test_padding_stays_within_the_table_of_positions(tmp_path: Path) -> None:
    folder = tiny.edit_config(tiny.bert(tmp_path / "m", max_position_embeddings=60), architectures=["Contriever"])
    exact = DualEncoder.from_pretrained(folder, runtime="torch", device="cpu")
    fast = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32")
    for words in (1, 6, 7, 55, 58, 80):
        question = ["a " * words]
        np.testing.assert_allclose(fast.encode_questions(question), exact.encode_questions(question), atol=1e-5)

"""One text has one vector, and the precision is one that was checked on this processor: whatever its kernels are."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch
from processors import BYTES, PLAIN, a_processor, needs_kernels
from tiny_models import PASSAGES, QUESTIONS

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders import fast_runtime, machine_cache, precision, runtime_choice
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.precision import Effect, measured
from dpr_rag.encoders.runtime import Batch
from dpr_rag.errors import ModelError

GOOD, FAR, TORN, NONE, NAN = (
    Effect(1e-4, 2e-4, 0.0),
    Effect(6e-4, 7e-4, 0.0),
    Effect(1e-4, 2e-4, 2e-5),
    Effect(inf, inf, inf),
    Effect(nan, nan, nan),
)
ONE_BAD = Effect(1e-4, 0.02, 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.contriever(tmp_path_factory.mktemp("precision") / "m")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def roundings() -> list[DualEncoder]:
    """The default encoder in each precision that rounds and that this processor runs."""
    found = []
    for dtype in ("int8", "bfloat16"):
        try:
            encoder = DualEncoder.default(runtime="openvino", dtype=dtype)
        except ModelError as refused:
            assert "OpenVINO cannot run it here" in str(refused)  # noqa: PT017 -- any other refusal is a fault
            continue
        if "float32" not in encoder.runtime:
            found.append(encoder)
    return found


def distances(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """1 - cosine, row by row, in float64."""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    return 1 - (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


SHORT = [*QUESTIONS, "Who wrote Hamlet?", "how do I compress bytes with gzip?", "naïve café ’quoted’ 日本", "a"]
LONG = ["a long neighbour of a short question " * 30, "hamlet " * 200]


@pytest.mark.parametrize("kind", ["as chosen", "float32", "every rounding"])
def test_one_text_has_one_vector(kind: str) -> None:
    chosen = {
        "as chosen": lambda: [DualEncoder.default(device="cpu")],
        "float32": lambda: [DualEncoder.default(runtime="openvino", dtype="float32")],
        "every rounding": roundings,
    }
    for encoder in chosen[kind]():
        alone = np.concatenate([encoder.encode_questions([text]) for text in SHORT])
        among = encoder.encode_questions([*SHORT * 5, *LONG])
        again = np.concatenate([encoder.encode_questions([text]) for text in SHORT])
        as_passages = encoder.encode_passages([Passage(id=text[:9], text=text) for text in SHORT])
        with ThreadPoolExecutor(4) as pool:
            threads = np.concatenate(list(pool.map(encoder.encode_questions, [[text] for text in SHORT])))
        for found in (among[: len(SHORT)], among[-len(SHORT) - 2 : -2], again, as_passages, threads):
            assert distances(found, alone).max() <= 1e-6
            if encoder.sides[0].runtime.dtype != "float32":
                np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_one_text_has_one_vector_in_pytorch(dtype: str) -> None:
    encoder = DualEncoder.default(device="cpu", runtime="torch", dtype=dtype)
    alone = np.concatenate([encoder.encode_questions([text]) for text in SHORT])
    among = encoder.encode_questions([*SHORT, LONG[0]])[: len(SHORT)]
    assert distances(among, alone).max() <= 1e-6
    if dtype != "float32":
        np.testing.assert_array_equal(among, alone)


def test_where_numbers_are_rounded_a_text_meets_one_shape_and_one_core(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[tuple[int, ...], set[tuple[int, ...]]] = {}

    class Watched(fast_runtime._Compiled):
        def encode(self, batch: Batch) -> np.ndarray:
            for ids, mask in zip(batch.ids, batch.mask, strict=True):
                seen.setdefault(tuple(ids[mask == 1]), set()).add(batch.ids.shape)
            return np.zeros((len(batch.ids), 32), np.float32)

    monkeypatch.setattr(fast_runtime, "_Compiled", Watched)
    monkeypatch.setattr(runtime_choice, "effect_of", lambda *_: GOOD)
    encoder = DualEncoder.from_pretrained(folder, dtype="int8")
    for some in ([QUESTIONS[0]], QUESTIONS[:2], QUESTIONS * 6, [QUESTIONS[0], *QUESTIONS[3:]]):
        encoder.encode_questions(some)
    encoder.encode_passages([Passage(id=text[:9], text=text) for text in QUESTIONS])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: encoder.encode_questions([text]), QUESTIONS))
    assert {len(shapes) for shapes in seen.values()} == {1}
    assert {shape[0] for shapes in seen.values() for shape in shapes} == {1}
    runtime = encoder.sides[0].runtime
    threads = {form[1]: model._model.get_property("INFERENCE_NUM_THREADS") for form, model in runtime._compiled.items()}
    assert threads[runtime.streams] == runtime.streams
    assert {streams for _, streams in runtime._compiled} == {0, runtime.streams}  # 0: the thread that calls


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (FAR, "6.0e-04 at the median (5e-04 is the most)"),
        (ONE_BAD, "up to 2.0e-02 (1e-02)"),
        (TORN, "2.0e-05"),
        (NONE, "cannot run"),
    ],
)
def test_a_precision_by_name_that_is_not_true_is_refused(
    folder: Path, effect: Effect, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_choice, "effect_of", lambda *_: effect)
    with pytest.raises(ModelError, match=r"in int8: .*; pass dtype='float32'") as refused:
        DualEncoder.from_pretrained(folder, dtype="int8")
    assert said in str(refused.value)


@pytest.mark.parametrize("which", ["default", "tiny"])
def test_what_is_chosen_here_is_as_true_as_the_check_promises(folder: Path, which: str) -> None:
    load = {
        "default": DualEncoder.default,
        "tiny": lambda **options: DualEncoder.from_pretrained(folder, **options),
    }[which]
    encoder, exact = load(device="cpu"), load(device="cpu", runtime="torch")
    found, wanted = encoder.encode_passages(PASSAGES), exact.encode_passages(PASSAGES)
    assert np.median(distances(found, wanted)) <= 2 * precision._MAX_MEDIAN  # texts that the check did not see
    assert encoder.fingerprint == exact.fingerprint


def test_a_model_that_a_precision_spoils_runs_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of each matrix dwarfs all others, which 8 bits then round to zero, whatever multiplies them."""

    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for name, tensor in state.items():
            if name.startswith("encoder") and tensor.ndim == 2:
                tensor[:, 0] = 40.0
        return state

    spoilt = tiny.edit_weights(tiny.contriever(tmp_path / "m"), change)
    exact = DualEncoder.from_pretrained(spoilt, runtime="torch", device="cpu").encode_questions(QUESTIONS)
    needs_kernels(PLAIN)
    a_processor(monkeypatch, BYTES)
    encoder = DualEncoder.from_pretrained(spoilt, device="cpu")
    assert encoder.runtime == "OpenVINO in float32"
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), exact, atol=1e-4)
    with pytest.raises(ModelError, match=r"in int8: .*pass dtype='float32'"):
        DualEncoder.from_pretrained(spoilt, dtype="int8")


class Doctored(FastRuntime):
    """Float32 whose vectors something happens to on their way out."""

    def __init__(self, encoder: DualEncoder, change: Callable[[np.ndarray, Batch], np.ndarray]) -> None:
        super().__init__(encoder.question_tower, encoder.profile, dtype="float32")
        self.change = change

    def encode_all(self, batches):
        for batch, vectors in super().encode_all(batches):
            yield batch, self.change(vectors, batch)


def spoil(vectors: np.ndarray, _: Batch) -> np.ndarray:
    return np.full_like(vectors, np.nan)


def fail(vectors: np.ndarray, _: Batch) -> np.ndarray:
    raise RuntimeError("could not create a primitive descriptor")


def shrink(vectors: np.ndarray, _: Batch) -> np.ndarray:
    return vectors * np.float32(0.99)


def lean_on_neighbours(vectors: np.ndarray, batch: Batch) -> np.ndarray:
    return vectors * np.float32(1 + 0.01 * (len(batch.rows) > 1))


@pytest.mark.parametrize(
    ("change", "error", "worst", "apart", "tolerable"),
    [
        (lambda vectors, _: vectors, 0, 0, 0, True),
        (spoil, nan, nan, nan, False),
        (fail, inf, inf, inf, False),
        (shrink, 5e-5, 5e-5, 0, True),
        (lean_on_neighbours, 5e-5, 5e-5, 5e-5, False),
    ],
)
def test_what_the_check_measures(
    folder: Path, change: Callable, error: float, worst: float, apart: float, tolerable: bool
) -> None:
    encoder = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32")
    tokens, exact = encoder.sides[0].tokens, encoder.sides[0].runtime
    found = measured(Doctored(encoder, change), exact, encoder.profile, tokens)
    for value, wanted in ((found.error, error), (found.worst, worst), (found.apart, apart)):
        assert value == pytest.approx(wanted, rel=0.01, abs=1e-9, nan_ok=True)
    assert found.tolerable is tolerable


@pytest.mark.parametrize(
    ("effect", "tolerable"), [(GOOD, True), (FAR, False), (ONE_BAD, False), (TORN, False), (NONE, False), (NAN, False)]
)
def test_what_is_true_to_the_model(effect: Effect, tolerable: bool) -> None:
    assert effect.tolerable is tolerable


def test_the_check_is_made_once_for_all_that_it_follows_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(precision, "measured", lambda *_: asked.append(1) or GOOD)
    a_processor(monkeypatch, BYTES)

    def checked(model: Path = folder) -> int:
        before = len(asked)
        for _ in range(2):
            assert DualEncoder.from_pretrained(model, dtype="int8").runtime == "OpenVINO in int8"
        return len(asked) - before

    assert checked() == 1
    (kept,) = (tmp_path / "cache" / "dpr-rag" / "precision").iterdir()
    assert json.loads(kept.read_text()) == {"error": 1e-4, "worst": 2e-4, "apart": 0.0, "together": False}
    bad = (
        "half a nu",
        "[]",
        '{"error": "x", "worst": 0, "apart": 0}',
        '{"error": 0.1}',
        "\udcff",
        '{"error": 0, "worst": 0}',
        '{"error": 0, "worst": 0, "apart": 0}',
    )
    for damage in bad:
        kept.write_bytes(damage.encode("utf-8", "surrogateescape"))
        assert checked() == 1
    a_processor(monkeypatch, BYTES, "Another processor")
    assert checked() == 1
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    assert checked() == 1
    monkeypatch.setattr(machine_cache, "version", lambda _: "another")
    assert checked() == 1
    monkeypatch.setattr(machine_cache, "_SCHEME", machine_cache._SCHEME + 1)
    assert checked() == 1
    assert checked(tiny.contriever(tmp_path / "other", seed=1)) == 1
    assert checked() == 0

"""Texts of one length run in one batch where that changes no vector, and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from processors import BOTH, BYTES, TILES, a_processor, needs_kernels

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders import fast_runtime
from dpr_rag.encoders.runtime import Batch, batches
from dpr_rag.encoders.tokens import TokenSequence
from dpr_rag.errors import ModelError

WORDS = "a ghost tells the prince of Denmark who it was that poured poison into his father's ear, naïvely 1599".split()


def texts(count: int, longest: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(1, longest))) for _ in range(count)]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each batch held."""
    seen: list[int] = []
    encode = fast_runtime._Compiled.encode

    def counted(compiled: fast_runtime._Compiled, batch: Batch) -> np.ndarray:
        seen.append(len(batch.ids))
        return encode(compiled, batch)

    monkeypatch.setattr(fast_runtime._Compiled, "encode", counted)
    return seen


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_real_weights_give_each_text_one_vector_to_the_bit(dtype: str, rows: list[int]) -> None:
    try:
        encoder = DualEncoder.default(runtime="openvino", dtype=dtype)
    except ModelError:
        pytest.skip("OpenVINO has no kernels here for this precision")
    if encoder.sides[0].runtime.length_step is None:
        pytest.skip("this processor runs float32 instead")
    asked = texts(150, 25) + texts(12, 160) + texts(200, 3)
    alone = np.concatenate([encoder.encode_questions([text]) for text in asked])
    rows.clear()
    for some in (asked, asked[::-1], asked[:70], asked[3:10]):
        places = [asked.index(text) for text in some]
        np.testing.assert_array_equal(encoder.encode_questions(some), alone[places])
    passages = [Passage(str(at), text) for at, text in enumerate(asked)]
    np.testing.assert_array_equal(encoder.encode_passages(passages), alone)
    assert (max(rows) > 8) is (encoder.sides[0].runtime.token_budget > 1)


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("neighbours_count", [True, False])
def test_where_neighbours_change_a_vector_each_text_runs_alone(
    tmp_path: Path, rows: list[int], monkeypatch: pytest.MonkeyPatch, neighbours_count: bool, by_name: bool
) -> None:
    needs_kernels(BYTES)
    a_processor(monkeypatch, BYTES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encode: Callable[[object, Batch], np.ndarray] = fast_runtime._Compiled.encode

    def leaning(compiled: fast_runtime._Compiled, batch: Batch) -> np.ndarray:
        """A rounding more or less where a text has neighbours, as kernels may have it that were written for many rows."""
        vectors = encode(compiled, batch)
        return np.nextafter(vectors, np.float32(9)) if neighbours_count and len(batch.ids) > 1 else vectors

    monkeypatch.setattr(fast_runtime._Compiled, "encode", leaning)
    folder = tiny.contriever(tmp_path / "m")
    options = {"dtype": "int8", "runtime": "openvino"} if by_name else {"device": "cpu"}
    for _ in range(2):  # measured, and as it was saved
        encoder = DualEncoder.from_pretrained(folder, **options)  # type: ignore[arg-type]
        encoder.encode_questions(["a"])  # measures
        rows.clear()
        encoder.encode_questions(["who was it"] * 64)
        assert "int8" in encoder.runtime
        assert (set(rows) == {1}) is neighbours_count


@pytest.mark.parametrize("step", [8, 16])
@pytest.mark.parametrize("budget", [1, 40, 512])
def test_batches_of_equal_lengths(budget: int, step: int) -> None:
    draw = random.Random(budget)
    lengths = [draw.randrange(1, 60) for _ in range(200)]
    sequences = [TokenSequence([7] * length, length, False) for length in lengths]
    found = list(batches(sequences, budget=budget, pad=0, segments="zero", step=step))
    assert sorted(row for batch in found for row in batch.rows) == list(range(200))
    for batch in found:
        assert len({-(-lengths[row] // step) for row in batch.rows}) == 1
        assert len(batch.rows) * -(-batch.ids.shape[1] // step) * step <= budget or len(batch.rows) == 1
        assert batch.mask.sum(axis=1).tolist() == [lengths[row] for row in batch.rows]
    if budget == 512:
        assert len(found) < 40
        tiny_texts = [TokenSequence([7] * 3, 3, False)] * 200
        found = list(batches(tiny_texts, budget=budget, pad=0, segments="zero", step=step))
        assert [len(batch.rows) for batch in found] == ([64, 64, 64, 8] if step == 8 else [32] * 6 + [8])


@pytest.mark.parametrize(
    ("flags", "dtype", "lengths"),
    [
        (BYTES, "int8", {8, 40}),
        (BOTH, "bfloat16", {8, 40}),
        (TILES, "int8", {8, 40}),
        (TILES, "bfloat16", {16, 48}),
        (TILES, "float32", {40}),
    ],
)
def test_lengths_are_padded_to_whole_tiles_where_bfloat16_runs_in_tiles(
    flags: str, dtype: str, lengths: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_kernels(BYTES)
    a_processor(monkeypatch, flags)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen: set[int] = set()
    encode: Callable[[object, Batch], np.ndarray] = fast_runtime._Compiled.encode

    def measured(compiled: fast_runtime._Compiled, batch: Batch) -> np.ndarray:
        seen.add(batch.ids.shape[1])
        return encode(compiled, batch)

    encoder = DualEncoder.from_pretrained(tiny.contriever(tmp_path / "m"), runtime="openvino", dtype=dtype)
    monkeypatch.setattr(fast_runtime._Compiled, "encode", measured)
    words = encoder.encode_questions(["who", "who was it " * 11])  # 3 and 35 tokens
    assert seen == lengths
    alone = np.concatenate([encoder.encode_questions(["who"]), encoder.encode_questions(["who was it " * 11])])
    np.testing.assert_allclose(words, alone, atol=1e-6 if dtype == "float32" else 0)

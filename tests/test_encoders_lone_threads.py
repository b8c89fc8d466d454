"""How many threads encode a lone question is measured on the machine, and changes no vector."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from processors import BYTES, a_processor, needs_kernels
from tiny_models import QUESTIONS

from dpr_rag import DualEncoder
from dpr_rag.encoders import fast_runtime, lone_threads, quickest
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.lone_threads import quickest_threads
from dpr_rag.encoders.precision import Effect
from dpr_rag.encoders.runtime import Batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.contriever(tmp_path_factory.mktemp("lone") / "m")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which stands still but for what waits."""
    now = [0.0]
    monkeypatch.setattr(lone_threads, "perf_counter", lambda: now[0])
    monkeypatch.setattr(lone_threads, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.mark.parametrize(
    ("cores", "takes", "differ", "threads"),
    [
        (1, {}, (), 1),
        (2, {1: 5.0, 2: 4.0}, (), 2),
        (2, {1: 5.0, 2: 4.6}, (), 1),  # too little
        (2, {1: 5.0, 2: 6.0}, (), 1),
        (3, {1: 5.0, 2: 4.0}, (), 2),
        (8, {1: 5.0, 2: 4.0, 4: 3.0}, (), 4),
        (8, {1: 5.0, 2: 4.0, 4: 3.9}, (), 2),
        (8, {1: 5.0, 2: 6.0, 4: 3.0}, (), 4),
        (8, {1: 5.0, 2: 4.0, 4: 3.0}, (4,), 2),
        (2, {1: 5.0, 2: 1.0}, (2,), 1),
    ],
)
def test_as_many_as_save_a_tenth_and_change_no_vector(
    folder: Path,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    takes: dict[int, float],
    differ: tuple[int, ...],
    threads: int,
) -> None:
    class Timed:
        def __init__(self, *_: object, dtype: str, like: FastRuntime, lone_threads: int) -> None:
            assert dtype == like.dtype == "int8"
            self.dtype, self.threads = dtype, lone_threads

        def encode(self, batch: Batch) -> np.ndarray:
            clock[0] += takes[self.threads] / 1000
            return np.ones((1, 4), np.float32) * (1 + 1e-7 * (self.threads in differ))

    encoder = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32")
    monkeypatch.setattr(lone_threads, "cores", lambda: cores)
    monkeypatch.setattr(lone_threads, "FastRuntime", Timed)
    like: Any = SimpleNamespace(dtype="int8")
    alone: Any = Timed(dtype="int8", like=like, lone_threads=1)
    assert quickest_threads(alone, None, encoder.profile, encoder.sides[0].tokens) == threads  # type: ignore[arg-type]


@pytest.mark.parametrize(("cores", "used"), [(1, 1), (3, 1), (4, 4), (16, 4)])
def test_the_threads_of_a_lone_question(folder: Path, monkeypatch: pytest.MonkeyPatch, cores: int, used: int) -> None:
    needs_kernels(BYTES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / f"cache-{cores}"))
    a_processor(monkeypatch, BYTES)
    monkeypatch.setattr(fast_runtime, "cores", lambda: cores)
    monkeypatch.setattr(quickest, "effect_of", lambda *_: Effect(0.0, 0.0, 0.0))
    monkeypatch.setattr(quickest, "quickest_threads", lambda *_: 4)
    for _ in range(2):  # measured, and as it was saved
        encoder = DualEncoder.from_pretrained(folder, device="cpu")
        vectors = np.concatenate([encoder.encode_questions([question]) for question in QUESTIONS])
        runtime = encoder.sides[0].runtime
        fast = getattr(runtime, "chosen", runtime)
        assert (fast.dtype, fast.lone_threads) == ("int8", used)
        assert {streams for _, streams in fast._compiled} == {int(used > 1)}
        np.testing.assert_array_equal(vectors, encoder.encode_questions(QUESTIONS))  # side by side, a core each
        assert not any(form._model.get_property("ENABLE_CPU_PINNING") for form in fast._compiled.values())

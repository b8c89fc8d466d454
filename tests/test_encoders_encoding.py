"""Encoding itself: threads, windows, progress, precision, truncation, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from tiny_models import PASSAGES, QUESTIONS, load

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.runtime import prefetched
from dpr_rag.errors import ModelError, PassageError, VectorError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pair")
    return tiny.dpr(root / "my-question", "question"), tiny.dpr(root / "my-ctx", "context")


@pytest.fixture(scope="module")
def encoder(pair: tuple[Path, Path]) -> DualEncoder:
    return DualEncoder.from_pretrained(*pair, device="cpu", runtime="torch")


def test_low_precision_runs_close_to_float32(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    exact = load(folder).encode_questions(QUESTIONS)
    rounded = load(folder, dtype="bfloat16").encode_questions(QUESTIONS)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(exact - rounded).max() < 0.1
    with pytest.raises(ModelError, match="dtype is 'int8', expected one of float32, bfloat16, float16"):
        load(folder, dtype="int8")
    with pytest.raises(ModelError, match="device is 'abacus', expected cpu, cuda"):
        DualEncoder.from_pretrained(folder, device="abacus")


def test_threads_get_the_same_vectors(encoder: DualEncoder) -> None:
    expected_questions, expected_passages = encoder.encode_questions(QUESTIONS), encoder.encode_passages(PASSAGES)

    def both(_: int) -> tuple[np.ndarray, np.ndarray]:
        return encoder.encode_questions(QUESTIONS), encoder.encode_passages(PASSAGES)

    with ThreadPoolExecutor(8) as pool:
        for questions, passages in pool.map(both, range(24)):
            np.testing.assert_array_equal(questions, expected_questions)
            np.testing.assert_array_equal(passages, expected_passages)


def test_windows_do_not_change_vectors(encoder: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoder.encode_passages(PASSAGES)
    monkeypatch.setattr("dpr_rag.encoders.sides._WINDOW", 7)
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), whole, atol=1e-5)


def test_truncated_passages_are_counted_and_logged_once(
    pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load(*pair)
    passages = [Passage(id="a", text="a " * 62), Passage(id="b", text="a " * 63), Passage(id="c", text="a " * 500)]
    with caplog.at_level(logging.INFO, logger="dpr_rag"):
        encoder.encode_passages(passages)
        encoder.encode_passages(passages[:1])
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 passages were cut to 64 tokens; the encoder counts further ones in .truncated"
    ]
    assert encoder.truncated == 2


def test_progress_is_told_batch_by_batch(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(*pair)
    monkeypatch.setattr(encoder._context.runtime, "token_budget", 1)
    seen: list[tuple[int, int]] = []
    encoder.progress = lambda done, total: seen.append((done, total))
    encoder.encode_passages(PASSAGES[:3])
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_vectors_that_are_not_finite_name_the_passage(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")

    def broken(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state["embeddings.word_embeddings.weight"][tiny.IDS["tragedy"]] = float("nan")
        return state

    encoder = load(tiny.edit_weights(folder, broken))
    passages = [
        Passage(id="good", text="a king"),
        Passage(id="bad", text="a tragedy"),
        Passage(id="fine", text="it is"),
    ]
    with pytest.raises(VectorError, match=r"vector 1 \('bad'\) holds NaN"):
        encoder.encode_passages(passages)
    with pytest.raises(VectorError, match=r"vector 0 \('a tragedy'\) holds NaN"):
        encoder.encode_questions(["a tragedy"])


@pytest.mark.parametrize("questions", ["who wrote hamlet?", [" "], [3]])
def test_questions_that_cannot_be_encoded(encoder: DualEncoder, questions: Any) -> None:
    with pytest.raises(PassageError, match="question"):
        encoder.encode_questions(questions)


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = [Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for at, event in enumerate(made):
            event.set()
            yield at
        raise PassageError("the fourth cannot be made")

    seen = []

    def use_all() -> None:
        for one in prefetched(items()):
            assert made[min(one + 1, 2)].wait(60)
            seen.append(one)

    with pytest.raises(PassageError, match="the fourth"):
        use_all()
    assert seen == [0, 1, 2]

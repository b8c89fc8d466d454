"""`encode_*` against plain transformers for each family and runtime, at many lengths, batch sizes and paddings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.runtime_choice import RuntimeName

TOLERANCE = 1e-5
QUESTIONS = tiny.texts(24, longest=90)
TITLES = ["", "hamlet", "the king of denmark", *tiny.texts(5, longest=40, seed=2)]
PASSAGES = [
    Passage(id=str(at), title=TITLES[at % len(TITLES)], text=text)
    for at, text in enumerate(tiny.texts(40, longest=90, seed=1))
]
Reference = Callable[[list[list[int]], int], np.ndarray]


def _pairs(passages: list[Passage]) -> list[tuple[str, ...]]:
    return [(passage.title, passage.text) if passage.title else (passage.text,) for passage in passages]


def _joined(passages: list[Passage]) -> list[tuple[str, ...]]:
    return [(f"{passage.title} {passage.text}".strip(),) for passage in passages]


def _bare(passages: list[Passage]) -> list[tuple[str, ...]]:
    return [(passage.text,) for passage in passages]


def _dpr_reference(model: Any) -> Reference:
    def encode(ids: list[list[int]], wide: int) -> np.ndarray:
        pooled, _ = tiny.hidden(model, ids, pad=0, wide=wide)  # with return_dict off, index 0 is pooler_output
        return pooled.numpy()

    return encode


def _cls(model: Any) -> Reference:
    return lambda ids, wide: tiny.hidden(model, ids, pad=0, wide=wide)[0][:, 0].numpy()


def _mean(model: Any) -> Reference:
    def encode(ids: list[list[int]], wide: int) -> np.ndarray:
        states, mask = tiny.hidden(model, ids, pad=0, wide=wide)
        return np.stack([row[: int(own.sum())].mean(dim=0).numpy() for row, own in zip(states, mask, strict=True)])

    return encode


def _ance(model: Any, head: dict[str, torch.Tensor]) -> Reference:
    def encode(ids: list[list[int]], wide: int) -> np.ndarray:
        states, _ = tiny.hidden(model, ids, pad=1, wide=wide)
        dense = states[:, 0] @ head["embeddingHead.weight"].T + head["embeddingHead.bias"]
        return torch.nn.functional.layer_norm(dense, (32,), head["norm.weight"], head["norm.bias"]).numpy()

    return encode


class Family:
    """An encoder and what plain transformers gives for its two sides."""

    def __init__(self, name: str, root: Path, runtime: RuntimeName) -> None:
        self._load = partial(DualEncoder.from_pretrained, dtype="float32", device="cpu", runtime=runtime)
        self.question_length = self.passage_length = 64
        self.cut = _pairs
        getattr(self, f"_{name}")(root)

    def _dpr(self, root: Path, **changes: Any) -> None:
        self.folders = [tiny.dpr(root / "q", "question", **changes), tiny.dpr(root / "c", "context", **changes)]
        self.encoder = self._load(*self.folders)
        self.question = _dpr_reference(transformers.DPRQuestionEncoder.from_pretrained(self.folders[0]))
        self.passage = _dpr_reference(transformers.DPRContextEncoder.from_pretrained(self.folders[1]))

    def _dpr_projected(self, root: Path) -> None:
        self._dpr(root, projection_dim=24)

    def _dpr_long(self, root: Path) -> None:
        self._dpr(root, max_position_embeddings=512)
        self.question_length = self.passage_length = 256

    def _shared(self, folder: Path, cut: Any) -> None:
        self.folders, self.cut = [folder, folder], cut
        self.encoder = self._load(folder)

    def _tas_b(self, root: Path) -> None:
        self._shared(tiny.tas_b(root / "m"), _bare)
        self.question = self.passage = _cls(transformers.DistilBertModel.from_pretrained(root / "m"))

    def _contriever(self, root: Path) -> None:
        self._shared(tiny.contriever(root / "m"), _joined)
        self.question = self.passage = _mean(transformers.BertModel.from_pretrained(root / "m"))

    def _ance(self, root: Path) -> None:
        _, model, head = tiny.roberta(root / "reference")
        self._shared(tiny.ance(root / "m"), _joined)
        self.question = self.passage = _ance(model, head)

    def _ance_prefixed(self, root: Path) -> None:
        _, model, head = tiny.roberta(root / "reference")
        self._shared(tiny.ance(root / "m", prefix="ance_encoder."), _joined)
        self.question = self.passage = _ance(model, head)

    def _ance_modules(self, root: Path) -> None:
        _, model, head = tiny.roberta(root / "reference")
        self._shared(tiny.ance_modules(root / "m"), _joined)
        self.question = self.passage = _ance(model, head)


NAMES = ("dpr", "dpr_projected", "dpr_long", "tas_b", "contriever", "ance", "ance_prefixed", "ance_modules")


@pytest.fixture(scope="module", params=product(NAMES, get_args(RuntimeName)), ids="-".join)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name, runtime = request.param
    return Family(name, tmp_path_factory.mktemp(name), runtime)


@pytest.fixture(scope="module")
def expected(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Questions alone, one by one and without padding; passages all in one padded batch."""
    questions = tiny.plain_ids(family.folders[0], [(text,) for text in QUESTIONS], family.question_length)
    passages = tiny.plain_ids(family.folders[1], family.cut(PASSAGES), family.passage_length)
    assert max(map(len, passages)) >= 64
    return np.concatenate([family.question([ids], 0) for ids in questions]), family.passage(passages, 0)


@pytest.mark.parametrize("budget", [1, 200, 100_000])
def test_vectors_equal_plain_transformers(
    family: Family, expected: tuple[np.ndarray, np.ndarray], budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in (family.encoder._question, family.encoder._context):
        monkeypatch.setattr(side.runtime, "token_budget", budget)
    questions, passages = expected
    np.testing.assert_allclose(family.encoder.encode_questions(QUESTIONS), questions, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(family.encoder.encode_passages(PASSAGES), passages, atol=TOLERANCE, rtol=0)
    assert np.abs(questions - questions.mean(axis=0)).max() > 0.05  # vectors all alike would prove nothing


def test_padding_does_not_change_vectors(family: Family) -> None:
    short = [[*ids[:5]] for ids in tiny.plain_ids(family.folders[0], [(text,) for text in QUESTIONS[:3]], 64)]
    np.testing.assert_allclose(family.question(short, 0), family.question(short, 64), atol=TOLERANCE, rtol=0)


def test_no_inputs(family: Family) -> None:
    assert family.encoder.encode_questions([]).shape == (0, family.encoder.dim)
    assert family.encoder.encode_passages([]).shape == (0, family.encoder.dim)
    assert family.encoder.encode_passages([]).dtype == np.float32

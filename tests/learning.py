"""Training samples, tiny encoders and a plain torch oracle for tests of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tiny_models as tiny
import torch

from dpr_rag import DualEncoder
from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.training import Batch
from dpr_rag.training.model import Model

TITLES = ("hamlet", "king", "denmark", "")


def make_samples(count: int, *, negatives: int = 1, seed: int = 0) -> list[TrainingSample]:
    """Samples of distinct short passages; topics are titles, four of them."""
    questions = tiny.texts(count, longest=9, seed=seed)
    passages = [
        TrainingPassage(f"{text} hamlet" if at % 3 else text, TITLES[at % 4], f"p{at}")
        for at, text in enumerate(tiny.texts(count * (1 + negatives), longest=20, seed=seed + 1))
    ]
    return [
        TrainingSample(
            question, (), (passages[at],), (), tuple(passages[count + at * negatives : count + (at + 1) * negatives])
        )
        for at, question in enumerate(questions)
    ]


def plain_bert(folder: Path, *, seed: int = 0) -> DualEncoder:
    """A BERT with DPR's profile, one tower."""
    return tiny.load(tiny.bert(folder, seed=seed), profile="dpr")


def pair(folder: Path) -> DualEncoder:
    """DPR's two towers."""
    return tiny.load(tiny.dpr(folder / "question", "question"), tiny.dpr(folder / "ctx", "context"))


def gradients_of(model: Model) -> dict[str, torch.Tensor]:
    """The gradients of the moment, which are then forgotten."""
    found = {}
    for name, parameter in model.parameters().items():
        found[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        parameter.grad = None
    return found


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert set(one) == set(other)
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    assert largest > 0.01  # gradients that are all zero would agree by themselves
    for name in one:
        assert torch.allclose(one[name], other[name], atol=tolerance, rtol=tolerance), name


def plain_loss(model: Model, batch: Batch, temperature: float = 1.0) -> torch.Tensor:
    """The paper's loss by the shortest way: one text at a time, no padding, all graphs kept (without dropout)."""
    questions, passages = model.encoder.sides
    vectors = [_vectors(model, model.question, questions.tokens.questions(batch.questions))]
    from dpr_rag import Passage

    texts = [Passage("x", one.text, one.title) for one in batch.passages]
    vectors.append(_vectors(model, model.context, passages.tokens.passages(texts)))
    scores = vectors[0] @ vectors[1].T / temperature
    right = scores[torch.arange(len(scores)), torch.tensor(batch.positives)]
    return (scores.exp().sum(dim=1).log() - right).mean()


def _vectors(model: Model, runtime: object, sequences: Sequence[object]) -> torch.Tensor:
    rows = []
    for sequence in sequences:
        ids = torch.tensor([sequence.ids])
        inputs = {"input_ids": ids}
        if model.start.question_tower.backbone == "bert":
            types = torch.zeros_like(ids)
            if model.start.profile.segments == "pair":
                types[0, sequence.second :] = 1
            inputs["token_type_ids"] = types
        hidden = runtime.backbone(**inputs).last_hidden_state[0]
        pooled = hidden[0] if model.start.profile.pooling == "cls" else hidden.mean(dim=0)
        pooled = pooled if runtime.head is None else runtime.head(pooled)
        rows.append(pooled / pooled.norm() if model.start.profile.normalise else pooled)
    return torch.stack(rows)

"""A teacher's scores over whole batches, and the objective that learns from them beside labelled questions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import HashEncoder

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.errors import TrainingError
from dpr_rag.passages import Passage
from dpr_rag.training import Distillation, MixedBatches, NegativeLogLikelihood, RandomBatches, TaughtBatches
from dpr_rag.training.batches import Batch

SAMPLES = [
    TrainingSample(
        f"q{at} red", (), (TrainingPassage(f"red {at}", f"t{at}"),), (), (TrainingPassage(f"hard {at}", ""),)
    )
    for at in range(6)
]
OTHERS = [TrainingSample(f"other {at}", (), (TrainingPassage(f"blue {at}", ""),)) for at in range(4)]
BOTH = tuple(TrainingPassage(text) for text in "ab")


def test_every_question_is_scored_by_the_teacher_with_every_passage_of_its_batch() -> None:
    teacher = HashEncoder(dim=8)
    (batch,) = TaughtBatches(RandomBatches(SAMPLES, batch_size=6), teacher).batches(0, seed=1)
    passages = [Passage("x", one.text, one.title) for one in batch.passages]
    expected = teacher.encode_questions(batch.questions) @ teacher.encode_passages(passages).T
    assert len(passages) == 12
    np.testing.assert_allclose(batch.scores, expected, rtol=1e-6)
    assert [{own, *rest} for own, rest in zip(batch.positives, batch.negatives, strict=True)] == [set(range(12))] * 6


def test_joined_with_labelled_batches_only_the_taught_questions_keep_scores() -> None:
    taught = TaughtBatches(RandomBatches(OTHERS, batch_size=4), HashEncoder(dim=8))
    mixed = MixedBatches(RandomBatches(SAMPLES, batch_size=6), taught)
    (batch,) = mixed.batches(0, seed=1)
    (alone,) = taught.batches(0, seed=1)
    scores = batch.scores
    assert scores is not None
    assert np.isnan(scores[:6]).all()
    assert np.isnan(scores[6:]).sum() == 4 * 12  # the labelled passages, which the teacher was not asked about
    np.testing.assert_allclose(
        scores[6, [batch.positives[6], *batch.negatives[6]]].sum(), alone.scores[0].sum(), rtol=1e-5
    )


def test_another_teacher_is_another_source_and_one_that_changes_with_the_weights_is_refused() -> None:
    class Fresh(RandomBatches):
        def refresh(self, epoch: int, encoder: object) -> None: ...
        def state(self) -> dict[str, object]: ...
        def restore(self, state: dict[str, object]) -> None: ...

    plain = RandomBatches(OTHERS)
    assert TaughtBatches(plain, HashEncoder(8)).fingerprint != TaughtBatches(plain, HashEncoder(9)).fingerprint
    with pytest.raises(TrainingError, match="Fresh depends on the weights"):
        TaughtBatches(Fresh(OTHERS), HashEncoder(8))


def test_the_loss_is_the_divergence_from_the_teacher_and_nothing_where_the_student_is_the_teacher() -> None:
    batch = Batch(("q",), BOTH, (0,), ((1,),), np.array([[0.1, 0.0]], np.float32))
    question, passages = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.1, 0.0]])
    teacher = 1 / (1 + math.exp(-2))  # of 0.1 / 0.05 against 0; the student has it the other way round
    expected = teacher * math.log(teacher / (1 - teacher)) + (1 - teacher) * math.log((1 - teacher) / teacher)
    found = Distillation(weight=3.0).loss(question, passages, batch)
    assert found.item() == pytest.approx(3 * expected, rel=1e-5)
    assert Distillation().loss(question, passages.flip(0), batch).item() == pytest.approx(0, abs=1e-6)


def test_questions_without_scores_learn_their_labels_and_unscored_passages_do_not_count() -> None:
    passages = torch.tensor([[0.02, 0.0], [0.0, 0.05], [0.9, 0.9]], requires_grad=True)
    questions = torch.eye(2, requires_grad=True)
    three = (*BOTH, TrainingPassage("c"))
    nan = np.nan
    batch = Batch(("q", "r"), three, (0, 1), ((), (0,)), np.array([[nan] * 3, [0.0, 0.05, nan]], np.float32))
    label = NegativeLogLikelihood(temperature=0.05)
    expected = label.loss(questions[:1], passages, Batch(("q",), three, (0,), ((),)))
    found = Distillation(label).loss(questions, passages, batch)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert questions.grad is not None
    assert passages.grad is not None
    assert torch.isfinite(questions.grad).all()
    assert torch.isfinite(passages.grad).all()


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"weight": 0.0}, {"temperature": -1.0}):
        with pytest.raises(TrainingError, match="expected"):
            Distillation(**wrong)
    assert Distillation(weight=2.0).fingerprint != Distillation().fingerprint

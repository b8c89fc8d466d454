"""The cross-encoder that teaches: its scores are those of plain transformers, its loss that of plain torch, and it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from learning import make_samples, pair, plain_bert

from dpr_rag import DualEncoder
from dpr_rag.corpora import TrainingPassage
from dpr_rag.errors import TrainingError
from dpr_rag.training import TrainingSettings, make_batch, train
from dpr_rag.training.batches import Pick
from dpr_rag.training.cross_encoder import OwnPairs, PairBatches, cross_encoder_from, pair_teacher
from dpr_rag.training.teachers import score_samples


def test_scores_are_those_of_plain_transformers(tmp_path: Path) -> None:
    start = plain_bert(tmp_path / "bert")
    crossed = cross_encoder_from(start, seed=3)
    question, passage = "king of denmark", TrainingPassage("prince hamlet speaks", "hamlet", "1")
    (found,) = np.asarray(pair_teacher(crossed)([(question, passage)]))
    model = transformers.BertModel.from_pretrained(tmp_path / "bert", add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    inputs = tokenizer(question, "hamlet prince hamlet speaks", return_tensors="pt")
    assert inputs["token_type_ids"].sum() > 0
    with torch.no_grad():
        first = model(**inputs).last_hidden_state[0, 0]
    output = torch.from_numpy(crossed.context_tower.state["head.dense.weight"])[0]
    assert found == pytest.approx(float(first @ output), abs=1e-5)


def test_the_loss_compares_a_question_with_its_own_pairs() -> None:
    passages = [TrainingPassage(f"text {at}") for at in range(5)]
    batch = make_batch([Pick("a", passages[0], passages[1:3]), Pick("b", passages[3], passages[4:])])
    assert (batch.positives, batch.negatives) == ((0, 1), ((2, 3), (4,)))
    scores = torch.tensor([[0.3], [-1.0], [0.8], [2.0], [1.5]], requires_grad=True)
    found = OwnPairs().loss(torch.zeros(2, 1), scores, batch)
    parts = [torch.log_softmax(scores[at, 0], 0)[0] for at in ([0, 2, 3], [1, 4])]
    assert found.item() == pytest.approx(-sum(part.item() for part in parts) / 2)
    found.backward()
    assert torch.isfinite(scores.grad).all()
    assert float(scores.grad.abs().sum()) > 0


def test_it_learns_to_tell_its_samples(tmp_path: Path) -> None:
    samples = make_samples(12, negatives=3)
    settings = TrainingSettings(batch_size=6, steps=40, learning_rate=3e-3, dropout=0.0, warmup_steps=2)
    start = cross_encoder_from(plain_bert(tmp_path / "bert"))
    train(PairBatches(samples, batch_size=6), tmp_path / "out", init=start, settings=settings, objective=OwnPairs())

    def right(encoder: DualEncoder) -> int:
        scored = score_samples(samples, pair_teacher(encoder))
        return sum(one.positives[0].score > max(other.score for other in one.hard_negatives) for one in scored)

    assert right(start) < 8
    assert right(DualEncoder.from_pretrained(tmp_path / "out")) == 12


def test_batches_hold_pairs_with_the_question_as_title() -> None:
    samples = make_samples(5, negatives=4)
    source = PairBatches(samples, batch_size=2, hard_negatives=2)
    batches = list(source.batches(0, seed=1))
    assert len(batches) == len(source) == 3
    assert sorted(question for batch in batches for question in batch.questions) == sorted(
        one.question for one in samples
    )
    known = {one.question: one for one in samples}
    for batch in batches:
        for question, first, own in zip(batch.questions, batch.positives, batch.negatives, strict=True):
            sample = known[question]
            assert batch.passages[first].text == f"{sample.positives[0].title} {sample.positives[0].text}".strip()
            assert {batch.passages[at].title for at in (first, *own)} == {question}
            texts = {f"{one.title} {one.text}".strip() for one in sample.hard_negatives}
            assert len(own) == 2
            assert {batch.passages[at].text for at in own} <= texts
    assert [one.questions for one in source.batches(0, seed=1)] == [one.questions for one in batches]
    assert replace(batches[0], scores=None).questions != next(source.batches(1, seed=1)).questions


def test_what_is_no_cross_encoder_is_refused(tmp_path: Path) -> None:
    samples = make_samples(3, negatives=1)
    with pytest.raises(TrainingError, match=f"the question '{samples[1].question}' has no hard negative"):
        PairBatches([samples[0], replace(samples[1], hard_negatives=())])
    with pytest.raises(TrainingError, match="made of a single BertModel"):
        cross_encoder_from(pair(tmp_path))
    with pytest.raises(TrainingError, match="is no cross-encoder"):
        pair_teacher(tiny.load(tiny.bert(tmp_path / "plain"), profile="dpr"))

"""DPR's successors on the same trainer: ANCE's refreshes, TAS-B's batches and loss, Contriever's crops and queue."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from conftest import HashEncoder
from learning import make_samples, plain_bert
from test_training_pseudo import UNSPACED
from test_training_running import assert_close, weights

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.corpora import TrainingPassage, TrainingSample, read_training, write_training
from dpr_rag.errors import TrainingError
from dpr_rag.evaluation import has_answer
from dpr_rag.training import (
    Batch,
    MixedBatches,
    Pick,
    Progress,
    RandomBatches,
    SampleValidation,
    TopicBatches,
    TrainingSettings,
    make_batch,
    train,
)
from dpr_rag.training.ance import AnceBatches
from dpr_rag.training.contriever import CropBatches, MomentumContrast
from dpr_rag.training.cross_encoder import PairBatches
from dpr_rag.training.cutting import words_of
from dpr_rag.training.model import Model
from dpr_rag.training.pseudo import AsTyped, Drawing, PseudoQuestions
from dpr_rag.training.tas_b import MarginMSE, TasBatches, balanced, cluster_questions
from dpr_rag.training.teachers import cross_encoder, encoder_teacher, score_samples

SETTINGS = TrainingSettings(epochs=4, learning_rate=1e-3, warmup_steps=1, temperature=4.0, save_every=1, log_every=1)
PASSAGES = [Passage(f"p{at}", f"{text} hamlet", "king") for at, text in enumerate(tiny.texts(24, longest=20, seed=8))]
SAMPLES = [
    TrainingSample(question, ("den",) if at % 2 else (), (TrainingPassage(PASSAGES[at].text, "king", f"p{at}"),))
    for at, question in enumerate(tiny.texts(10, longest=9, seed=7))
]


class Stopped(Exception):
    """What a test interrupts a training with."""


def stop_at(step: int) -> Callable[[Progress], None]:
    def told(now: Progress) -> None:
        if now.step == step:
            raise Stopped

    return told


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as opened:
        opened.add(PASSAGES)
        yield opened


def test_ance_takes_what_the_weights_of_the_moment_rank_first(store: PassageStore) -> None:
    encoder = HashEncoder(salt="now")
    source = AnceBatches(SAMPLES, store, batch_size=3, depth=5, share=0.4)
    assert len(source) == 2  # two phases of five questions
    source.refresh(0, encoder)
    seen: list[str] = []
    for batch in source.batches(0, seed=0):
        for row, question in enumerate(batch.questions):
            seen.append(question)
            sample = next(one for one in SAMPLES if one.question == question)
            scores = encoder.encode_passages(PASSAGES) @ encoder.encode_questions([question])[0]
            best = [PASSAGES[at] for at in np.argsort(-scores, kind="stable")[:5]]
            allowed = {
                one.text
                for one in best
                if one.id != sample.positives[0].id and not has_answer(sample.answers, one.text)
            }
            assert {batch.passages[at].text for at in batch.negatives[row]} <= allowed
            assert len(batch.negatives[row]) == bool(allowed)
    source.refresh(1, encoder)
    seen += [question for batch in source.batches(1, seed=0) for question in batch.questions]
    assert sorted(seen) == sorted(one.question for one in SAMPLES)
    with pytest.raises(TrainingError, match="share is 0, expected"):
        AnceBatches(SAMPLES, store, share=0)
    with pytest.raises(TrainingError, match="has no positive; read samples with read_samples"):
        AnceBatches([replace(SAMPLES[0], positives=())], store)


def test_ance_refreshes_with_moving_weights_and_goes_on_in_a_phase(tmp_path: Path, store: PassageStore) -> None:
    class Watched(AnceBatches):
        refreshed: list[tuple[int, bytes]]

        def refresh(self, epoch: int, encoder: Any) -> None:
            self.refreshed.append((epoch, encoder.encode_questions(["who wrote"]).tobytes()))
            super().refresh(epoch, encoder)

    def source() -> Watched:
        made = Watched(SAMPLES, store, batch_size=3, depth=8, share=0.5)
        made.refreshed = []
        return made

    start = plain_bert(tmp_path / "m")
    whole, halves = source(), source()
    train(whole, tmp_path / "whole", init=start, settings=SETTINGS)
    assert [epoch for epoch, _ in whole.refreshed] == [0, 1, 2, 3]
    assert len({vector for _, vector in whole.refreshed}) == 3 + 1
    with pytest.raises(Stopped):
        train(halves, tmp_path / "out", init=start, settings=replace(SETTINGS, save_every=100), progress=stop_at(3))
    again = source()
    train(again, tmp_path / "out", init=start, settings=SETTINGS)
    assert [epoch for epoch, _ in again.refreshed] == [2, 3]  # step 3 is in the middle of phase 1
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "out"))


def test_ance_inside_a_mixture_is_refreshed_in_every_epoch(store: PassageStore) -> None:
    def plain() -> AnceBatches:
        return AnceBatches(SAMPLES, store, batch_size=2, depth=8, share=0.5)

    def texts(batch: Batch, questions: int) -> list[tuple[str, list[str]]]:
        own = zip(batch.questions[:questions], batch.negatives, strict=False)
        return [(question, [batch.passages[at].text for at in negatives]) for question, negatives in own]

    alone, mixed = plain(), MixedBatches(AsTyped(plain(), share=0.0), RandomBatches(SAMPLES, batch_size=5))
    for epoch in range(3):
        alone.refresh(epoch, HashEncoder(salt=str(epoch)))
        mixed.refresh(epoch, HashEncoder(salt=str(epoch)))
        expected = [(texts(batch, 2), len(batch.questions)) for batch in alone.batches(epoch, seed=0)]
        found = list(mixed.batches(epoch, seed=0))
        assert [(texts(batch, size), size) for batch, (_, size) in zip(found, expected, strict=True)] == expected
        assert any(negatives for rows, _ in expected for _, negatives in rows)
        again = MixedBatches(AsTyped(plain(), share=0.0), RandomBatches(SAMPLES, batch_size=5))
        again.restore(json.loads(json.dumps(mixed.state())))
        assert [texts(batch, 9) for batch in again.batches(epoch, seed=0)] == [texts(batch, 9) for batch in found]
    for second in (plain(), AsTyped(plain()), mixed):
        with pytest.raises(TrainingError, match="only the first source of MixedBatches may; swap them"):
            MixedBatches(RandomBatches(SAMPLES), second)
    untouched = AsTyped(RandomBatches(SAMPLES))
    assert not MixedBatches(RandomBatches(SAMPLES), untouched).refreshing
    MixedBatches(untouched, untouched).restore({})  # as states hold that were saved before this source was asked


def test_ance_says_what_it_lacks(store: PassageStore) -> None:
    source = AnceBatches(SAMPLES, store, batch_size=2, depth=8, share=0.5)
    with pytest.raises(TrainingError, match=r"phase 0 are not there; call refresh\(0, encoder\) first"):
        next(source.batches(0, seed=0))
    source.refresh(0, HashEncoder())
    with pytest.raises(TrainingError, match="phase 1 are not there"):
        next(source.batches(1, seed=0))
    gone = next(iter(next(iter(source.state()["negatives"].values()))))
    text = store.get([gone])[0].text
    store.delete([gone])
    with pytest.raises(TrainingError, match=f"the store has no passage '{gone}'"):
        source.restore(source.state())
    fewer = AnceBatches(SAMPLES, store, batch_size=2, depth=8, share=0.5).fingerprint
    store.add([Passage(gone, f"{text} again", "king")])
    changed = AnceBatches(SAMPLES, store, batch_size=2, depth=8, share=0.5).fingerprint
    assert len({source.fingerprint, fewer, changed}) == 3  # as many passages as before, one of them another
    store.add([Passage(gone, text, "king")])
    with pytest.raises(TrainingError, match="depth is 0"):
        AnceBatches(SAMPLES, store, depth=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomBatches(SAMPLES, batch_size=0), "batch_size is 0, expected an integer of at least 1"),
        (lambda: RandomBatches(SAMPLES, hard_negatives=-1), "hard_negatives is -1, expected an integer of at least 0"),
        (lambda: TasBatches([scored([1.0])], [0], batch_size=2.5), "batch_size is 2.5"),
        (lambda: CropBatches(["two words"], batch_size=-3), "batch_size is -3"),
        (lambda: CropBatches(["two words"], window=1), "window is 1, expected an integer of at least 2"),
        (lambda: PseudoQuestions(PASSAGES, batch_size=0), "batch_size is 0"),
        (lambda: PairBatches(make_samples(3), batch_size=0), "batch_size is 0"),
        (
            lambda: PairBatches(make_samples(3), hard_negatives=0),
            "hard_negatives is 0, expected an integer of at least 1",
        ),
        (lambda: TopicBatches(SAMPLES, hard_negatives=-1), "hard_negatives is -1"),
        (lambda: Drawing(keywords=1.2), "keywords is 1.2, expected a number at least 0 and at most 1"),
        (lambda: Drawing(shortest=0.5, longest=0.2), "stretches of 0.5 to 0.2"),
        (lambda: AsTyped(RandomBatches(SAMPLES), share=float("nan")), "share is nan"),
        (lambda: AsTyped(RandomBatches(SAMPLES), keywords=-0.1), "keywords is -0.1"),
    ],
)
def test_sources_check_their_numbers(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make()


WORKER = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
import tiny_models as tiny
from dataclasses import replace
from test_training_recipes import SAMPLES, SETTINGS
from dpr_rag import PassageStore
from dpr_rag.training import train
from dpr_rag.training.ance import AnceBatches
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{{folder}}/meet", rank=rank, world_size=2)
start = tiny.load(folder / "m", profile="dpr")
with PassageStore.open(folder / "s", read_only=True) as store:
    source = AnceBatches(SAMPLES, store, batch_size=4, depth=8, share=0.5)
    train(source, folder / "two", init=start, settings=replace(SETTINGS, dropout=0.0, gradient_norm=100.0))
torch.distributed.destroy_process_group()
"""


def test_two_processes_train_the_same_encoder(tmp_path: Path, store: PassageStore) -> None:
    start = plain_bert(tmp_path / "m")
    code = WORKER.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=400)[1].decode() for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors
    source = AnceBatches(SAMPLES, store, batch_size=4, depth=8, share=0.5)
    settings = replace(SETTINGS, dropout=0.0, gradient_norm=100.0)
    train(source, tmp_path / "one", init=start, settings=settings)
    one, two = (DualEncoder.from_pretrained(tmp_path / name, device="cpu", runtime="torch") for name in ("one", "two"))
    moved = np.abs(one.encode_questions(tiny.QUESTIONS) - start.encode_questions(tiny.QUESTIONS)).max()
    apart = np.abs(one.encode_questions(tiny.QUESTIONS) - two.encode_questions(tiny.QUESTIONS)).max()
    assert moved > 0.05
    assert apart < moved / 50


def scored(margins: list[float]) -> TrainingSample:
    negatives = tuple(TrainingPassage(f"n{at}", score=5.0 - margin) for at, margin in enumerate(margins))
    return TrainingSample("who", (), (TrainingPassage("positive", score=5.0),), (), negatives)


def test_pairs_are_drawn_evenly_over_the_bins_of_the_margin() -> None:
    margins = [0.0] * 50 + [0.05] * 29 + [5.0] * 20 + [10.0]  # the bins 0, 5 and 9 of ten
    generator = np.random.default_rng(0)
    scores = [balanced(scored(margins), generator).scores for _ in range(3000)]
    by_margin = Counter(round(positive - negative) for positive, negative in scores)
    assert set(by_margin) == {0, 5, 10}
    assert all(900 < count < 1100 for count in by_margin.values())
    assert balanced(scored([2.0, 2.0]), generator).scores == [5.0, 3.0]


def test_a_negative_that_is_the_positive_is_left_out() -> None:
    double = replace(scored([2.0]).hard_negatives[0], text="positive", score=-7.0)
    sample = replace(scored([2.0]), hard_negatives=(double, *scored([2.0]).hard_negatives))
    for epoch in range(8):
        (batch,) = TasBatches([sample], [0]).batches(epoch, seed=0)
        assert batch.scores is not None
        assert batch.scores.tolist() == [[5.0, 3.0]]
    with pytest.raises(TrainingError, match="lacks hard negatives"):
        TasBatches([replace(sample, hard_negatives=(double,))], [0])


def test_batches_of_tas_b_are_of_one_cluster() -> None:
    samples = [replace(scored([1.0, 2.0]), question=f"question {at}") for at in range(11)]
    labels = [0, 1] * 5 + [1]
    source = TasBatches(samples, labels, batch_size=4)
    batches = list(source.batches(0, seed=0))
    assert len(source) == len(batches) == 4  # 5 and 6 questions
    assert sorted(len(batch.questions) for batch in batches) == [1, 2, 4, 4]
    for batch in batches:
        assert len({labels[int(question.split()[1])] for question in batch.questions}) == 1
        assert batch.scores is not None
        assert np.nanmax(batch.scores) == 5.0
    assert sorted(question for batch in batches for question in batch.questions) == sorted(
        one.question for one in samples
    )
    with pytest.raises(TrainingError, match="lacks hard negatives or a teacher's scores"):
        TasBatches(make_samples(3), [0, 0, 0])
    with pytest.raises(TrainingError, match="2 labels for 11 samples"):
        TasBatches(samples, [0, 1])


def test_questions_cluster_by_their_words() -> None:
    questions = [f"{'alpha beta gamma' if at % 2 else 'one two three'} {at}" for at in range(30)]
    labels = cluster_questions(questions, HashEncoder(dim=8), 2)
    assert len(set(labels[::2])) == len(set(labels[1::2])) == 1
    assert labels[0] != labels[1]
    assert cluster_questions(questions, HashEncoder(dim=8), 2).tolist() == labels.tolist()
    with pytest.raises(TrainingError, match="40 clusters of 30 questions"):
        cluster_questions(questions, HashEncoder(), 40)


@pytest.mark.parametrize("in_batch", [False, True])
def test_margin_mse_by_value(in_batch: bool) -> None:
    picks = [
        Pick("who", TrainingPassage("a"), [TrainingPassage("b"), TrainingPassage("c")], [3.0, 1.0, 2.5]),
        Pick("what", TrainingPassage("d"), [TrainingPassage("a")], [4.0, 0.5]),
    ]
    batch = make_batch(picks)
    generator = torch.Generator().manual_seed(0)
    questions, passages = torch.randn(2, 3, generator=generator), torch.randn(4, 3, generator=generator)

    def teacher(pairs: Any) -> list[float]:
        return [len(question) * 1.5 + ord(passage.text) % 7 for question, passage in pairs]

    loss = MarginMSE(in_batch=teacher if in_batch else None, weight=0.75).loss(questions, passages, batch)
    scores = (questions @ passages.T).numpy()
    assert "".join(one.text for one in batch.passages) == "adbc"
    pairs = [(0, 0, 2, 2.0), (0, 0, 3, 0.5), (1, 1, 0, 3.5)]
    expected = np.mean([(scores[row, right] - scores[row, wrong] - margin) ** 2 for row, right, wrong, margin in pairs])
    if in_batch:
        taught = [[ord(text) % 7 for text in "adbc"]] * 2
        every = [
            (scores[row, right] - scores[row, at] - (taught[row][right] - taught[row][at])) ** 2
            for row, right in ((0, 0), (1, 1))
            for at in range(4)
            if at != right
        ]
        expected += 0.75 * np.mean(every)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TrainingError, match="no teacher's scores"):
        MarginMSE().loss(questions, passages, replace(batch, scores=None))


def test_margin_mse_leaves_out_what_the_teacher_did_not_score() -> None:
    scored_pick = Pick("who", TrainingPassage("a"), [TrainingPassage("b")], [3.0, 1.0])
    batch = make_batch([scored_pick, Pick("what", TrainingPassage("d"), [TrainingPassage("c")])])
    questions = torch.tensor([[1.0, 0.5], [2.0, -1.0]], requires_grad=True)
    passages = torch.tensor([[0.5, 1.0], [2.0, 0.0], [1.0, 1.0], [0.0, 3.0]], requires_grad=True)  # a, d, b, c
    loss = MarginMSE().loss(questions, passages, batch)
    assert loss.item() == pytest.approx((1.0 - 1.5 - 2.0) ** 2)
    loss.backward()
    assert questions.grad is not None
    assert questions.grad.tolist() == [[2.5, 0.0], [0.0, 0.0]]  # 2 · -2.5 · (a - b)
    with pytest.raises(TrainingError, match="no pair of the batch has a teacher's scores"):
        MarginMSE().loss(questions, passages, replace(batch, scores=np.full((2, 4), np.nan, np.float32)))


def test_teachers_score_samples_that_files_keep(tmp_path: Path) -> None:
    encoder = HashEncoder()
    samples = make_samples(5, negatives=2)
    done: list[int] = []
    found = score_samples(samples, encoder_teacher(encoder), batch_size=2, progress=done.append)
    assert done == [2, 4, 5]
    for before, after in zip(samples, found, strict=True):
        passages = [*before.positives, *before.hard_negatives]
        plain = [Passage("x", one.text, one.title) for one in passages]
        expected = encoder.encode_passages(plain) @ encoder.encode_questions([before.question])[0]
        scores = [one.score for one in (*after.positives, *after.hard_negatives)]
        assert scores == pytest.approx(expected.tolist(), rel=1e-5)
    write_training(tmp_path / "t.jsonl", found)
    assert [one.hard_negatives for one in read_training(tmp_path / "t.jsonl")] == [one.hard_negatives for one in found]
    with pytest.raises(TrainingError, match=r"scores of shape \[1\] for 15 pairs"):
        score_samples(samples, lambda pairs: [1.0])
    with pytest.raises(TrainingError, match="one finite number each"):
        score_samples(samples, lambda pairs: [float("nan")] * len(pairs))


def test_a_cross_encoder_teaches(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    import transformers

    folder = tiny.save_tiny_cross_encoder(tmp_path / "ce")
    pairs = [("who wrote hamlet", TrainingPassage("a tragedy", "the king")), ("hamlet", TrainingPassage("it is"))]
    scores = np.asarray(cross_encoder(str(folder), device="cpu")(pairs))
    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    with torch.inference_mode():
        texts = [("who wrote hamlet", "the king a tragedy"), ("hamlet", "it is")]
        expected = [float(model(**tokenizer(*one, return_tensors="pt")).logits) for one in texts]
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_tas_b_trains_towards_its_teacher(tmp_path: Path) -> None:
    samples = score_samples(make_samples(12, negatives=4), encoder_teacher(HashEncoder(dim=4)))
    samples = [
        replace(
            one,
            positives=tuple(replace(p, score=(p.score or 0) / 10) for p in one.positives),
            hard_negatives=tuple(replace(p, score=(p.score or 0) / 10) for p in one.hard_negatives),
        )
        for one in samples
    ]
    start = plain_bert(tmp_path / "m")
    labels = cluster_questions([one.question for one in samples], start, 2)
    source = TasBatches(samples, labels, batch_size=6)
    settings = replace(SETTINGS, epochs=12, dropout=0.0, save_every=100)

    def error(encoder: DualEncoder) -> float:
        student = score_samples(samples, encoder_teacher(encoder))
        pairs = [
            ((a.positives[0].score - x.score) - (b.positives[0].score - y.score)) ** 2
            for a, b in zip(samples, student, strict=True)
            for x, y in zip(a.hard_negatives, b.hard_negatives, strict=True)
        ]
        return float(np.mean(pairs))

    train(source, tmp_path / "out", init=start, settings=settings, objective=MarginMSE())
    assert error(DualEncoder.from_pretrained(tmp_path / "out", device="cpu", runtime="torch")) < 0.5 * error(start)


def test_crops_are_two_spans_of_one_text() -> None:
    texts = [" ".join(f"{letter}{at}" for at in range(100)) for letter in "abcde"]
    source = CropBatches([*texts[:3], Passage("4", texts[3]), texts[4], "alone"], batch_size=2, window=60, deletion=0.2)
    assert len(source) == 3
    lengths, gaps = [], []
    for epoch in range(40):
        batches = list(source.batches(epoch, seed=0))
        assert sorted(len(batch.questions) for batch in batches) == [1, 2, 2]
        for batch in batches:
            for question, positive in zip(batch.questions, batch.positives, strict=True):
                crops = [question.split(), batch.passages[positive].text.split()]
                assert len({word[0] for crop in crops for word in crop}) == 1
                numbers = [[int(re.sub(r"\D", "", word)) for word in crop] for crop in crops]
                assert max(map(max, numbers)) - min(map(min, numbers)) < 60
                for crop in numbers:
                    assert crop == sorted(set(crop))
                    lengths.append(crop[-1] - crop[0] + 1)
                    gaps.append(len(crop) / (crop[-1] - crop[0] + 1))
    assert max(lengths) <= 30
    assert min(lengths) <= 4
    assert 0.78 < np.mean(gaps) < 0.9
    assert [one.questions for one in source.batches(3, seed=0)] == [one.questions for one in source.batches(3, seed=0)]
    with pytest.raises(TrainingError, match="0 texts of two words"):
        CropBatches(["alone"])


@pytest.mark.parametrize("name", ["chinese", "japanese", "thai"])
def test_crops_of_texts_without_spaces_are_runs_of_characters(name: str) -> None:
    text = UNSPACED[name]
    source = CropBatches([text], longest=0.5, deletion=0.0)
    crops = [one for epoch in range(30) for one in pair_of(next(iter(source.batches(epoch, seed=0))))]
    assert all(crop in text and 0 < len(crop) < 0.75 * len(text) for crop in crops)
    assert not any(unicodedata.combining(crop[0]) for crop in crops)
    assert len(set(crops)) > 20
    windowed = CropBatches([text], longest=1.0, shortest=1.0, deletion=0.0, window=6)
    assert {len(words_of(crop)) for crop in pair_of(next(iter(windowed.batches(0, seed=0))))} == {6}


def test_crops_of_spaced_texts_are_what_they_were() -> None:
    source = CropBatches(["who wrote  hamlet\nand why", "été à la mer"], batch_size=2)
    assert source.fingerprint == "cdaa02c30c6859544403a465175b85565bd188334fedb20d50c5b020b8d7282b"
    assert pair_of(next(iter(source.batches(0, seed=0)))) == ["and", "mer", "who", "la"]


def pair_of(batch: Batch) -> list[str]:
    return [*batch.questions, *(one.text for one in batch.passages)]


def test_momentum_contrast_by_value(tmp_path: Path) -> None:
    objective = MomentumContrast(queue=5, temperature=0.5, momentum=0.9)
    model = Model(plain_bert(tmp_path / "m"), towers="momentum")
    start = {name: tensor.clone() for name, tensor in model.tensors().items()}
    with torch.no_grad():
        for parameter in model.parameters().values():
            parameter.add_(1.0)
    generator = torch.Generator().manual_seed(0)
    keys: list[torch.Tensor] = []
    for _ in range(3):
        questions, passages = torch.randn(2, 3, generator=generator), torch.randn(2, 3, generator=generator)
        batch = make_batch([Pick("a", TrainingPassage("x")), Pick("b", TrainingPassage("y"))])
        loss = objective.loss(questions, passages.requires_grad_(), batch)
        columns = torch.cat([passages.detach(), *keys])[:7]
        scores = questions @ columns.T / 0.5
        expected = (scores.exp().sum(dim=1).log() - scores[[0, 1], [0, 1]]).mean()
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
        objective.on_step(model)
        keys.insert(0, passages.detach())
    assert torch.equal(objective.tensors()["queue"], torch.cat(keys)[:5])
    name = "encoder.layer.0.output.dense.weight"
    followed = start[f"question.{name}"] + 1 - 0.9**3
    torch.testing.assert_close(model.tensors()[f"context.{name}"], followed)
    with pytest.raises(TrainingError, match="no momentum tower"):
        Model(plain_bert(tmp_path / "n")).follow(0.9)


def test_contriever_goes_on_with_queue_and_momentum_tower(tmp_path: Path) -> None:
    start = tiny.load(tiny.contriever(tmp_path / "m"))
    source = CropBatches(tiny.texts(12, longest=40), batch_size=4)
    settings = replace(SETTINGS, towers="momentum", epochs=2, save_every=3)

    def objective() -> MomentumContrast:
        return MomentumContrast(queue=6, temperature=4.0, momentum=0.8)

    measured = SampleValidation(make_samples(6))
    seen: list[Any] = []
    train(
        source,
        tmp_path / "whole",
        init=start,
        settings=replace(settings, select="last"),
        objective=objective(),
        validation=[measured],
        progress=lambda now: seen.append(now.measures),
    )
    whole = DualEncoder.from_pretrained(tmp_path / "whole", device="cpu", runtime="torch")
    assert measured.measure(whole) == pytest.approx(seen[-1], rel=1e-5)  # of the one tower that is written
    with pytest.raises(Stopped):
        train(source, tmp_path / "out", init=start, settings=settings, objective=objective(), progress=stop_at(4))
    train(source, tmp_path / "out", init=start, settings=settings, objective=objective())
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "out"))
    trained = DualEncoder.from_pretrained(tmp_path / "out", device="cpu", runtime="torch")
    assert trained.shared
    assert trained.fingerprint != start.fingerprint

"""What no training can learn from is refused before a folder is made; what teaches less than it could is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder
from learning import make_samples, plain_bert

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.encoders.towers import Tower
from dpr_rag.errors import TrainingError
from dpr_rag.training import RandomBatches, SampleValidation, StoreValidation, TrainingSettings, train
from dpr_rag.training.ance import AnceBatches
from dpr_rag.training.contriever import CropBatches, MomentumContrast
from dpr_rag.training.learnable import cautions

SAMPLES = make_samples(6)
BARE = [replace(one, hard_negatives=()) for one in SAMPLES]
ALIKE = [replace(one, positives=BARE[0].positives) for one in BARE]
SETTINGS = TrainingSettings(batch_size=4, epochs=2, learning_rate=1e-3, warmup_steps=0, temperature=4.0)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return plain_bert(tmp_path_factory.mktemp("start") / "bert")


@pytest.mark.parametrize(
    ("samples", "changes"),
    [
        (BARE, {"batch_size": 1}),
        (SAMPLES, {"batch_size": 1, "hard_negatives": 0}),
        (BARE[:1], {}),
        ([BARE[0], BARE[0]], {}),
        (ALIKE, {}),
        (ALIKE, {"accumulate": 2}),
    ],
)
def test_batches_of_one_passage_are_refused_before_any_work(
    tmp_path: Path, start: DualEncoder, samples: list[TrainingSample], changes: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match=r"the loss is 0 whatever is learnt.*give a larger batch.*hard negatives"):
        train(samples, tmp_path / "out", init=start, settings=replace(SETTINGS, **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("samples", "changes"),
    [
        (SAMPLES, {"batch_size": 1}),
        (SAMPLES[:1], {}),
        (BARE, {}),
        ([*ALIKE, BARE[1]], {}),
        ([replace(one, hard_negatives=SAMPLES[at].hard_negatives) for at, one in enumerate(ALIKE)], {}),
    ],
)
def test_one_other_passage_is_enough(
    tmp_path: Path, start: DualEncoder, samples: list[TrainingSample], changes: dict[str, Any]
) -> None:
    done = train(samples, tmp_path / "out", init=start, settings=replace(SETTINGS, **changes))
    trained = DualEncoder.from_pretrained(done.path, device="cpu", runtime="torch")
    assert trained.fingerprint != start.fingerprint


def test_crops_of_one_text_are_refused(tmp_path: Path, start: DualEncoder) -> None:
    settings = replace(SETTINGS, towers="momentum")
    with pytest.raises(TrainingError, match="the loss is 0"):
        train(
            CropBatches(["one text alone"]), tmp_path / "a", init=start, settings=settings, objective=MomentumContrast()
        )
    two = CropBatches(["one text alone", "the king of denmark"], batch_size=1)
    train(two, tmp_path / "b", init=start, settings=settings, objective=MomentumContrast())


def test_ance_says_it_after_its_first_search(tmp_path: Path, start: DualEncoder) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("p", SAMPLES[0].positives[0].text)])  # nothing else to find
        source = AnceBatches(BARE[:1], store, share=1.0)
        with pytest.raises(TrainingError, match="the loss is 0"):
            train(source, tmp_path / "out", init=start, settings=SETTINGS)


def test_a_schedule_of_zeros_is_refused_and_a_long_warm_up_is_said(
    tmp_path: Path, start: DualEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainingError, match="warm-up of 1 begins at a learning rate of 0"):
        train(SAMPLES, tmp_path / "a", init=start, settings=replace(SETTINGS, steps=1, warmup_steps=1))
    with caplog.at_level(logging.WARNING):
        train(SAMPLES, tmp_path / "b", init=start, settings=replace(SETTINGS, steps=2, warmup_steps=9))
    assert "the warm-up of 9 steps is as long as the training" in caplog.text


def test_weights_that_the_last_step_broke_are_not_written(tmp_path: Path, start: DualEncoder) -> None:
    with pytest.raises(TrainingError, match=r"gives no finite vectors.*a lower learning rate"):
        train(SAMPLES, tmp_path / "out", init=start, settings=replace(SETTINGS, steps=1, learning_rate=1e20))
    assert not (tmp_path / "out" / "dpr_rag.json").exists()
    with pytest.raises(TrainingError, match="learning_rate is 1e"):
        replace(SETTINGS, learning_rate=1e39)


def test_a_start_without_finite_scores_is_named(tmp_path: Path, start: DualEncoder) -> None:
    state = dict(start.question_tower.state)
    state["embeddings.LayerNorm.weight"] = np.full_like(state["embeddings.LayerNorm.weight"], np.nan)
    tower = replace(start.question_tower, state=state)
    assert isinstance(tower, Tower)
    broken = DualEncoder(tower, profile=start.profile, source="broken", device="cpu", runtime="torch")
    with pytest.raises(TrainingError, match="the loss of step 0 is nan; nothing was learnt yet, so the model"):
        train(SAMPLES, tmp_path / "out", init=broken, settings=SETTINGS)


@pytest.mark.parametrize(
    ("samples", "batch", "negatives", "said"),
    [
        (SAMPLES, 4, 1, []),
        (SAMPLES, 6, 1, []),
        (SAMPLES, 128, 1, ["6 samples fill no batch of 128"]),
        ([SAMPLES[0], *BARE[1:3]], 1, 1, ["2 samples have no hard negative and are alone in their batches"]),
        ([replace(SAMPLES[at], positives=SAMPLES[0].positives) for at in (0, 1)], 2, 1, ["all samples have the same"]),
    ],
)
def test_what_teaches_less_is_said(
    samples: Sequence[TrainingSample], batch: int, negatives: int, said: list[str]
) -> None:
    found = cautions(samples, batch, negatives)
    assert [one[: len(start)] for one, start in zip(found, said, strict=True)] == said


@pytest.mark.parametrize(("warmup", "said"), [(7, 0), (8, 1)])
def test_a_long_warm_up_is_told_by_the_steps_that_are_taken(
    tmp_path: Path, start: DualEncoder, warmup: int, said: int
) -> None:
    settings = replace(SETTINGS, batch_size=2, epochs=4, accumulate=2, warmup_steps=warmup)
    found = cautions(SAMPLES, settings.batch_size, settings.hard_negatives, settings)
    assert [one.startswith(f"the warm-up of {warmup} steps is as long") for one in found] == [True] * said
    if not said:  # three batches of two make two steps of an epoch
        assert train(SAMPLES, tmp_path / "out", init=start, settings=settings).steps == 4 * 2


@pytest.fixture
def few(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage(str(at), f"word{at} of the text") for at in range(6)])
        yield store


def test_measures_that_no_weights_change_are_not_taken(few: PassageStore) -> None:
    """Else the start is kept, since nothing surpasses it."""
    asked = [Question("q", "word1", (), ("1",))]
    assert StoreValidation(few, asked).names == ("top-1", "top-5")  # every passage is among the first 20 of 6
    with pytest.raises(TrainingError, match="has 6 passages, and all are among the first 10"):
        StoreValidation(few, asked, ks=(10, 20))
    with pytest.raises(TrainingError, match="none of the positive_ids of the validation questions is in the store"):
        StoreValidation(few, [replace(asked[0], positive_ids=("17",))])
    with pytest.raises(TrainingError, match="have one passage between them, which is always the first"):
        SampleValidation([TrainingSample("who", (), (TrainingPassage("he"),))])


def test_a_source_of_ones_own_is_looked_at_too(tmp_path: Path, start: DualEncoder) -> None:
    with pytest.raises(TrainingError, match="the loss is 0"):
        train(RandomBatches(BARE, batch_size=1), tmp_path / "out", init=start, settings=SETTINGS)

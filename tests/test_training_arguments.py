"""Arguments of training and mining that are none are refused by name, before any work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.errors import DprRagError, TrainingError
from dpr_rag.training import Mining, NegativeLogLikelihood, SampleValidation, StoreValidation, TrainingSettings, mine
from dpr_rag.training.ance import AnceBatches
from dpr_rag.training.contriever import CropBatches, MomentumContrast
from dpr_rag.training.tas_b import MarginMSE, cluster_questions
from dpr_rag.training.teachers import score_samples

SAMPLE = TrainingSample("who", (), (TrainingPassage("a king"),), (), (TrainingPassage("a prince"),))
BARE = TrainingSample("who", (), ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as opened:
        opened.add([Passage(str(at), f"hamlet number {at}") for at in range(4)])
        yield opened


def zeros(pairs: Sequence[Any]) -> list[float]:
    return [0.0] * len(pairs)


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_teachers_and_validations_take_no_batches_without_samples(size: Any) -> None:
    with pytest.raises(TrainingError, match=f"batch_size is {size}, expected an integer of at least 1"):
        score_samples([SAMPLE], zeros, batch_size=size)
    with pytest.raises(TrainingError, match=f"batch_size is {size}, expected an integer of at least 1"):
        SampleValidation([SAMPLE], batch_size=size)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda store: SampleValidation([SAMPLE, BARE]), "the question 'who' has no positive"),
        (lambda store: SampleValidation([SAMPLE], hard_negatives=-1), "hard_negatives is -1, expected"),
        (lambda store: SampleValidation([SAMPLE], temperature=0), "temperature is 0, expected a number above 0"),
        (lambda store: StoreValidation(store, [Question("1", "hamlet", ("2",))], ks=[0, 1]), "k is 0, expected"),
        (lambda store: StoreValidation(store, [Question("1", "hamlet", ("2",))], limit=-1), "limit is -1, expected"),
    ],
)
def test_validations_say_what_is_wrong(
    store: PassageStore, make: Callable[[PassageStore], object], message: str
) -> None:
    with pytest.raises(DprRagError, match=message):
        make(store)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"negatives": None}, "negatives is None, expected an integer of at least 1"),
        ({"negatives": 2.5}, "negatives is 2.5, expected an integer of at least 1"),
        ({"negatives": 0}, "negatives is 0, expected an integer of at least 1"),
        ({"first": "1"}, "first is '1', expected an integer of at least 1"),
        ({"last": True}, "last is True, expected an integer of at least 1"),
        ({"positive_last": 1.5}, "positive_last is 1.5, expected an integer of at least 1"),
        ({"margin": "1"}, "margin is '1', expected a number"),
        ({"regex": "no"}, "regex is the string 'no', expected True or False"),
        ({"keep": "no"}, "keep is the string 'no', expected True or False"),
        ({"bm25": {"k1": 1.0}}, "bm25 is dict {'k1': 1.0}, expected a BM25"),
    ],
)
def test_mining_is_told_what_it_can_do(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DprRagError, match=message):
        Mining(**given)


def test_mining_takes_numbers_of_numpy() -> None:
    numbers = {"negatives": np.int64(3), "last": np.int32(9), "positive_last": np.int8(2), "margin": np.float32(0.5)}
    assert repr(Mining(**numbers)) == repr(Mining(negatives=3, last=9, positive_last=2, margin=0.5))


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (
            "who wrote hamlet",
            "questions is the string 'who wrote hamlet', expected a list of Questions; make one with",
        ),
        (Question("1", "who"), "questions is Question .*, expected a list of Questions"),
        (None, "questions is NoneType None, expected a list of Questions"),
        (["who wrote hamlet"], "one of questions is str 'who wrote hamlet', expected a Question; make one with"),
    ],
)
def test_questions_to_mine_for_are_questions(store: PassageStore, questions: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        mine(questions, store)


def test_what_is_mined_is_a_store(store: PassageStore) -> None:
    asked = [Question("1", "who wrote hamlet", ("number",))]
    with pytest.raises(TrainingError, match="store is NoneType None, expected an open store; open one with open_store"):
        mine(asked, None)  # type: ignore[arg-type]
    with pytest.raises(
        TrainingError, match=r"mining is the string 'bm25', expected a Mining; make one as Mining\('bm25'"
    ):
        mine(asked, store, mining="bm25")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda store: NegativeLogLikelihood(temperature="4"), "temperature is '4', expected a number above 0"),
        (
            lambda store: NegativeLogLikelihood(temperature=float("inf")),
            "temperature is inf, expected a number above 0",
        ),
        (lambda store: MomentumContrast(temperature=0), "temperature is 0, expected a number above 0"),
        (lambda store: MomentumContrast(queue=-1), "queue is -1, expected an integer of at least 0"),
        (lambda store: MomentumContrast(momentum=2), "momentum is 2, expected a number at least 0 and at most 1"),
        (lambda store: MarginMSE(weight=float("nan")), "weight is nan, expected a number at least 0"),
        (
            lambda store: MarginMSE(in_batch="cross-encoder/one"),
            "in_batch is the string .*, expected a function, or None",
        ),
        (lambda store: CropBatches(["a king"], shortest="a"), "shortest is 'a', expected a number at least 0"),
        (lambda store: CropBatches(["a king"], deletion=None), "deletion is None, expected a number at least 0"),
        (
            lambda store: AnceBatches([SAMPLE], store, share="a"),
            "share is 'a', expected a number above 0 and at most 1",
        ),
        (lambda store: cluster_questions(["a", "b"], TinyEncoder(), "1"), "clusters is '1', expected an integer"),
        (lambda store: cluster_questions(["a", "b"], TinyEncoder(), 1.5), "clusters is 1.5, expected an integer"),
    ],
)
def test_recipes_say_which_number_is_wrong(
    store: PassageStore, make: Callable[[PassageStore], object], message: str
) -> None:
    with pytest.raises(DprRagError, match=message):
        make(store)


def test_settings_take_numbers_of_numpy_as_pythons_own() -> None:
    swept = TrainingSettings(steps=np.int64(3), learning_rate=np.float64(1e-3), dropout=np.float32(0.5))
    plain = TrainingSettings(steps=3, learning_rate=1e-3, dropout=0.5)
    assert json.dumps(swept.as_dict()) == json.dumps(plain.as_dict())


@pytest.mark.parametrize("name", ["shuffle_positives", "bf16", "gradient_cache"])
def test_settings_that_are_true_or_false_are_nothing_else(name: str) -> None:
    with pytest.raises(DprRagError, match=f"{name} is the string 'no', expected True or False"):
        TrainingSettings(**{name: "no"})  # type: ignore[arg-type]

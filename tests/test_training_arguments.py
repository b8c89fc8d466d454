"""Arguments of training and mining that are none are refused by name, before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.errors import DprRagError, TrainingError
from dpr_rag.training import SampleValidation, StoreValidation
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

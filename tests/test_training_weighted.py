"""Data sets with weights: how often each sample comes, in which order, and that a training of them goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import HashEncoder
from learning import make_samples, plain_bert
from test_training_recipes import SETTINGS, Stopped, stop_at
from test_training_running import assert_close, weights

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import TrainingError
from dpr_rag.training import WeightedBatches, train
from dpr_rag.training.ance import AnceBatches

LARGE = [replace(one, question=f"large {at}") for at, one in enumerate(make_samples(10))]
SMALL = [replace(one, question=f"small {at}") for at, one in enumerate(make_samples(3, seed=5))]


def asked(source: WeightedBatches | AnceBatches, epoch: int = 0, seed: int = 0) -> list[str]:
    return [question for batch in source.batches(epoch, seed=seed) for question in batch.questions]


@pytest.mark.parametrize(("large", "small"), [(1, 4), (2, 1), (0.5, 3), (1.3, 1 / 3), (0.1, 2.5)])
def test_samples_come_as_often_as_the_weights_say(large: float, small: float) -> None:
    source = WeightedBatches([LARGE, SMALL], [large, small], batch_size=4)
    counts = (round(10 * large), round(3 * small))
    assert source.counts == counts
    whole: Counter[str] = Counter()
    for epoch in range(12):
        batches = list(source.batches(epoch, seed=0))
        assert len(batches) == len(source)
        assert [len(one.questions) for one in batches[:-1]] == [4] * (len(batches) - 1)
        found = [question for batch in batches for question in batch.questions]
        assert tuple(sum(one.startswith(name) for one in found) for name in ("large", "small")) == counts
        whole.update(found)
        for name, samples in (("large", LARGE), ("small", SMALL)):
            times = [whole[f"{name} {at}"] for at in range(len(samples))]
            assert max(times) - min(times) <= 1  # everything has its turn before anything comes again
    assert sum(whole.values()) == 12 * sum(counts)


def test_draws_follow_seed_and_epoch() -> None:
    source = WeightedBatches([LARGE, SMALL], [1, 4], batch_size=4)
    assert asked(source, 3, 7) == asked(WeightedBatches([LARGE, SMALL], [1, 4], batch_size=4), 3, 7)
    rows = [asked(source, epoch, seed) for epoch in range(3) for seed in range(3)]
    assert all(one != other for one, other in pairwise(sorted(rows)))
    kinds = [
        WeightedBatches([LARGE, SMALL], [1, 4]),
        WeightedBatches([LARGE, SMALL], [1, 3]),
        WeightedBatches([SMALL, LARGE], [4, 1]),
        WeightedBatches([LARGE, SMALL], [1, 4], batch_size=4),
        WeightedBatches([[*LARGE, *SMALL]], [1]),
    ]
    assert len({one.fingerprint for one in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("sets", "given", "message"),
    [
        ([LARGE, SMALL], [1], "1 weights for 2 data sets; expected one for each"),
        ([LARGE, SMALL], [1, 0], "weight is 0, expected a number above 0"),
        ([LARGE, SMALL], [1, float("inf")], "weight is inf"),
        ([LARGE, []], [1, 1], "there are no training samples"),
        ([], [], "0 weights for 0 data sets"),
    ],
)
def test_weights_are_checked(sets: list[list[object]], given: list[float], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        WeightedBatches(sets, given)  # type: ignore[arg-type]


def test_a_weighted_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    start = plain_bert(tmp_path / "m")
    source = WeightedBatches([LARGE, SMALL], [0.5, 2.5], batch_size=4)
    train(source, tmp_path / "whole", init=start, settings=SETTINGS)
    with pytest.raises(Stopped):
        train(source, tmp_path / "out", init=start, settings=SETTINGS, progress=stop_at(5))
    train(source, tmp_path / "out", init=start, settings=SETTINGS)
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "out"))
    with pytest.raises(TrainingError, match="was begun otherwise: data was"):
        train(WeightedBatches([LARGE, SMALL], [0.5, 3], batch_size=4), tmp_path / "out", init=start, settings=SETTINGS)


@pytest.mark.parametrize("batches", [1, 2, 5])
def test_ance_refreshes_after_so_many_batches(tmp_path: Path, batches: int) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage(str(at), f"{one.positives[0].text} too") for at, one in enumerate(LARGE)])
        source = AnceBatches(LARGE, store, batch_size=3, refresh=batches, depth=4)
        assert len(source) == batches
        seen: Counter[str] = Counter()
        for epoch in range(10):
            source.refresh(epoch, HashEncoder(salt=str(epoch)))
            found = asked(source, epoch)
            assert len(found) == 3 * batches
            seen.update(found)
        assert sum(seen.values()) == 30 * batches
        assert len({seen[one.question] for one in LARGE}) == 1
        with pytest.raises(TrainingError, match="refresh is 0"):
            AnceBatches(LARGE, store, refresh=0)
        by_share = AnceBatches(LARGE, store, batch_size=3, depth=4)
        assert by_share.fingerprint != source.fingerprint

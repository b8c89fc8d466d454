"""Batches from several data sets, weighted by how often their samples occur in an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dpr_rag.corpora import TrainingSample
from dpr_rag.errors import TrainingError
from dpr_rag.training.batches import (
    Batch,
    check_positives,
    check_sizes,
    draw,
    fingerprint_of,
    in_random_order,
    make_batch,
)
from dpr_rag.training.checks import check_number


class WeightedBatches:
    """Random batches as :class:`RandomBatches` makes them, of data sets that come more or less often than others.

    A data set of n samples and weight w gives ``w * n`` of them to an epoch, rounded and at least one: with 4 each comes
    four times, with 0.5 every other one, and those left out come in the next epoch. So the small sets of DPR's "Multi"
    training (section 5) are not lost among the large ones, as with the sampling rates of its code.

    Args:
        sets: The data sets.
        weights: One for each, above 0.
        batch_size: Questions of a batch; all sets are mixed in it.
        hard_negatives: Hard negatives of a question.
        shuffle_positives: Draw one of several positives, instead of the first.

    Attributes:
        counts: Samples of each set in an epoch.

    Raises:
        TrainingError: A set is empty, the weights are not as many or not above 0, or a number is out of range.
    """

    def __init__(
        self,
        sets: Sequence[Sequence[TrainingSample]],
        weights: Sequence[float],
        *,
        batch_size: int = 128,
        hard_negatives: int = 1,
        shuffle_positives: bool = False,
    ) -> None:
        if not sets or len(weights) != len(sets):
            raise TrainingError(f"{len(weights)} weights for {len(sets)} data sets; expected one for each")
        check_sizes(batch_size, hard_negatives)
        for samples, weight in zip(sets, weights, strict=True):
            check_positives(samples)
            check_number("weight", weight, above=0.0)
        self._sets = sets
        self._batch_size, self._hard_negatives = batch_size, hard_negatives
        self._shuffle_positives = shuffle_positives
        self.counts = tuple(max(1, round(weight * len(part))) for part, weight in zip(sets, weights, strict=True))
        everything = (sample for samples in sets for sample in samples)
        sizes = [len(part) for part in sets]
        self.fingerprint = fingerprint_of(
            "weighted", everything, sizes, self.counts, batch_size, hard_negatives, shuffle_positives
        )

    def __len__(self) -> int:
        return -(-sum(self.counts) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        generator = np.random.default_rng([seed, epoch])
        chosen = [
            samples[at]
            for number, (samples, count) in enumerate(zip(self._sets, self.counts, strict=True))
            for at in in_turn(len(samples), epoch * count, count, seed=(seed, number))
        ]
        for taken in in_random_order(chosen, self._batch_size, generator):
            yield make_batch(
                [draw(sample, generator, self._hard_negatives, self._shuffle_positives) for sample in taken]
            )


def in_turn(things: int, start: int, count: int, *, seed: Sequence[int]) -> Iterator[int]:
    """A slice of an endless sequence of shuffles; every item comes once per shuffle.

    Args:
        things: How many there are.
        start: Where the part begins in the row.
        count: How many it takes.
        seed: Of the shuffles.
    """
    stop = start + count
    for cycle in range(start // things, -(-stop // things)):
        order = np.random.default_rng([*seed, cycle]).permutation(things)
        yield from order[max(0, start - cycle * things) : stop - cycle * things].tolist()

"""Batches of passages of one topic, and batches joined from two sources."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dpr_rag.corpora import TrainingSample
from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.training.batches import (
    Batch,
    BatchSource,
    Pick,
    check_positives,
    draw,
    fingerprint_of,
    key_of,
    make_batch,
    refreshing,
)
from dpr_rag.training.checks import check_int

Topic = Callable[[TrainingSample], str]


def title_of(sample: TrainingSample) -> str:
    """The title of the positive, or its text where it has none."""
    return sample.positives[0].title or sample.positives[0].text


class TopicBatches:
    """Batches made of clusters: passages of one topic are in-batch negatives of each other.

    Every distinct positive passage comes once in an epoch, with some of its questions. The passages of a topic are
    shuffled and cut into clusters, the clusters are shuffled, and a batch takes ``topics * passages`` passages in a row;
    topics of fewer passages than a cluster holds leave room for more topics.

    Args:
        samples: The training set.
        topics: Clusters of a batch.
        passages: Most passages of a cluster.
        questions: Most questions of a passage, drawn anew in every epoch.
        hard_negatives: Hard negatives of a question, beside those of the batch.
        topic_of: The topic of a sample; by default the title of its positive.

    Raises:
        TrainingError: There are no samples, one has no positive, or a number is out of range.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        *,
        topics: int = 16,
        passages: int = 4,
        questions: int = 2,
        hard_negatives: int = 0,
        topic_of: Topic = title_of,
    ) -> None:
        check_positives(samples)
        for name, value in (("topics", topics), ("passages", passages), ("questions", questions)):
            check_int(name, value, 1)
        check_int("hard_negatives", hard_negatives, 0)
        grouped: dict[str, dict[tuple[str, str], list[TrainingSample]]] = {}
        for sample in samples:
            grouped.setdefault(topic_of(sample), {}).setdefault(key_of(sample.positives[0]), []).append(sample)
        self._topics = [list(by_passage.values()) for by_passage in grouped.values()]
        self._cluster, self._size = passages, topics * passages
        self._questions, self._hard_negatives = questions, hard_negatives
        settings = (topics, passages, questions, hard_negatives, [topic_of(sample) for sample in samples])
        self.fingerprint = fingerprint_of("topics", samples, *settings)

    def __len__(self) -> int:
        return -(-sum(map(len, self._topics)) // self._size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        generator = np.random.default_rng([seed, epoch])
        row = [group for cluster in self._clusters(generator) for group in cluster]
        for start in range(0, len(row), self._size):
            groups = row[start : start + self._size]
            yield make_batch([pick for group in groups for pick in self._picks(group, generator)])

    def _clusters(self, generator: np.random.Generator) -> list[list[list[TrainingSample]]]:
        clusters = []
        for topic in self._topics:
            order = generator.permutation(len(topic))
            starts = range(0, len(topic), self._cluster)
            clusters += [[topic[at] for at in order[start : start + self._cluster]] for start in starts]
        return [clusters[at] for at in generator.permutation(len(clusters))]

    def _picks(self, group: list[TrainingSample], generator: np.random.Generator) -> list[Pick]:
        order = generator.permutation(len(group))[: self._questions]
        return [draw(group[at], generator, self._hard_negatives) for at in order]


class MixedBatches:
    """Joins the batches of two sources one by one, such as labelled questions and unsupervised crops.

    An epoch is the first source's; the second begins again, with new draws, as often as it ends. Both draw from the same
    seed, so two sources of one kind and one length go through their samples in the same order.

    Args:
        first: The source whose epochs count; it may be one that depends on the weights, such as ANCE's.
        second: The source whose batches are added to it.

    Attributes:
        refreshing: Whether the first source depends on the weights.

    Raises:
        TrainingError: The second source depends on the weights.
    """

    def __init__(self, first: BatchSource, second: BatchSource) -> None:
        if refreshing(second) is not None:  # whose own epochs are not those that refreshes come before
            raise TrainingError(
                f"{type(second).__name__} depends on the weights, and only the first source of MixedBatches may; swap them"
            )
        self._first, self._second = first, second
        self._fresh = refreshing(first)
        self.refreshing = self._fresh is not None
        self.fingerprint = hashlib.sha256(f"mixed {first.fingerprint} {second.fingerprint}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._first)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        added = self._endless(epoch * len(self), seed)
        for batch in self._first.batches(epoch, seed=seed):
            yield joined(batch, next(added))

    def refresh(self, epoch: int, encoder: Encoder) -> None:
        """Refresh the first source, if it depends on the weights."""
        if self._fresh is not None:
            self._fresh.refresh(epoch, encoder)

    def state(self) -> dict[str, Any]:
        """The state of the first source."""
        return {} if self._fresh is None else {"first": self._fresh.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        if self._fresh is not None:
            self._fresh.restore(state.get("first", {}))

    def _endless(self, done: int, seed: int) -> Iterator[Batch]:
        """The second source's batches, endlessly, after those used in earlier epochs."""
        epoch, skip = divmod(done, len(self._second))
        while True:
            for at, batch in enumerate(self._second.batches(epoch, seed=seed)):
                if at >= skip:
                    yield batch
            epoch, skip = epoch + 1, 0


def joined(first: Batch, second: Batch) -> Batch:
    """One batch of two; every question is compared with the passages of both."""
    return make_batch([*picks_of(first), *picks_of(second)])


def picks_of(batch: Batch) -> list[Pick]:
    """The picks that a batch was made of."""
    picks = []
    for row, (question, positive, own) in enumerate(
        zip(batch.questions, batch.positives, batch.negatives, strict=True)
    ):
        scores = None if batch.scores is None else batch.scores[row, [positive, *own]].tolist()
        picks.append(Pick(question, batch.passages[positive], [batch.passages[at] for at in own], scores))
    return picks

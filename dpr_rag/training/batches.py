"""The interface between data and training: batches, sources of batches, and DPR's random batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.training.checks import check_int

Scores = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Questions and the passages that each of them is compared with: all of the batch.

    Equal passages are one passage: a question is never punished for the positive of another where it is its own too.
    This is the one deviation from the original code, which encodes such a passage twice. As there, other positives of a
    question count as negatives where they come into its batch, as the positive or a hard negative of another question.

    Attributes:
        questions: The questions.
        passages: The distinct passages, columns of the matrix of scores.
        positives: For each question the column of its positive.
        negatives: For each question the columns of its own hard negatives, possibly none.
        scores: A teacher's scores, float32 [questions, passages], NaN where it gave none; or None.
    """

    questions: tuple[str, ...]
    passages: tuple[TrainingPassage, ...]
    positives: tuple[int, ...]
    negatives: tuple[tuple[int, ...], ...]
    scores: Scores | None = None


class BatchSource(Protocol):
    """Yields the batches of an epoch, the same ones for the same epoch and seed, in every process."""

    @property
    def fingerprint(self) -> str:
        """Identifies the data and how they are drawn; a training resumes with the same source only."""
        ...

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch, as many as :meth:`__len__` says."""
        ...


@runtime_checkable
class RefreshingSource(Protocol):
    """A source whose batches depend on the weights, such as ANCE's; it is refreshed before each epoch."""

    def refresh(self, epoch: int, encoder: Encoder) -> None:
        """Prepare an epoch with the current weights."""
        ...

    def state(self) -> dict[str, Any]:
        """The result of the refresh, as a JSON object, to resume the epoch after a kill."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        ...


def refreshing(source: object) -> RefreshingSource | None:
    """The source if it has to be refreshed, else None; a wrapper of another source has an attribute ``refreshing``."""
    return source if isinstance(source, RefreshingSource) and getattr(source, "refreshing", True) else None


class Pick(NamedTuple):
    """What is taken of one sample: its question, a positive and hard negatives, with a teacher's scores or without."""

    question: str
    positive: TrainingPassage
    negatives: Sequence[TrainingPassage] = ()
    scores: Sequence[float] | None = None


def make_batch(picks: Iterable[Pick]) -> Batch:
    """Make a batch of picks, with each distinct passage once.

    A pick's ``scores`` are those of its positive and then of its negatives.

    Raises:
        TrainingError: There are no picks.
    """
    taken = list(picks)
    if not taken:
        raise TrainingError("a batch of no questions was asked for; give at least one sample")
    columns: dict[tuple[str, str], int] = {}
    passages: list[TrainingPassage] = []

    def column(passage: TrainingPassage) -> int:
        at = columns.setdefault(key_of(passage), len(passages))
        if at == len(passages):
            passages.append(passage)
        return at

    positives = tuple(column(pick.positive) for pick in taken)
    negatives = tuple(tuple(column(negative) for negative in pick.negatives) for pick in taken)
    scores = _scores(taken, positives, negatives, len(passages)) if any(pick.scores for pick in taken) else None
    return Batch(tuple(pick.question for pick in taken), tuple(passages), positives, negatives, scores)


def _scores(
    picks: Sequence[Pick], positives: Sequence[int], negatives: Sequence[Sequence[int]], columns: int
) -> Scores:
    scores = np.full((len(picks), columns), np.nan, np.float32)
    for row, (pick, positive, own) in enumerate(zip(picks, positives, negatives, strict=True)):
        if pick.scores is not None:
            scores[row, [positive, *own]] = pick.scores
    return scores


def key_of(passage: TrainingPassage) -> tuple[str, str]:
    """The key by which passages are equal: title and text."""
    return passage.title, passage.text


class RandomBatches:
    """The paper's batches: samples in random order, each with its first positive and random hard negatives.

    The last batch of an epoch is smaller where the samples do not divide evenly.

    Args:
        samples: The training set.
        batch_size: Questions of a batch.
        hard_negatives: Hard negatives of a question; a sample with fewer gives those it has.
        shuffle_positives: Draw one of several positives, instead of the first.

    Raises:
        TrainingError: There are no samples, one has no positive, or a number is out of range.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        *,
        batch_size: int = 128,
        hard_negatives: int = 1,
        shuffle_positives: bool = False,
    ) -> None:
        check_positives(samples)
        check_sizes(batch_size, hard_negatives)
        self._samples = samples
        self._batch_size, self._hard_negatives = batch_size, hard_negatives
        self._shuffle_positives = shuffle_positives
        self.fingerprint = fingerprint_of("random", samples, batch_size, hard_negatives, shuffle_positives)

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        generator = np.random.default_rng([seed, epoch])
        for taken in in_random_order(self._samples, self._batch_size, generator):
            yield make_batch(
                [draw(sample, generator, self._hard_negatives, self._shuffle_positives) for sample in taken]
            )


def in_random_order(items: Sequence[T], size: int, generator: np.random.Generator) -> Iterator[list[T]]:
    """All items in random order, in parts of ``size``; the last part may be smaller."""
    order = generator.permutation(len(items))
    for start in range(0, len(order), size):
        yield [items[at] for at in order[start : start + size]]


def check_positives(samples: Sequence[TrainingSample]) -> None:
    """Refuse samples without a positive.

    Raises:
        TrainingError: There are none, or one has no positive.
    """
    if not samples:
        raise TrainingError("there are no training samples; expected at least one question with a positive")
    for sample in samples:
        if not sample.positives:
            raise TrainingError(
                f"the question {sample.question!r:.80} has no positive; read samples with read_samples, or check them with "
                "check_samples"
            )


def check_sizes(batch_size: int, hard_negatives: int = 0) -> None:
    """Refuse a batch size below 1 and a negative number of hard negatives.

    Raises:
        TrainingError: One of them is out of range.
    """
    check_int("batch_size", batch_size, 1)
    check_int("hard_negatives", hard_negatives, 0)


def draw(
    sample: TrainingSample, generator: np.random.Generator, negatives: int, shuffle_positives: bool = False
) -> Pick:
    """Take a positive and random hard negatives of one sample."""
    at = int(generator.integers(len(sample.positives))) if shuffle_positives else 0
    order = generator.permutation(len(sample.hard_negatives))[:negatives]
    return Pick(sample.question, sample.positives[at], [sample.hard_negatives[place] for place in order])


def fingerprint_of(kind: str, samples: Iterable[TrainingSample], *settings: object) -> str:
    """SHA-256 over samples (questions, positives, hard negatives) and how they are drawn."""
    digest = hashlib.sha256(json.dumps([kind, *settings]).encode())
    write: Callable[[bytes], None] = digest.update
    for sample in samples:
        passages = [[key_of(passage) for passage in side] for side in (sample.positives, sample.hard_negatives)]
        write(json.dumps([sample.question, *passages]).encode())
    return digest.hexdigest()

"""Batches for readers: questions with a positive and hard negatives, and the positions of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.errors import TrainingError
from dpr_rag.reading.pairs import PairTokens, Window
from dpr_rag.training.batches import check_positives, check_sizes, draw, fingerprint_of, in_random_order
from dpr_rag.training.checks import check_int

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Questions with passages of their own.

    Attributes:
        questions: The questions.
        answers: The answers of each.
        passages: The passages of each, its positive first.
    """

    questions: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    passages: tuple[tuple[TrainingPassage, ...], ...]


class ReadingBatches:
    """Batches of questions in random order, each with one of its positives and random hard negatives.

    Args:
        samples: The training set, with hard negatives; answers are found in the positives by their text.
        batch_size: Questions of a batch.
        hard_negatives: Hard negatives of a question; a sample with fewer gives those it has.

    Raises:
        TrainingError: There are no samples, one has no positive or no hard negative, or a number is out of range.
    """

    def __init__(self, samples: Sequence[TrainingSample], *, batch_size: int = 8, hard_negatives: int = 2) -> None:
        check_positives(samples)
        check_sizes(batch_size)
        check_int("hard_negatives", hard_negatives, 1)
        for sample in samples:
            if not sample.hard_negatives:
                raise TrainingError(
                    f"the question {sample.question!r:.80} has no hard negative to tell its positive from; mine some"
                )
        self._samples, self._batch_size, self._hard_negatives = samples, batch_size, hard_negatives
        answers = [list(sample.answers) for sample in samples]
        self.fingerprint = fingerprint_of("reading", samples, batch_size, hard_negatives, answers)

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[ReadingBatch]:
        """The batches of one epoch."""
        generator = np.random.default_rng([seed, epoch])
        for taken in in_random_order(self._samples, self._batch_size, generator):
            picks = [draw(sample, generator, self._hard_negatives, shuffle_positives=True) for sample in taken]
            yield ReadingBatch(
                tuple(pick.question for pick in picks),
                tuple(sample.answers for sample in taken),
                tuple((pick.positive, *pick.negatives) for pick in picks),
            )


@dataclass(frozen=True, slots=True)
class Example:
    """An input of a reader with its labels.

    Attributes:
        window: The input.
        spans: Where the answer stands, first and last token of each place in the input; ``(0, 0)`` says that there is none,
            and no span at all that nothing is known.
    """

    window: Window
    spans: Spans


NOWHERE: Spans = ((0, 0),)


def examples_of(batch: ReadingBatch, pairs: PairTokens, seed: Sequence[int]) -> list[list[Example]]:
    """One input for each passage of a batch, question by question.

    Of a text that is too long for one, a window with an answer is taken of a positive, and any window of a negative.

    Args:
        batch: Questions and passages.
        pairs: The reader's tokens.
        seed: Numbers that the windows follow from.
    """
    generator = np.random.default_rng(list(seed))
    questions = pairs.bodies(batch.questions)
    passages = [passage for own in batch.passages for passage in own]
    titles = iter(pairs.bodies([passage.title for passage in passages]))
    texts = iter(pairs.bodies([passage.text for passage in passages]))
    rows = []
    for question, answers, own in zip(questions, batch.answers, batch.passages, strict=True):
        wanted = [answer for answer in pairs.bodies(answers) if answer]
        row = []
        for at in range(len(own)):
            title, text = next(titles), next(texts)
            places = places_of(wanted, text) if at == 0 else []
            row.append(_example(pairs, question, title, text, places, positive=at == 0, generator=generator))
        rows.append(row)
    return rows


def places_of(answers: Sequence[Sequence[int]], text: Sequence[int]) -> list[tuple[int, int]]:
    """Where answers stand in a text, by their token ids as in DPR's code: first and last token of each place, in order."""
    places = set()
    for answer in answers:
        size = len(answer)
        for at in range(len(text) - size + 1):
            if text[at] == answer[0] and list(text[at : at + size]) == list(answer):
                places.add((at, at + size - 1))
    return sorted(places)


def _example(
    pairs: PairTokens,
    question: list[int],
    title: list[int],
    text: list[int],
    places: list[tuple[int, int]],
    *,
    positive: bool,
    generator: np.random.Generator,
) -> Example:
    room = pairs.room(question, title)
    first = _first(len(text), room, places, generator)
    window = pairs.window(question, title, text, first)
    offset, last = window.sequence.second - first, first + window.count - 1
    inside = tuple((start + offset, end + offset) for start, end in places if start >= first and end <= last)
    return Example(window, inside if positive else NOWHERE)


def _first(count: int, room: int, places: list[tuple[int, int]], generator: np.random.Generator) -> int:
    """Where a window of a text begins: anywhere, but around one of the places where there are some."""
    if count <= room:
        return 0
    low, high = 0, count - room
    if places:
        start, end = places[int(generator.integers(len(places)))]
        low, high = max(0, end - room + 1), min(high, start)
    return int(generator.integers(low, high + 1)) if low <= high else min(low, count - room)

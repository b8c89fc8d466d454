"""Validation: negative log-likelihood and average rank on samples, and top-k accuracy on a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.encoders.tokens import normalize_passage
from dpr_rag.errors import TrainingError
from dpr_rag.evaluation.judging import judge_for, judged
from dpr_rag.passages import Passage
from dpr_rag.store import PassageStore
from dpr_rag.training.batches import check_positives, check_sizes, fingerprint_of, key_of
from dpr_rag.training.checks import check_int, check_number

LOWER_IS_BETTER = frozenset({"nll", "average_rank"})
_BLOCK = 512


class Validation(Protocol):
    """A validation: measures of the current weights."""

    @property
    def fingerprint(self) -> str:
        """Identifies the validation data."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The measures, which ``TrainingSettings.select`` may name."""
        ...

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """The measures' values."""
        ...


class SampleValidation:
    """Loss and average rank on held-out samples, as DPR's code validates.

    ``nll`` is the loss over batches in the file's order; ``average_rank`` how many of all validation passages stand
    before the positive, on average over the questions: 0 is perfect. A tie counts one half, so that an encoder that
    gives everything the same vector is no good one. DPR's code adds 30 passages of a sample's other ``negatives`` to them;
    samples here do not keep those.

    Args:
        samples: The held-out samples; their first positives and hard negatives are used.
        batch_size: Questions of a batch of the loss.
        hard_negatives: Most hard negatives that a sample gives to the passages (30 in DPR's code), the first in the loss.
        temperature: Of the loss.

    Raises:
        TrainingError: There are no samples, one has no positive, there are no two passages to tell apart, or a number is out of
            range.
    """

    names = ("nll", "average_rank")

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        *,
        batch_size: int = 128,
        hard_negatives: int = 30,
        temperature: float = 1.0,
    ) -> None:
        if not samples:
            raise TrainingError("there are no validation samples; give some, or none of this validation")
        check_positives(samples)
        check_sizes(batch_size, hard_negatives)
        check_number("temperature", temperature, above=0.0)
        self._questions = [sample.question for sample in samples]
        self._columns: dict[tuple[str, str], int] = {}
        self._passages: list[TrainingPassage] = []
        self._positives = np.array([self._column(sample.positives[0]) for sample in samples])
        self._negatives = [
            [self._column(passage) for passage in sample.hard_negatives[:hard_negatives]] for sample in samples
        ]
        if len(self._passages) < 2:
            raise TrainingError(
                "the validation samples have one passage between them, which is always the first; give samples with different "
                "positives or hard negatives, or none of this validation"
            )
        self._batch_size, self._temperature = batch_size, temperature
        self.fingerprint = fingerprint_of("validation", samples, batch_size, hard_negatives, temperature)

    def _column(self, passage: TrainingPassage) -> int:
        at = self._columns.setdefault(key_of(passage), len(self._passages))
        if at == len(self._passages):
            self._passages.append(passage)
        return at

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Loss and average rank of the current weights."""
        straighten = bool(getattr(getattr(encoder, "profile", None), "straighten", False))
        clean = normalize_passage if straighten else str
        plain = [Passage(str(at), clean(passage.text), passage.title) for at, passage in enumerate(self._passages)]
        questions, passages = encoder.encode_questions(self._questions), encoder.encode_passages(plain)
        return {"nll": self._nll(questions, passages), "average_rank": self._rank(questions, passages)}

    def _nll(self, questions: Vectors, passages: Vectors) -> float:
        losses: list[float] = []
        for start in range(0, len(questions), self._batch_size):
            rows = slice(start, start + self._batch_size)
            positives = self._positives[rows]
            hard = [own[0] for own in self._negatives[rows] if own]
            columns = np.unique([*positives, *hard])
            scores = questions[rows].astype(np.float64) @ passages[columns].T / self._temperature
            right = scores[np.arange(len(scores)), np.searchsorted(columns, positives)]
            losses += (_log_sum(scores) - right).tolist()
        return float(np.mean(losses))

    def _rank(self, questions: Vectors, passages: Vectors) -> float:
        before = 0.0
        for start in range(0, len(questions), _BLOCK):
            scores = questions[start : start + _BLOCK] @ passages.T
            right = np.take_along_axis(scores, self._positives[start : start + _BLOCK, None], axis=1)
            before += float((scores > right).sum() + ((scores == right).sum() - len(scores)) / 2)
        return before / len(questions)


def _log_sum(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = scores.max(axis=1)
    total: npt.NDArray[np.float64] = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return total


class StoreValidation:
    """Top-k accuracy on the passages of a store, encoded with the current weights.

    That is what counts in the end, at the price of encoding all these passages every time: meant for stores of some
    thousand passages, or for ``limit``.

    Args:
        store: Where the passages come from; its own vectors are not used.
        questions: Questions with answers or positive ids.
        ks: The k of the accuracies; those that are no fewer than the passages are left out.
        limit: The first passages only; the positive ones are among them in any case.

    Raises:
        EvaluationError: The questions cannot be judged.
        TrainingError: Every question is right, or wrong, whatever the weights are; or a k or the limit is out of range.
    """

    def __init__(
        self,
        store: PassageStore,
        questions: Sequence[Question],
        *,
        ks: Sequence[int] = (1, 5, 20),
        limit: int | None = None,
    ) -> None:
        self._by = judge_for(questions)
        self._questions = questions
        for k in ks:
            check_int("k", k, 1)
        if limit is not None:
            check_int("limit", limit, 0)
        passages = {passage.id: passage for passage in islice(store, limit)}
        if limit is not None:
            known = dict.fromkeys(name for question in questions for name in question.positive_ids)
            passages |= {passage.id: passage for passage in store.get(known)}
        self._passages = list(passages.values())
        self._ks = tuple(k for k in ks if k < len(self._passages))
        self._check(known={passage.id for passage in self._passages}, ks=ks)
        self.names = tuple(f"top-{k}" for k in self._ks)
        content = [[passage.id, passage.title, passage.text] for passage in self._passages]
        labels = [[question.question, question.answers, question.positive_ids] for question in questions]
        self.fingerprint = hashlib.sha256(json.dumps([content, labels, self._ks]).encode()).hexdigest()

    def _check(self, *, known: set[str], ks: Sequence[int]) -> None:
        """Refuse a validation whose measures are the same for all weights."""
        if not self._ks:
            raise TrainingError(
                f"the store that is validated on has {len(known)} passages, and all are among the first {min(ks, default=0)}; "
                "take a store with more passages"
            )
        if self._by == "passage" and known.isdisjoint(
            id for question in self._questions for id in question.positive_ids
        ):
            raise TrainingError(
                "none of the positive_ids of the validation questions is in the store; name the store that they were made for"
            )

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Accuracies of the current weights."""
        most = max(self._ks)
        with PassageStore.temporary(encoder=encoder, index="flat") as store:
            store.add(self._passages)
            vectors = encoder.encode_questions([question.question for question in self._questions])
            results = store.search(vectors, most)
        firsts = [
            judged(question, hits, self._by).first for question, hits in zip(self._questions, results, strict=True)
        ]
        return {
            name: sum(first is not None and first <= k for first in firsts) / len(firsts)
            for name, k in zip(self.names, self._ks, strict=True)
        }

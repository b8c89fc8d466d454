"""Validation of readers: accuracy of passage selection, and of the extracted answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_rag.corpora import TrainingSample
from dpr_rag.errors import TrainingError
from dpr_rag.evaluation.spans import best_of, exact_match, f1
from dpr_rag.passages import Hit, Passage
from dpr_rag.reading.answering import likeliest
from dpr_rag.training.batches import fingerprint_of


class ReadingValidation:
    """A reader on held-out samples, each with its first positive and hard negatives.

    ``f1`` and ``exact_match`` are SQuAD's, of the likeliest answer among all passages of a question; a reader that finds none
    has 0 there. ``selection`` is the share of questions whose positive comes first.

    Args:
        samples: The held-out samples; those without answers count for selection alone, those without hard negatives for the
            answers alone.
        hard_negatives: Most hard negatives of a question that are read.

    Raises:
        TrainingError: There are no samples, or none with an answer or a hard negative.
    """

    def __init__(self, samples: Sequence[TrainingSample], *, hard_negatives: int = 5) -> None:
        self._samples = [(sample, sample.hard_negatives[:hard_negatives]) for sample in samples]
        answered = any(sample.answers for sample in samples)
        told_apart = any(negatives for _, negatives in self._samples)
        self.names = (("f1", "exact_match") if answered else ()) + (("selection",) if told_apart else ())
        if not self.names:
            raise TrainingError(
                f"{len(samples)} validation samples have no answers and no hard negatives; give samples with either of them, or "
                "none of this validation"
            )
        answers = [list(sample.answers) for sample in samples]
        self.fingerprint = fingerprint_of("reading-validation", samples, hard_negatives, answers)

    def measure(self, encoder: Any) -> dict[str, float]:
        """The measures of a reader, called an encoder by the loop that trains."""
        values_by_name: dict[str, list[float]] = {name: [] for name in self.names}
        for sample, negatives in self._samples:
            passages = [sample.positives[0], *negatives]
            hits = [
                Hit(Passage(str(at), passage.text, passage.title), 0.0, at + 1) for at, passage in enumerate(passages)
            ]
            ranked = encoder.rerank(sample.question, hits)
            if sample.answers:
                best = likeliest(ranked, 0.0)
                words = "" if best is None or best.answer is None else best.answer.text
                values_by_name["f1"].append(best_of(words, sample.answers, f1) if words else 0.0)
                values_by_name["exact_match"].append(best_of(words, sample.answers, exact_match) if words else 0.0)
            if negatives:
                values_by_name["selection"].append(float(ranked[0].passage.id == "0"))
        return {name: sum(values) / len(values) for name, values in values_by_name.items()}

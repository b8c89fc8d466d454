"""``MiningReport``: what became of the questions that hard negatives were mined for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MiningReport:
    """What became of the questions.

    Attributes:
        questions: Questions that were read.
        samples: Samples that came of them.
        without_positive: Questions left out: no positive passage is in the store and none that was found holds an answer.
        missing_positives: Positive ids that the store does not have.
        short: Samples with fewer hard negatives than asked for.
        without_negatives: Samples among them that have none.
        unscored: Samples for which the margin could not be applied, since no positive of theirs is in the store.
        examples: The first of the questions left out, and of the ids that are missing.
    """

    questions: int = 0
    samples: int = 0
    without_positive: int = 0
    missing_positives: int = 0
    short: int = 0
    without_negatives: int = 0
    unscored: int = 0
    examples: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What is worth a line to the person who mines."""
        counts = (
            (self.without_positive, "questions have no positive passage and were left out"),
            (self.missing_positives, "positive ids are not in the store"),
            (self.short, f"samples have fewer hard negatives than asked for, {self.without_negatives:,} of them none"),
            (self.unscored, "samples have no positive in the store, so that no margin could be kept"),
        )
        return [f"{count:,} {what}" for count, what in counts if count] + [f"  {example}" for example in self.examples]

"""Training samples from DPR's files; samples that cannot be used are counted by reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpr_rag.arguments import is_blank
from dpr_rag.corpora import TrainingPassage, TrainingSample, read_training
from dpr_rag.corpora.columns import listed
from dpr_rag.corpora.dpr_json import unread_of_training
from dpr_rag.errors import CorpusError, TrainingError
from dpr_rag.faces import message_of
from dpr_rag.training.batches import key_of

_SHOWN = 5
_NO_POSITIVES = "has no positive_ctxs; it is left out"


@dataclass(frozen=True, slots=True)
class SampleReport:
    """Counts of the samples in training files, and of those left out by reason.

    Attributes:
        samples: Samples that can be trained on.
        unreadable: Lines or objects that are no samples.
        without_positives: Samples left out since no positive with text is there.
        blank_passages: Passages left out since they have no text.
        contradictions: Hard negatives left out since they are positives of the same question.
        without_hard_negatives: Samples that are kept and have no hard negative.
        examples: The first messages about all of these but the last.
        unread: Keys of the files that were passed over, where no sample has a hard negative.
    """

    samples: int = 0
    unreadable: int = 0
    without_positives: int = 0
    blank_passages: int = 0
    contradictions: int = 0
    without_hard_negatives: int = 0
    examples: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What is worth a line to the person who trains."""
        counts = (
            (self.unreadable, "unreadable samples were left out"),
            (self.without_positives, "samples without a positive were left out"),
            (self.blank_passages, "passages without text were left out"),
            (self.contradictions, "hard negatives that are positives of the same question were left out"),
            (self.without_hard_negatives, "samples have no hard negative and learn from in-batch negatives only"),
        )
        report = [f"{count:,} {what}" for count, what in counts if count] + [
            f"  {example}" for example in self.examples
        ]
        return [*report, f"  not read were the keys {listed(self.unread)}"] if self.unread else report


class _Notes:
    """The counts while the files are read."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(
            ("unreadable", "without_positives", "blank_passages", "contradictions", "without_hard_negatives"), 0
        )
        self.examples: list[str] = []

    def add(self, what: str, example: str, count: int = 1) -> None:
        self.counts[what] += count
        if example and len(self.examples) < _SHOWN:
            self.examples.append(example)

    def bad(self, error: CorpusError) -> None:
        message = message_of(error)
        self.add("without_positives" if message.endswith(_NO_POSITIVES) else "unreadable", message)


def read_samples(*paths: str | Path) -> tuple[list[TrainingSample], SampleReport]:
    """Read DPR training sets; returns the samples and a report of those left out.

    Args:
        paths: JSON or JSONL files, possibly gzipped.

    Returns:
        The samples that can be trained on, in order, and the report. Their ``negatives``, which training has no use for,
        are left out to save memory.

    Raises:
        CorpusError: A file cannot be read at all, or its JSON array is broken.
        TrainingError: Nothing can be trained on.
    """
    notes = _Notes()
    read = (sample for path in paths for sample in read_training(path, on_bad=notes.bad))
    samples = list(_usable(read, notes))
    report = SampleReport(len(samples), examples=tuple(notes.examples), unread=(), **notes.counts)
    if report.without_hard_negatives == len(samples):
        report = replace(report, unread=_unread(paths))
    if not samples:
        told = "; ".join(report.lines()) or "no samples at all"
        raise TrainingError(f"{', '.join(map(str, paths))}: nothing to train on: {told}")
    return samples, report


def _unread(paths: Iterable[str | Path]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for path in paths for name in unread_of_training(path)))


def check_samples(samples: Sequence[TrainingSample]) -> tuple[list[TrainingSample], SampleReport]:
    """Check samples that did not come from a file; returns the usable ones and a report."""
    notes = _Notes()
    kept = list(_usable(samples, notes))
    return kept, SampleReport(len(kept), examples=tuple(notes.examples), unread=(), **notes.counts)


def _usable(samples: Iterable[TrainingSample], notes: _Notes) -> Iterator[TrainingSample]:
    for sample in samples:
        name = f"the question {sample.question!r:.80}"
        positives = _with_text(sample.positives, name, notes)
        if not positives:
            notes.add("without_positives", f"{name} has no positive with text")
            continue
        known = {key_of(passage) for passage in positives}
        given = _with_text(sample.hard_negatives, name, notes)
        hard = tuple(passage for passage in given if key_of(passage) not in known)
        if len(hard) < len(given):
            message = f"{name} has a positive among its hard negatives"
            notes.add("contradictions", message, len(given) - len(hard))
        if not hard:
            notes.add("without_hard_negatives", "")
        yield replace(sample, positives=positives, negatives=(), hard_negatives=hard)


def _with_text(passages: tuple[TrainingPassage, ...], name: str, notes: _Notes) -> tuple[TrainingPassage, ...]:
    kept = tuple(passage for passage in passages if not is_blank(passage.text))
    if len(kept) < len(passages):
        notes.add("blank_passages", f"{name} has a passage without text", len(passages) - len(kept))
    return kept

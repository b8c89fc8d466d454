"""The results of an evaluation: per question, per system, and compared between systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpr_rag.corpora import Question
from dpr_rag.corpora.lines import told
from dpr_rag.evaluation.answers import by_characters
from dpr_rag.passages import Hit

By = Literal["answer", "passage"]
FOCUS = 20


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """One question, the hits of a system, and whether each is right.

    Attributes:
        question: The question.
        hits: The hits, best first.
        right: For each hit, whether it holds an answer, or is one of the question's ``positive_ids``.
    """

    question: Question
    hits: tuple[Hit, ...]
    right: tuple[bool, ...]

    @property
    def first(self) -> int | None:
        """Rank of the first right hit, from 1; None if there is none."""
        return self.right.index(True) + 1 if True in self.right else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the questions with its 95 % interval.

    Attributes:
        value: The mean.
        low: Lower end of the percentile bootstrap interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a question to its hits, encoding included, one question at a time.

    Attributes:
        questions: How many questions were timed, after one to warm up.
        p50: Median.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    questions: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class SystemResult:
    """The results of one system.

    Attributes:
        name: Its name.
        results: The result of every question, in the order given.
        accuracy: Top-k accuracy by k: the share of questions with a right passage among the first k.
        ranking: Means of ranking measures by name, such as ``RR@100``.
        latency: Latency of single questions; None if they were retrieved in batches.
        values: Each measure's value for every question, in their order; ``ranking`` and ``accuracy`` are the means. Accuracy
            is called ``accuracy@k`` here.
    """

    name: str
    results: tuple[QuestionResult, ...]
    accuracy: Mapping[int, Estimate]
    ranking: Mapping[str, Estimate]
    latency: Latency | None
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)

    @property
    def asked(self) -> tuple[QuestionResult, ...]:
        """The former name of ``results``."""
        return self.results

    def first_ranks(self) -> NDArray[np.float64]:
        """Rank of the first right hit of each question, float64 [n]; infinite if there is none."""
        return np.array([result.first or np.inf for result in self.results], np.float64)

    def curve(self, k: int) -> NDArray[np.float64]:
        """Top-k accuracy at 1, 2, … k; float64 [k]."""
        ranks = self.first_ranks()
        counts = np.bincount(ranks[ranks <= k].astype(int), minlength=k + 1)[1:]
        return np.asarray(np.cumsum(counts) / len(ranks), np.float64)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems compared by success at k on the same questions.

    Attributes:
        first: Name of one system.
        second: Name of the other.
        k: Success means a right passage among the first k.
        gained: Questions on which only the first system succeeds.
        lost: Questions on which only the second does.
        difference: Accuracy of the first less that of the second, with the interval of the paired bootstrap.
        p_value: Of the exact McNemar test, two-sided; not corrected for the number of comparisons.
    """

    first: str
    second: str
    k: int
    gained: int
    lost: int
    difference: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What :func:`~dpr_rag.evaluation.evaluate` returns.

    Attributes:
        by: What made a passage right: ``answer`` or ``passage`` (its id).
        k: Hits per question.
        regex: Whether answers were taken as regular expressions.
        seed: Of the bootstrap.
        systems: The systems, in the order given.
        comparisons: Every pair of systems, the later one first, at every k of the accuracy.
        left_out: How many questions of the file were not asked, by reason.
        own_hits: How many hits were left out since their id is the question's, by system; empty where they count.
        measures: Names of the measures that were asked for; empty where none was, and the usual ones are shown.
    """

    by: By
    k: int
    regex: bool
    seed: int
    systems: tuple[SystemResult, ...]
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    own_hits: Mapping[str, int] = field(default_factory=dict)
    measures: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> SystemResult:
        """The result of the system with this name.

        Raises:
            KeyError: There is none.
        """
        for system in self.systems:
            if system.name == name:
                return system
        raise KeyError(name)

    @property
    def questions(self) -> int:
        """How many questions were asked."""
        return len(self.systems[0].results)

    @property
    def by_characters(self) -> int:
        """How many questions have an answer that was looked for by characters, see :func:`has_answer`."""
        if self.by != "answer" or self.regex:
            return 0
        return sum(any(map(by_characters, result.question.answers)) for result in self.systems[0].results)

    @property
    def ks(self) -> tuple[int, ...]:
        """Every k of the accuracy, rising."""
        return tuple(self.systems[0].accuracy)

    @property
    def focus(self) -> int:
        """The k at which questions count as lost: 20, or the largest below it."""
        return max(k for k in self.ks if k <= FOCUS)

    def figures(self) -> dict[str, Any]:
        """All figures, without questions and passages, as a JSON object."""
        return {
            "questions": self.questions,
            "left_out": dict(self.left_out),
            "own_hits_left_out": dict(self.own_hits),
            "by": self.by,
            "k": self.k,
            "regex": self.regex,
            "by_characters": self.by_characters,
            "seed": self.seed,
            "measures": list(self.measures),
            "systems": {system.name: _figures_of(system) for system in self.systems},
            "comparisons": [_comparison_object(item) for item in self.comparisons],
        }


def told_left_out(evaluated: int, left_out: Mapping[str, int]) -> str:
    """A sentence on questions that were left out, with the reasons; empty if none was."""
    count = sum(left_out.values())
    return f"left out {count:,} of {evaluated + count:,} questions: {told(left_out)}" if count else ""


def told_by_characters(evaluation: Evaluation) -> str:
    """A sentence on answers that DPR's own rule cannot find; empty if there are none."""
    count = evaluation.by_characters
    if not count:
        return ""
    return (
        f"{count:,} of {evaluation.questions:,} questions have answers in scripts such as Chinese, Japanese, Korean or Thai: "
        "these were looked for by characters, where DPR's own rule takes a run of them as one word"
    )


def told_own_hits(own_hits: Mapping[str, int]) -> str:
    """A sentence on hits left out because their id is the question's; empty if none was."""
    counts = ", ".join(f"{count:,} of {name}" for name, count in own_hits.items() if count)
    return f"hits left out whose id is the question's, as BEIR does: {counts}" if counts else ""


def _figures_of(system: SystemResult) -> dict[str, Any]:
    latency = system.latency
    return {
        "accuracy": {str(k): _estimate_object(estimate) for k, estimate in system.accuracy.items()},
        "ranking": {name: _estimate_object(estimate) for name, estimate in system.ranking.items()},
        "latency": latency
        and {"questions": latency.questions, "p50": latency.p50, "p95": latency.p95, "p99": latency.p99},
    }


def _comparison_object(item: Comparison) -> dict[str, Any]:
    return {
        "first": item.first,
        "second": item.second,
        "k": item.k,
        "gained": item.gained,
        "lost": item.lost,
        "difference": _estimate_object(item.difference),
        "p_value": item.p_value,
    }


def _estimate_object(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}

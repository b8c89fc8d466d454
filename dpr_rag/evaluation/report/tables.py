"""The report's tables of figures, and the words that explain them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dpr_rag.evaluation.report.markup import Html, element, join, table
from dpr_rag.evaluation.results import By, Comparison, Estimate, Evaluation, told_by_characters

RIGHT: dict[By, str] = {
    "answer": "its text holds an answer",
    "passage": "it is one of the passages known to be right",
}


def figures(evaluation: Evaluation) -> Html:
    """Every measure of every system, with its interval, and the latencies."""
    systems = evaluation.systems
    ks = () if evaluation.measures else evaluation.ks
    rows: list[list[str]] = [[f"top-{k}", *(_cell(system.accuracy[k], percent) for system in systems)] for k in ks]
    for name in systems[0].ranking:
        rows.append([mean_of(name), *(_cell(system.ranking[name], decimal) for system in systems)])
    latencies = [system.latency for system in systems]
    if any(latencies):  # a run of another system has none
        for name in ("p50", "p95", "p99"):
            rows.append(
                [
                    f"latency {name}",
                    *(f"{1000 * getattr(system, name):.1f} ms" if system else "" for system in latencies),
                ]
            )
    below = element("p", "Under the figures, their 95 % intervals.", class_="muted")
    return join([table(rows, ("measure", *(system.name for system in systems))), below])


def mean_of(name: str) -> str:
    """What a measure is called when it is the mean over questions: RR becomes MRR, the others keep their name."""
    return f"M{name}" if name.startswith("RR") else name


def _cell(estimate: Estimate, shown: Callable[[float], str]) -> Html:
    ends = f"{shown(estimate.low)} – {shown(estimate.high)}".replace(" %", "")
    return join([shown(estimate.value), element("span", ends, class_="interval")])


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.1f} %"


def decimal(value: float) -> str:
    """A measure as papers write it: three places and no zero before the point."""
    return f"{value:.3f}".removeprefix("0")


def points(share: float) -> str:
    """A difference of shares with its sign, in percentage points."""
    shown = f"{100 * share:+.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", "−")


def p_value(p: float) -> str:
    """A p-value with its name, as people read it."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def comparisons(evaluation: Evaluation) -> Iterator[Html]:
    """A table per pair of systems, with a row for every k."""
    for first, second in dict.fromkeys((comparison.first, comparison.second) for comparison in evaluation.comparisons):
        rows = [
            _difference(comparison)
            for comparison in evaluation.comparisons
            if (comparison.first, comparison.second) == (first, second)
        ]
        yield element("h3", f"{first} against {second}")
        yield table(rows, ("k", "points", f"only {first}", f"only {second}", "p"), class_="pairs")


def _difference(comparison: Comparison) -> tuple[str, ...]:
    ends = f"{points(comparison.difference.low)} to {points(comparison.difference.high)}"
    value = join([points(comparison.difference.value), element("span", ends, class_="interval")])
    p = p_value(comparison.p_value).removeprefix("p ").removeprefix("= ")
    return f"top-{comparison.k}", value, f"{comparison.gained:,}", f"{comparison.lost:,}", p


def notes(evaluation: Evaluation) -> Html:
    """What the figures mean, of those that the page shows."""
    return element(
        "dl", *(element(tag, part) for note in _notes(evaluation) for tag, part in zip(("dt", "dd"), note, strict=True))
    )


def _notes(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    yield "top-k", "Accuracy: the share of the questions with a right passage among the first k."
    if evaluation.regex:
        yield "Holding an answer", "The answers are regular expressions, searched in the text without regard to case."
    elif evaluation.by == "answer":
        yield (
            "Holding an answer",
            "The answer's tokens stand in the passage's, one behind the other, uncased, in Unicode NFD; titles are not read. "
            "This is has_answer of DPR.",
        )
        if evaluation.by_characters:
            yield "Answers by characters", f"{told_by_characters(evaluation)}."
    yield "MRR", "Mean of 1 / rank of the first right passage, 0 where there is none."
    if evaluation.by == "passage":
        yield "nDCG, R", "From trec_eval through ir-measures; R is the share of the right passages that was found."
    yield "Intervals", f"95 %, percentile bootstrap over the questions, seed {evaluation.seed}."
    if evaluation.comparisons:
        yield (
            "Differences",
            "points: accuracy of the first less that of the second, with the interval of the paired bootstrap; only: "
            "questions that this one alone answers; p: exact McNemar test on these, two-sided, not corrected for the number "
            "of comparisons.",
        )
    if any(system.latency for system in evaluation.systems):
        yield (
            "Latency",
            "From a question in words to its passages, encoding included, one question at a time, in this same run, after "
            "one to warm up. p95: 95 % of the questions took no longer.",
        )
    yield "Index recall", "Is no part of these figures: it compares an index with exact search, whatever the answers."

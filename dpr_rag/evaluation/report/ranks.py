"""Where the first right passage stands: the distribution of its ranks, as bars."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dpr_rag.evaluation.report.markup import Html, element
from dpr_rag.evaluation.report.tables import percent
from dpr_rag.evaluation.results import Evaluation, SystemResult

_EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def bins(k: int) -> list[tuple[int, int]]:
    """Ranks that share a bar, first and last of each: 1, 2, 3-5, 6-10, 11-20, 21-50, 51-100, as far as k."""
    edges = [0, *(edge for edge in _EDGES if edge < k), k]
    return [(before + 1, last) for before, last in pairwise(edges)]


def shares(system: SystemResult, k: int) -> list[float]:
    """The share of the questions whose first right passage stands in each of the bins, and behind them that of none."""
    ranks = system.first_ranks()
    inside = [float(np.mean((first <= ranks) & (ranks <= last))) for first, last in bins(k)]
    return [*inside, float(np.mean(np.isinf(ranks)))]


def distribution(evaluation: Evaluation) -> Html:
    """A table of bars: a group of rows per bin, one row per system."""
    names = [f"{first}" if first == last else f"{first}–{last}" for first, last in bins(evaluation.k)]
    by_system = [shares(system, evaluation.k) for system in evaluation.systems]
    largest = max(max(counts) for counts in by_system)
    head = element("tr", element("th", "rank", scope="col"), element("th", "share of the questions", scope="col"))
    groups = [
        element("tr", element("th", name, scope="row"), element("td", *_bars(evaluation, values, largest)))
        for name, values in zip([*names, "not found"], zip(*by_system, strict=True), strict=True)
    ]
    bars = element("table", element("thead", head), element("tbody", *groups), class_="bars")
    # one width for all names, so that all bars start at one line
    longest = max(len(system.name) for system in evaluation.systems)
    return element("div", bars, class_="scroll", style=f"--name:{min(longest, 20) + 1}ch")


def _bars(evaluation: Evaluation, values: tuple[float, ...], largest: float) -> Iterator[Html]:
    for at, (system, value) in enumerate(zip(evaluation.systems, values, strict=True)):
        bar = element("span", class_=f"bar s{at % 4}", style=f"width:{100 * value / largest:.2f}%")
        track = element("span", bar, class_="track")
        name = element("span", system.name, class_="name", title=system.name)
        yield element("div", name, " ", track, element("span", percent(value), class_="value"), class_="row")

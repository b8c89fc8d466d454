"""The measures: success at k from the rank of the first right passage, and ranking measures through ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpr_rag.errors import MissingExtraError, install
from dpr_rag.evaluation.judging import Grades
from dpr_rag.evaluation.named import Measure, in_ir_measures, measured
from dpr_rag.evaluation.results import Asked, By, Latency

KS = (1, 5, 20, 100)
_NDCG_DEPTH = 10
_Name = TypeVar("_Name", str, Measure)


def ks_up_to(k: int) -> tuple[int, ...]:
    """At which k accuracy is given: 1, 5, 20 and 100 as in the DPR paper, as far as k reaches, and k itself."""
    return tuple(sorted({one for one in KS if one < k} | {k}))


def success(asked: Sequence[Asked], k: int) -> NDArray[np.float64]:
    """1 for each question with a right passage among the first k, else 0; float64 [n]."""
    return np.array([one.first is not None and one.first <= k for one in asked], np.float64)


def ranking(asked: Sequence[Asked], by: By, k: int, grades: Grades) -> dict[str, NDArray[np.float64]]:
    """Ranking measures of each question, float64 [n] by name.

    By answer it is the reciprocal rank alone, as nobody knows how many passages hold an answer. By passage nDCG and
    recall (the share of the right passages that was found, not the success that some papers call so) come with it,
    all three from ir-measures, which asks trec_eval.

    Raises:
        MissingExtraError: By passage, and ir-measures is not installed.
    """
    if by == "answer":
        return {f"RR@{k}": np.array([1 / one.first if one.first else 0.0 for one in asked], np.float64)}
    package, depth = ir_measures(), min(_NDCG_DEPTH, k)
    wanted = {f"RR@{k}": package.RR, f"nDCG@{depth}": package.nDCG @ depth, f"R@{k}": package.R @ k}
    return _by_trec_eval(package, wanted, asked, grades)


def chosen(
    measures: Sequence[Measure], asked: Sequence[Asked], by: By, grades: Grades
) -> dict[str, NDArray[np.float64]]:
    """The measures that were asked for of each question, float64 [n] by name.

    Raises:
        MissingExtraError: One comes from ir-measures, and that is not installed.
    """
    others = [one for one in measures if one.needs_all]
    package = ir_measures() if others else None
    wanted = {one: in_ir_measures(package, one) for one in others}
    return measured(measures, asked, by, _by_trec_eval(package, wanted, asked, grades) if wanted else {})


def _by_trec_eval(
    package: Any, wanted: Mapping[_Name, Any], asked: Sequence[Asked], grades: Grades
) -> dict[_Name, NDArray[np.float64]]:
    """Measures of ir-measures for each question; 0 where trec_eval says nothing of it."""
    qrels, run = _numbered(asked, grades)
    found = {measure: np.zeros(len(asked)) for measure in wanted.values()}
    for metric in package.pytrec_eval.iter_calc(list(found), qrels, run):
        found[metric.measure][int(metric.query_id)] = metric.value
    return {name: found[measure] for name, measure in wanted.items()}


def _numbered(asked: Sequence[Asked], grades: Grades) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judgements and hits for trec_eval, with numbers for ids and scores that only say the rank.

    It would cut an id at a NUL, and sort hits whose scores are tied by their id.
    """
    qrels, run = {}, {}
    for row, one in enumerate(asked):
        hits = dict.fromkeys(hit.passage.id for hit in one.hits)
        judged = grades.get(one.question.id, {})
        numbers = {name: str(number) for number, name in enumerate(hits | dict.fromkeys(judged))}
        qrels[str(row)] = {numbers[name]: grade for name, grade in judged.items()}
        run[str(row)] = {numbers[name]: -float(numbers[name]) for name in hits}
    return qrels, run


def ir_measures() -> Any:
    """The package ir-measures.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError(
            f"nDCG and recall by passage need ir-measures ({error}); judge by answer, or {install('evaluation')}"
        ) from error
    return ir_measures


def latency_of(seconds: Sequence[float]) -> Latency:
    """Percentiles of how long single questions took."""
    p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
    return Latency(len(seconds), float(p50), float(p95), float(p99))

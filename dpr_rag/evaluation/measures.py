"""Measures per question: success at k, and ranking measures computed by ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpr_rag.errors import MissingExtraError, install
from dpr_rag.evaluation.judging import Grades
from dpr_rag.evaluation.named import Measure, in_ir_measures, measured
from dpr_rag.evaluation.results import By, Latency, QuestionResult

KS = (1, 5, 20, 100)
_NDCG_DEPTH = 10
_Name = TypeVar("_Name", str, Measure)


def ks_up_to(k: int) -> tuple[int, ...]:
    """The k at which accuracy is reported: those of 1, 5, 20 and 100 (as in the DPR paper) below ``k``, and ``k``."""
    return tuple(sorted({depth for depth in KS if depth < k} | {k}))


def success(results: Sequence[QuestionResult], k: int) -> NDArray[np.float64]:
    """Success at k of each question: 1 if a right hit is among the first k, else 0; float64 [n]."""
    return np.array([result.first is not None and result.first <= k for result in results], np.float64)


def ranking(results: Sequence[QuestionResult], by: By, k: int, grades: Grades) -> dict[str, NDArray[np.float64]]:
    """The usual ranking measures of each question, float64 [n] by name.

    By answer only the reciprocal rank, since the number of passages that hold an answer is unknown. By passage also nDCG and
    recall (the share of the right passages that were found; some papers use the word for success at k), all computed by
    ir-measures with trec_eval.

    Raises:
        MissingExtraError: Judging by passage, and ir-measures is not installed.
    """
    if by == "answer":
        return {f"RR@{k}": np.array([1 / result.first if result.first else 0.0 for result in results], np.float64)}
    package, depth = ir_measures(), min(_NDCG_DEPTH, k)
    wanted = {f"RR@{k}": package.RR, f"nDCG@{depth}": package.nDCG @ depth, f"R@{k}": package.R @ k}
    return _by_trec_eval(package, wanted, results, grades)


def chosen(
    measures: Sequence[Measure], results: Sequence[QuestionResult], by: By, grades: Grades
) -> dict[str, NDArray[np.float64]]:
    """Given measures of each question, float64 [n] by name.

    Raises:
        MissingExtraError: One needs ir-measures, and it is not installed.
    """
    others = [measure for measure in measures if measure.needs_all]
    package = ir_measures() if others else None
    wanted = {measure: in_ir_measures(package, measure) for measure in others}
    return measured(measures, results, by, _by_trec_eval(package, wanted, results, grades) if wanted else {})


def _by_trec_eval(
    package: Any, wanted: Mapping[_Name, Any], results: Sequence[QuestionResult], grades: Grades
) -> dict[_Name, NDArray[np.float64]]:
    """Measures of ir-measures for each question; 0 for a question that trec_eval leaves out."""
    qrels, run = _numbered(results, grades)
    values = {measure: np.zeros(len(results)) for measure in wanted.values()}
    for metric in package.pytrec_eval.iter_calc(list(values), qrels, run):
        values[metric.measure][int(metric.query_id)] = metric.value
    return {name: values[measure] for name, measure in wanted.items()}


def _numbered(
    results: Sequence[QuestionResult], grades: Grades
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judgements and hits in trec_eval's form, with numbers as ids, and ranks as scores.

    trec_eval would cut an id at a NUL character, and sort hits with tied scores by id.
    """
    qrels, run = {}, {}
    for row, result in enumerate(results):
        hits = dict.fromkeys(hit.passage.id for hit in result.hits)
        judged = grades.get(result.question.id, {})
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
    """Percentiles of the times of single questions."""
    p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
    return Latency(len(seconds), float(p50), float(p95), float(p99))

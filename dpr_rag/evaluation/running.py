"""``evaluate``: runs all questions through all systems, and computes the measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpr_rag.arguments import check_callable, check_count, check_flag, check_instance, iterated, kind, names_known
from dpr_rag.corpora import Judgement, Question
from dpr_rag.errors import EvaluationError
from dpr_rag.evaluation.answers import regular_expressions
from dpr_rag.evaluation.judging import Choice, grades_of, judge_for, judged, questions_of, without_own
from dpr_rag.evaluation.measures import chosen as chosen_of
from dpr_rag.evaluation.measures import ir_measures, ks_up_to, latency_of, ranking, success
from dpr_rag.evaluation.named import parse_measures
from dpr_rag.evaluation.results import Comparison, Evaluation, Latency, QuestionResult, SystemResult
from dpr_rag.evaluation.runs import Run, check_run
from dpr_rag.evaluation.statistics import Bootstrap, mcnemar
from dpr_rag.passages import Hit, Passage

Progress = Callable[[int], None]
_Key = tuple[str, int | str]
_Columns = dict[_Key, NDArray[np.float64]]


class System(Protocol):
    """A system that can be evaluated: a ``Retriever``, or an object with these two methods of it."""

    def retrieve(self, question: str, k: int, /) -> Sequence[Hit]:
        """The k best passages for one question, best first."""

    def retrieve_batch(self, questions: Sequence[str], k: int, /) -> Sequence[Sequence[Hit]]:
        """The k best passages for each of many questions, best first."""


_READ = "read them with read_qrels()"


@names_known()
def evaluate(
    systems: Mapping[str, System | Run],
    questions: Iterable[Question],
    *,
    k: int = 100,
    by: Choice = "auto",
    regex: bool = False,
    judgements: Iterable[Judgement] = (),
    measures: Iterable[str] = (),
    own_hits: bool = True,
    left_out: Mapping[str, int] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Retrieve passages for all questions from all systems, judge them, and compute accuracy and ranking measures.

    Index recall is not included: it compares an index with exact search and says nothing about answers; see
    ``PassageStore.measure_index_recall``.

    Args:
        systems: The systems by name; or the hits of another system, see :func:`~dpr_rag.evaluation.read_run`. A question that
            a run lacks counts as a failure.
        questions: The questions, with answers or ``positive_ids``.
        k: Hits per question.
        by: What makes a passage right: ``answer`` (its text holds an answer, see :func:`has_answer`) or ``passage`` (its id is
            one of the question's ``positive_ids``); ``auto`` takes the first of the two that all questions have.
        regex: By answer: answers are regular expressions, as in CuratedTREC.
        judgements: By passage: graded relevance for nDCG, as in BEIR; without them every positive passage has grade 1.
            Judged questions without a relevant passage count as failures, as in trec_eval.
        measures: Names of measures to compute instead of the usual ones: ``nDCG@10``, ``R@100``, ``MAP``, ``MRR@10``, ``P@5``,
            ``accuracy@20``, as ir-measures, trec_eval or papers write them. Values are trec_eval's.
        own_hits: Whether to count a hit whose id equals the question's. BEIR leaves it out, since questions of ArguAna and
            Quora are passages of the corpus; one that is judged relevant always counts.
        left_out: How many questions were left out on reading, by reason, for the report; see ``read_questions``.
        batch_size: Questions per batch, which is faster but measures no latency; None retrieves one by one and times each,
            after one to warm up.
        seed: Seed of the bootstrap.
        progress: Called with the number of questions done so far, of all systems together.

    Returns:
        Accuracy and ranking measures with 95 % intervals, latencies, all hits, and pairwise comparisons of the systems.

    Raises:
        EvaluationError: There are no questions or systems, the questions cannot be judged, or an option is out of range.
        MissingExtraError: Judging by passage needs ir-measures, or by regular expressions regex, and it is not installed.
    """
    check_callable("progress", progress)
    check_flag("regex", regex)
    check_flag("own_hits", own_hits)
    k, seed = check_count("k", k, EvaluationError), check_count("seed", seed, EvaluationError, least=0)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size, EvaluationError)
    _check_systems(systems)
    listed = questions_of(questions)
    judgements = _judgements_of(judgements)
    judge = judge_for(listed, by, judged={judgement.question_id for judgement in judgements})
    grades = grades_of(listed, judgements)
    named = parse_measures([measures] if isinstance(measures, str) else measures, k=k, by=judge)
    # report missing packages before the work, not after it
    if judge == "passage" and (not named or any(measure.needs_all for measure in named)):
        ir_measures()
    elif judge == "answer" and regex:
        regular_expressions()
    for name, system in systems.items():
        if isinstance(system, Run):
            check_run(name, system, listed, judge)
    pool: dict[str, Passage] = {}
    runs: dict[str, list[QuestionResult]] = {}
    latencies: dict[str, Latency | None] = {}
    columns: _Columns = {}
    own: dict[str, int] = {}
    for name, system in systems.items():
        advance = _from(len(runs) * len(listed), progress)
        depth = k if own_hits else k + 1
        batches: list[Sequence[Hit]]
        if isinstance(system, Run):
            batches, latencies[name] = list(map(system.hits, listed)), None
            advance(len(listed))
        else:
            texts = [question.question for question in listed]
            batches, latencies[name] = _retrieved(system, texts, depth, batch_size, advance)
        if not own_hits:
            kept = [without_own(question, hits[:depth], grades) for question, hits in zip(listed, batches, strict=True)]
            own[name] = sum(len(hits[:depth]) - len(left) for hits, left in zip(batches, kept, strict=True))
            batches = [*kept]
        shared = [_shared(hits[:k], pool) for hits in batches]
        runs[name] = [judged(question, hits, judge, regex=regex) for question, hits in zip(listed, shared, strict=True)]
        columns |= {(name, at): success(runs[name], at) for at in ks_up_to(k)}
        values = chosen_of(named, runs[name], judge, grades) if named else ranking(runs[name], judge, k, grades)
        columns |= {(name, measure): column for measure, column in values.items()}
    bootstrap = Bootstrap(columns, seed=seed)
    shown = tuple(map(str, named))
    results = tuple(_result(name, run, latencies[name], columns, bootstrap, shown) for name, run in runs.items())
    pairs = tuple(_comparisons(list(runs), ks_up_to(k), columns, bootstrap))
    return Evaluation(judge, k, regex and judge == "answer", seed, results, pairs, dict(left_out or {}), own, shown)


def _check_systems(systems: Mapping[str, System | Run]) -> None:
    if not isinstance(systems, Mapping) or not systems:
        raise EvaluationError(f"systems is {kind(systems)}, expected a dict of at least one, by name")
    for name, system in systems.items():
        methods = (getattr(system, method, None) for method in ("retrieve", "retrieve_batch"))
        if not isinstance(system, Run) and not all(map(callable, methods)):
            raise EvaluationError(
                f"system {name!r:.80} is {kind(system)}, expected a Retriever, or what else has retrieve() and retrieve_batch()"
            )


def _judgements_of(given: Iterable[Judgement]) -> list[Judgement]:
    judgements = list(iterated("judgements", given, "a list of Judgements", error=EvaluationError, advice=_READ))
    for judgement in judgements:
        check_instance("one of judgements", judgement, Judgement, EvaluationError, advice=f"; {_READ}")
    return judgements


def _retrieved(
    system: System, questions: Sequence[str], k: int, batch_size: int | None, progress: Progress
) -> tuple[list[Sequence[Hit]], Latency | None]:
    """Hits for each question, and the latency if they were retrieved one by one."""
    results: list[Sequence[Hit]] = []
    if batch_size is not None:
        for start in range(0, len(questions), batch_size):
            results += system.retrieve_batch(questions[start : start + batch_size], k)
            progress(len(results))
        return results, None
    system.retrieve(questions[0], k)
    seconds = []
    for question in questions:
        start_time = perf_counter()
        results.append(system.retrieve(question, k))
        seconds.append(perf_counter() - start_time)
        progress(len(results))
    return results, latency_of(seconds)


def _from(done: int, progress: Progress | None) -> Progress:
    return (lambda count: None) if progress is None else (lambda count: progress(done + count))


def _shared(hits: Sequence[Hit], pool: dict[str, Passage]) -> list[Hit]:
    """The hits, with one ``Passage`` object for all questions that found it, to save memory."""
    known = [pool.setdefault(hit.passage.id, hit.passage) for hit in hits]
    return [
        replace(hit, passage=first) if first == hit.passage else hit for hit, first in zip(hits, known, strict=True)
    ]


def _result(
    name: str,
    run: list[QuestionResult],
    latency: Latency | None,
    columns: _Columns,
    bootstrap: Bootstrap[_Key],
    shown: Sequence[str],
) -> SystemResult:
    estimates = {measure: bootstrap.estimate((owner, measure)) for owner, measure in columns if owner == name}
    accuracy = {measure: estimate for measure, estimate in estimates.items() if isinstance(measure, int)}
    others = {measure: estimate for measure, estimate in estimates.items() if isinstance(measure, str)}
    values = {
        measure if isinstance(measure, str) else f"accuracy@{measure}": tuple(column.tolist())
        for (owner, measure), column in columns.items()
        if owner == name and (not shown or measure in shown)
    }
    return SystemResult(name, tuple(run), accuracy, others, latency, values)


def _comparisons(
    names: Sequence[str], ks: Sequence[int], columns: _Columns, bootstrap: Bootstrap[_Key]
) -> Iterable[Comparison]:
    for second, first in combinations(names, 2):
        for k in ks:
            gained = int(np.sum(columns[first, k] > columns[second, k]))
            lost = int(np.sum(columns[first, k] < columns[second, k]))
            difference = bootstrap.difference((first, k), (second, k))
            yield Comparison(first, second, k, gained, lost, difference, mcnemar(gained, lost))

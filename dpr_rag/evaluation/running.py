"""``evaluate``: asks every system every question, and puts what they found into figures."""

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
from dpr_rag.evaluation.results import Asked, Comparison, Evaluation, Latency, SystemResult
from dpr_rag.evaluation.runs import Run, check_run
from dpr_rag.evaluation.statistics import Bootstrap, mcnemar
from dpr_rag.passages import Hit, Passage

Progress = Callable[[int], None]
_Key = tuple[str, int | str]
_Columns = dict[_Key, NDArray[np.float64]]


class System(Protocol):
    """What can be evaluated: a ``Retriever``, or anything that answers like one."""

    def retrieve(self, question: str, k: int, /) -> Sequence[Hit]:
        """The k best passages for one question, best first."""

    def retrieve_batch(self, questions: Sequence[str], k: int, /) -> Sequence[Sequence[Hit]]:
        """The same for many questions."""


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
    """Ask every system every question and measure what it finds.

    Index recall is no part of this: it compares an index with exact search and says nothing about answers; see
    ``PassageStore.measure_index_recall``.

    Args:
        systems: What to ask, by name; or what another system found, see :func:`~dpr_rag.evaluation.read_run`. A question
            that a run lacks counts as lost.
        questions: What to ask them, with answers or ``positive_ids``.
        k: Hits per question.
        by: What makes a passage right: ``answer`` (its text holds one, see :func:`has_answer`) or ``passage`` (it is one
            of the question's ``positive_ids``); ``auto`` takes the first of the two that all questions have.
        regex: By answer: answers are regular expressions, as in CuratedTREC.
        judgements: By passage: graded relevance for nDCG, as in BEIR; without them every positive passage counts 1.
            Questions that are judged and have no relevant passage count as lost, as in trec_eval.
        measures: What to measure instead of the usual, by name: ``nDCG@10``, ``R@100``, ``MAP``, ``MRR@10``, ``P@5``,
            ``accuracy@20``, as ir-measures, trec_eval or papers write them. Values are trec_eval's.
        own_hits: Whether a hit counts whose id is the question's own. BEIR leaves it out, since in some of its sets (ArguAna,
            Quora) questions are passages themselves; one that is judged relevant stays.
        left_out: How many questions were left out on reading, by reason, for the report; see ``read_questions``.
        batch_size: Ask that many questions at once, which is faster but measures no latency; None asks one by one and
            times each, after a first one to warm up.
        seed: Of the bootstrap.
        progress: Called with the number of questions asked so far, of all systems together.

    Returns:
        Accuracy and ranking measures with 95 % intervals, latencies, every hit, and the systems compared in pairs.

    Raises:
        EvaluationError: There is nothing to ask, or nothing to judge by, or an option is out of range.
        MissingExtraError: By passage, and ir-measures is not installed; or by regular expressions, and regex is not.
    """
    check_callable("progress", progress)
    check_flag("regex", regex)
    check_flag("own_hits", own_hits)
    k, seed = check_count("k", k, EvaluationError), check_count("seed", seed, EvaluationError, least=0)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size, EvaluationError)
    _check_systems(systems)
    asked = questions_of(questions)
    judgements = _judgements_of(judgements)
    chosen = judge_for(asked, by, judged={one.question_id for one in judgements})
    grades = grades_of(asked, judgements)
    named = parse_measures([measures] if isinstance(measures, str) else measures, k=k, by=chosen)
    # what is missing is better told before the work than after it
    if chosen == "passage" and (not named or any(one.needs_all for one in named)):
        ir_measures()
    elif chosen == "answer" and regex:
        regular_expressions()
    for name, system in systems.items():
        if isinstance(system, Run):
            check_run(name, system, asked, chosen)
    pool: dict[str, Passage] = {}
    runs: dict[str, list[Asked]] = {}
    latencies: dict[str, Latency | None] = {}
    columns: _Columns = {}
    own: dict[str, int] = {}
    for name, system in systems.items():
        advance = _from(len(runs) * len(asked), progress)
        depth = k if own_hits else k + 1
        found: list[Sequence[Hit]]
        if isinstance(system, Run):
            found, latencies[name] = list(map(system.hits, asked)), None
            advance(len(asked))
        else:
            found, latencies[name] = _ask(system, [one.question for one in asked], depth, batch_size, advance)
        if not own_hits:
            kept = [without_own(one, hits[:depth], grades) for one, hits in zip(asked, found, strict=True)]
            own[name] = sum(len(hits[:depth]) - len(left) for hits, left in zip(found, kept, strict=True))
            found = [*kept]
        shared = [_shared(hits[:k], pool) for hits in found]
        runs[name] = [judged(one, hits, chosen, regex=regex) for one, hits in zip(asked, shared, strict=True)]
        columns |= {(name, at): success(runs[name], at) for at in ks_up_to(k)}
        found_of = chosen_of(named, runs[name], chosen, grades) if named else ranking(runs[name], chosen, k, grades)
        columns |= {(name, of): values for of, values in found_of.items()}
    bootstrap = Bootstrap(columns, seed=seed)
    shown = tuple(map(str, named))
    results = tuple(_result(name, run, latencies[name], columns, bootstrap, shown) for name, run in runs.items())
    pairs = tuple(_comparisons(list(runs), ks_up_to(k), columns, bootstrap))
    return Evaluation(chosen, k, regex and chosen == "answer", seed, results, pairs, dict(left_out or {}), own, shown)


def _check_systems(systems: Mapping[str, System | Run]) -> None:
    if not isinstance(systems, Mapping) or not systems:
        raise EvaluationError(f"systems is {kind(systems)}, expected a dict of at least one, by name")
    for name, system in systems.items():
        asks = (getattr(system, method, None) for method in ("retrieve", "retrieve_batch"))
        if not isinstance(system, Run) and not all(map(callable, asks)):
            raise EvaluationError(
                f"system {name!r:.80} is {kind(system)}, expected a Retriever, or what else has retrieve() and retrieve_batch()"
            )


def _judgements_of(given: Iterable[Judgement]) -> list[Judgement]:
    found = list(iterated("judgements", given, "a list of Judgements", error=EvaluationError, one=_READ))
    for one in found:
        check_instance("one of judgements", one, Judgement, EvaluationError, advice=f"; {_READ}")
    return found


def _ask(
    system: System, questions: Sequence[str], k: int, batch_size: int | None, progress: Progress
) -> tuple[list[Sequence[Hit]], Latency | None]:
    found: list[Sequence[Hit]] = []
    if batch_size is not None:
        for start in range(0, len(questions), batch_size):
            found += system.retrieve_batch(questions[start : start + batch_size], k)
            progress(len(found))
        return found, None
    system.retrieve(questions[0], k)
    seconds = []
    for question in questions:
        start_time = perf_counter()
        found.append(system.retrieve(question, k))
        seconds.append(perf_counter() - start_time)
        progress(len(found))
    return found, latency_of(seconds)


def _from(done: int, progress: Progress | None) -> Progress:
    return (lambda count: None) if progress is None else (lambda count: progress(done + count))


def _shared(hits: Sequence[Hit], pool: dict[str, Passage]) -> list[Hit]:
    """The hits with one object per passage, however many questions find it: a hundred hits each would fill the memory."""
    known = [pool.setdefault(hit.passage.id, hit.passage) for hit in hits]
    return [replace(hit, passage=one) if one == hit.passage else hit for hit, one in zip(hits, known, strict=True)]


def _result(
    name: str,
    run: list[Asked],
    latency: Latency | None,
    columns: _Columns,
    bootstrap: Bootstrap[_Key],
    shown: Sequence[str],
) -> SystemResult:
    estimates = {measure: bootstrap.estimate((owner, measure)) for owner, measure in columns if owner == name}
    accuracy = {measure: one for measure, one in estimates.items() if isinstance(measure, int)}
    others = {measure: one for measure, one in estimates.items() if isinstance(measure, str)}
    values = {
        measure if isinstance(measure, str) else f"accuracy@{measure}": tuple(found.tolist())
        for (owner, measure), found in columns.items()
        if owner == name and (not shown or measure in shown)
    }
    return SystemResult(name, tuple(run), accuracy, others, latency, values)


def _comparisons(
    names: Sequence[str], ks: Sequence[int], columns: _Columns, bootstrap: Bootstrap[_Key]
) -> Iterable[Comparison]:
    for second, first in combinations(names, 2):
        for k in ks:
            one, other = columns[first, k], columns[second, k]
            gained, lost = int(np.sum(one > other)), int(np.sum(one < other))
            difference = bootstrap.difference((first, k), (second, k))
            yield Comparison(first, second, k, gained, lost, difference, mcnemar(gained, lost))

"""``tune``: chooses the best ranking on labelled questions by cross-validation, and saves it in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dpr_rag.arguments import check_callable, check_count, check_flag, check_instance, kind, names_known
from dpr_rag.corpora import Question
from dpr_rag.errors import EvaluationError, StoreReadOnlyError
from dpr_rag.evaluation.judging import Choice, judge_for, questions_of
from dpr_rag.evaluation.legs import JudgedLegs, read_legs, spreads
from dpr_rag.evaluation.measures import ks_up_to
from dpr_rag.evaluation.results import By, Estimate
from dpr_rag.evaluation.statistics import Bootstrap
from dpr_rag.evaluation.tunable import TunableStore, tunable
from dpr_rag.faces import ByFace
from dpr_rag.fusion import Calibration, Ranking, Tuned
from dpr_rag.lexical import BM25

FEWEST = 20
_FOLDS = 5
_GRID = np.arange(-8, 9) / 2
_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate ranking and its results on held-out questions.

    Attributes:
        name: Its name.
        ranking: The ranking; if λ is tuned, with the λ chosen on all questions.
        value: Mean reciprocal rank of the first right passage.
        accuracy: Top-k accuracy by k.
        less_than_best: The best candidate's value minus this one's, with the interval of the paired bootstrap, corrected for
            the number of candidates.
    """

    name: str
    ranking: Ranking
    value: Estimate
    accuracy: Mapping[int, Estimate]
    less_than_best: Estimate


@dataclass(frozen=True, slots=True)
class Tuning:
    """The result of :func:`tune`.

    Attributes:
        questions: The number of questions.
        by: What made a passage right: ``answer`` or ``passage``.
        k: Reciprocal ranks beyond this rank count 0.
        candidates: The candidates, the simplest first.
        best: The candidate with the highest value.
        chosen: The simplest candidate that is not significantly worse than the best.
        weights: The λ chosen without each fold.
        tuned: The choice in the form that the store saves.
        left_out: How many questions of the file were left out, by reason.
    """

    questions: int
    by: By
    k: int
    candidates: tuple[Candidate, ...]
    best: Candidate
    chosen: Candidate
    weights: tuple[float, ...]
    tuned: Tuned
    left_out: Mapping[str, int] = field(default_factory=dict)


@names_known()
def tune(
    store: TunableStore,
    questions: Iterable[Question],
    *,
    k: int = 10,
    by: Choice = "auto",
    regex: bool = False,
    candidates: int = 200,
    bm25: BM25 | None = None,
    keep: bool = True,
    seed: int = 0,
    left_out: Mapping[str, int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tuning:
    """Choose mode, fusion and λ on labelled questions, and save the choice in the store.

    The candidates are ``dense``, ``bm25``, and hybrid by reciprocal rank fusion, with λ per question, and with one λ. They are
    compared by the mean reciprocal rank of the first right passage. The one λ is chosen by five-fold cross-validation: each
    fold is ranked with the λ that is best on the other four. Chosen is the simplest candidate whose difference from the best
    has an interval that includes zero (paired bootstrap, 95 % for all comparisons together), so that noise rarely decides.
    The calibration of scores is fitted to the right and wrong hits among the first k, see ``store.calibration_of``.

    Args:
        store: An open store with an encoder.
        questions: Questions with answers or ``positive_ids``, at least 20; some hundreds are needed to tell candidates apart.
        k: Reciprocal ranks beyond this rank count 0; with 1 the measure is top-1 accuracy.
        by: What makes a passage right, see :func:`~dpr_rag.evaluation.evaluate`.
        regex: By answer: answers are regular expressions.
        candidates: How many passages each leg contributes, at least k.
        bm25: Parameters of BM25; they are saved with the choice.
        keep: Save the choice in the store; otherwise ``store.set_tuned(tuning.tuned)`` does so later.
        seed: Seed of the folds and of the bootstrap.
        left_out: How many questions were left out on reading, by reason, for the report; see ``read_questions``.
        progress: Called with the number of questions asked so far.

    Raises:
        EvaluationError: There are too few questions, nothing to judge by, no right passage is found at all, or an option
            is out of range.
        EncoderMismatchError: The store has no encoder.
        StoreReadOnlyError: The choice cannot be written.
    """
    check_callable("progress", progress)
    check_flag("regex", regex)
    check_flag("keep", keep)
    if not tunable(store):
        raise EvaluationError(
            f"store is {kind(store)}, expected an open PassageStore or MilvusStore, which keep how they are to rank; open one "
            "with open_store(address, encoder=…)"
        )
    k, seed = check_count("k", k, EvaluationError, least=0), check_count("seed", seed, EvaluationError, least=0)
    candidates = check_count("candidates", candidates, EvaluationError)
    if bm25 is not None:
        check_instance("bm25", bm25, BM25, EvaluationError)
    listed = questions_of(questions)
    if not 1 <= k <= candidates:
        raise EvaluationError(f"k is {k!r}, expected 1 to {candidates}, the number of candidates")
    chosen_by = judge_for(listed, by)
    if len(listed) < FEWEST:
        raise EvaluationError(
            f"there are {len(listed)} questions; tuning needs at least {FEWEST}, better some hundreds"
        )
    if keep and store.read_only:
        raise StoreReadOnlyError(
            f"{store.path} was opened read-only; open it for writing"
            + ByFace(", or pass keep=False", cli=", or pass --dry-run")
        )
    base = Ranking("hybrid", candidates=candidates, bm25=bm25 or BM25())
    legs = read_legs(store, listed, base, chosen_by, regex=regex, progress=progress)
    if not any(len(question.right) for question in legs):
        raise EvaluationError(
            f"none of the {len(listed):,} questions has a right passage among the best {candidates} of either leg; "
            f"expected questions that passages of {store.path} answer"
        )
    weights, held_out = _cross_validated(legs, base, k, seed)
    rankings = _rankings(base, weights[-1])
    ranks = {name: held_out if name == "hybrid λ" else _firsts(legs, ranking) for name, ranking in rankings.items()}
    compared = _candidates(rankings, ranks, k, ks_up_to(min(100, candidates)), seed)
    best = max(compared, key=lambda candidate: candidate.value.value)
    chosen = next(candidate for candidate in compared if candidate.less_than_best.low <= 0)
    fingerprint = "" if store.encoder is None else store.encoder.fingerprint
    calibrations = _calibrations(legs, rankings.values(), k)
    language = store.info().language
    by_question, by_weight = compared[-2:]
    surpassed = chosen is not by_question and by_weight.value.value > by_question.value.value
    weight = weights[-1] if surpassed else None
    tuned = Tuned(chosen.ranking, calibrations, len(listed), fingerprint, language, weight=weight)
    if keep:
        store.set_tuned(tuned)
    return Tuning(len(listed), chosen_by, k, compared, best, chosen, tuple(weights[:-1]), tuned, dict(left_out or {}))


def _rankings(base: Ranking, weight: float) -> dict[str, Ranking]:
    """What is compared, the simplest first."""
    return {
        "dense": Ranking(),
        "bm25": Ranking("bm25", bm25=base.bm25),
        "hybrid rrf": replace(base, fusion="rrf"),
        "hybrid": base,
        "hybrid λ": replace(base, weight=weight),
    }


def _cross_validated(legs: Sequence[JudgedLegs], base: Ranking, k: int, seed: int) -> tuple[list[float], _Values]:
    """λ of each fold and of all questions, and the ranks that each fold gets with the λ of the others."""
    scale = spreads(legs)
    weights = [float(f"{scale * 2**step:.3g}") for step in _GRID]
    ranks = np.stack([_firsts(legs, replace(base, weight=weight)) for weight in weights])
    values = _reciprocal(ranks, k)
    folds = np.random.default_rng(seed).permutation(len(legs)) % _FOLDS
    chosen = [_best(values[:, folds != fold].mean(axis=1)) for fold in range(_FOLDS)]
    held_out = np.choose(folds, ranks[chosen])
    return [weights[at] for at in (*chosen, _best(values.mean(axis=1)))], held_out


def _best(means: _Values) -> int:
    """The place of the highest mean, in the middle where several share it."""
    places = np.flatnonzero(means == means.max())
    return int(places[len(places) // 2])


def _firsts(legs: Sequence[JudgedLegs], ranking: Ranking) -> _Values:
    return np.array([question.first(ranking) for question in legs])


def _reciprocal(ranks: _Values, k: int) -> _Values:
    return np.where(ranks <= k, 1 / ranks, 0.0)


def _candidates(
    rankings: Mapping[str, Ranking], ranks: Mapping[str, _Values], k: int, ks: Sequence[int], seed: int
) -> tuple[Candidate, ...]:
    columns = {(name, at): np.where(ranks[name] <= at, 1.0, 0.0) for name in rankings for at in ks}
    columns |= {(name, 0): _reciprocal(ranks[name], k) for name in rankings}
    bootstrap = Bootstrap(columns, seed=seed)
    values = {name: bootstrap.estimate((name, 0)) for name in rankings}
    best = max(values, key=lambda name: values[name].value)
    return tuple(
        Candidate(
            name,
            ranking,
            values[name],
            {at: bootstrap.estimate((name, at)) for at in ks},
            bootstrap.difference((best, 0), (name, 0), among=len(rankings) - 1),
        )
        for name, ranking in rankings.items()
    )


def _calibrations(legs: Sequence[JudgedLegs], rankings: Iterable[Ranking], k: int) -> dict[Ranking, Calibration]:
    """Fitted to the scores of right and of wrong hits; none where right ones score no higher, for it would say nothing."""
    calibrations = {}
    for ranking in rankings:
        pairs = [question.scores(ranking, k) for question in legs]
        right, wrong = (np.concatenate(column) for column in zip(*pairs, strict=True))
        if len(right) and len(wrong) and right.mean() > wrong.mean():
            calibrations[ranking] = Calibration.fit(right.tolist(), wrong.tolist())
    return calibrations

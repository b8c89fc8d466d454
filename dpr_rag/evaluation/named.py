"""Measures by name, as ir-measures, trec_eval and papers write them: ``nDCG@10``, ``recall_100``, ``MAP``, ``MRR@10``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpr_rag.errors import EvaluationError
from dpr_rag.evaluation.results import By, QuestionResult
from dpr_rag.faces import ByFace

Kind = Literal["nDCG", "R", "AP", "P", "RR", "Success"]
_NEEDS_ALL: frozenset[Kind] = frozenset({"nDCG", "R", "AP"})
"""Those that count what was not found too, so that all right passages of a question must be known."""
_NEEDS_CUTOFF: frozenset[Kind] = frozenset({"R", "P", "Success"})
_NAMES: Mapping[str, tuple[str, Kind]] = {
    **dict.fromkeys(("ndcg", "ndcg_cut"), ("nDCG", "nDCG")),
    **dict.fromkeys(("r", "recall"), ("R", "R")),
    **dict.fromkeys(("map", "map_cut"), ("MAP", "AP")),
    "ap": ("AP", "AP"),
    **dict.fromkeys(("p", "precision"), ("P", "P")),
    "mrr": ("MRR", "RR"),
    **dict.fromkeys(("rr", "recip_rank"), ("RR", "RR")),
    **dict.fromkeys(("accuracy", "acc", "top"), ("accuracy", "Success")),
    **dict.fromkeys(("success", "hit", "hits"), ("Success", "Success")),
}
_FORM = re.compile(r"([a-z]+(?:_[a-z]+)*)(?:[@_.-](\d{1,9}))?", re.IGNORECASE)
VALID = "nDCG, nDCG@k, MAP, MAP@k, MRR, MRR@k, R@k, P@k, accuracy@k or Success@k, such as nDCG@10"


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of a question's hits.

    Attributes:
        name: What it is called, without its cutoff.
        kind: What it is: nDCG with trec_eval's linear gains; recall; average precision; precision; the reciprocal rank of the
            first right hit; or success, 1 where there is one.
        cutoff: How many hits it looks at; None is all that were asked for.
    """

    name: str
    kind: Kind
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @property
    def needs_all(self) -> bool:
        """Whether all right passages of a question must be known, and ir-measures be there."""
        return self.kind in _NEEDS_ALL


def parse_measure(text: str) -> Measure:
    """Read the name of a measure, whatever its case; trec_eval's ``ndcg_cut_10`` and ``P_5`` are understood, too.

    Raises:
        EvaluationError: There is none of this name, it lacks its cutoff, or the cutoff is 0.
    """
    form = _FORM.fullmatch(text.strip())
    known = _NAMES.get(form[1].lower()) if form else None
    if form is None or known is None:
        raise EvaluationError(f"there is no measure {text!r:.60}; expected {VALID}")
    cutoff = None if form[2] is None else int(form[2])
    if cutoff == 0 or (cutoff is None and known[1] in _NEEDS_CUTOFF):
        raise EvaluationError(f"the measure {text!r:.60} needs a cutoff of at least 1; write for example {known[0]}@10")
    return Measure(*known, cutoff)


def parse_measures(texts: Iterable[str], *, k: int, by: By | None = None) -> tuple[Measure, ...]:
    """Read several, each once.

    Args:
        texts: Their names.
        k: How many hits are asked for.
        by: What makes a passage right, where that is known already.

    Raises:
        EvaluationError: One is unknown, looks at more hits than are asked for, or cannot be measured by answer.
    """
    measures = tuple(dict.fromkeys(map(parse_measure, texts)))
    for measure in measures:
        if measure.cutoff is not None and measure.cutoff > k:
            raise EvaluationError(
                f"{measure} looks at {measure.cutoff:,} hits, and {k:,} are asked for; pass "
                + ByFace(f"k={measure.cutoff}", cli=f"--k {measure.cutoff}")
            )
        if by == "answer" and measure.needs_all:
            raise EvaluationError(
                f"{measure} counts the right passages that were not found, and nobody knows how many hold an answer; "
                + ByFace("judge by passage", cli="pass --by passage", page="judge by passage")
                + ", or measure MRR, accuracy or P"
            )
    return measures


def measured(
    measures: Sequence[Measure],
    results: Sequence[QuestionResult],
    by: By,
    trec_eval: Mapping[Measure, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """The measures of each question, float64 [n] by name.

    Args:
        measures: Which.
        results: The questions with their hits.
        by: What makes a passage right.
        trec_eval: The values of those that :attr:`Measure.needs_all`.
    """
    own = {
        measure: np.array([_value(measure, result) for result in results])
        for measure in measures
        if not measure.needs_all
    }
    return {str(measure): own[measure] if measure in own else trec_eval[measure] for measure in measures}


def _value(measure: Measure, result: QuestionResult) -> float:
    depth = len(result.right) if measure.cutoff is None else measure.cutoff
    if measure.kind == "P":
        return sum(result.right[:depth]) / depth
    if result.first is None or result.first > depth:
        return 0.0
    return 1 / result.first if measure.kind == "RR" else 1.0


def in_ir_measures(package: Any, measure: Measure) -> Any:
    """The measure of the package ir-measures that this one is."""
    provided = {"nDCG": package.nDCG, "R": package.R, "AP": package.AP}[measure.kind]
    return provided if measure.cutoff is None else provided @ measure.cutoff

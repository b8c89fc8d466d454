"""Labelled questions on the command line: the options that name them, and how they are read."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dpr_rag.errors import EvaluationError

if TYPE_CHECKING:
    from dpr_rag.corpora import Judgement, Question


class By(StrEnum):
    """What makes a passage right."""

    auto = "auto"
    answer = "answer"
    passage = "passage"


Questions = Annotated[
    Path,
    typer.Argument(
        metavar="QUESTIONS",
        help="Questions with answers or known passages: DPR's tab-separated file, JSON, CSV, or a BEIR folder.",
        show_default=False,
    ),
]
ByChoice = Annotated[
    By, typer.Option("--by", help="What makes a passage right: an answer in its text, or its id being known.")
]
Regex = Annotated[bool, typer.Option("--regex", help="Answers are regular expressions, as in CuratedTREC.")]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Of a BEIR folder: its qrels (default: test).")
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The first N questions only.")]


def told_questions(questions: Path, split: str | None, limit: int | None) -> str:
    """Which questions were asked, for people to read."""
    told = [str(questions)]
    if split is not None:
        told.append(f"split {split}")
    if limit is not None:
        told.append(f"the first {limit:,}")
    return ", ".join(told)


def read_labelled(
    path: Path, split: str | None, limit: int | None, by: By
) -> tuple[list[Question], list[Judgement], Literal["answer", "passage"]]:
    """The questions, how relevant which passages are, and what the questions can be judged by."""
    from dpr_rag.corpora import read_qrels, read_questions
    from dpr_rag.corpora.questions import qrels_of
    from dpr_rag.evaluation import judge_for

    asked = list(islice(read_questions(path, split=split), limit))
    try:
        chosen = judge_for(asked, by.value)
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error
    qrels = qrels_of(path, split) if path.is_dir() and chosen == "passage" else None
    return asked, list(read_qrels(qrels)) if qrels else [], chosen

"""Labelled questions on the command line: the options that name them, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dpr_rag.cli.terminal import note
from dpr_rag.errors import EvaluationError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import PassageStore
    from dpr_rag.corpora import Judgement, LeftOut, Question


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
        parser=place_of,
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


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled questions as they were read.

    Attributes:
        questions: What is asked.
        judgements: How relevant which passages are, where a BEIR folder says so.
        by: What the questions can be judged by.
        left_out: How many of the file are not asked, by reason.
    """

    questions: list[Question]
    judgements: list[Judgement]
    by: Literal["answer", "passage"]
    left_out: LeftOut


def told_questions(questions: Path, split: str | None, limit: int | None) -> str:
    """Which questions were asked, for people to read."""
    told = [str(questions)]
    if split is not None:
        told.append(f"split {split}")
    if limit is not None:
        told.append(f"the first {limit:,}")
    return ", ".join(told)


def read_labelled(path: Path, split: str | None, limit: int | None, by: By) -> Labelled:
    """Read the questions, how relevant which passages are, and what the questions can be judged by.

    Raises:
        EvaluationError: There is no question, or they cannot be judged.
    """
    from dpr_rag.corpora import LeftOut, read_qrels, read_questions
    from dpr_rag.corpora.lines import told
    from dpr_rag.corpora.questions import qrels_of
    from dpr_rag.evaluation import judge_for

    left_out = LeftOut()
    asked = list(islice(read_questions(path, split=split, left_out=left_out), limit))
    if left_out and not asked:
        raise EvaluationError(f"{path}: no question is left: {told(left_out)}; name another --split, or judge some")
    try:
        chosen = judge_for(asked, by.value)
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error
    qrels = qrels_of(path, split) if path.is_dir() and chosen == "passage" else None
    return Labelled(asked, list(read_qrels(qrels)) if qrels else [], chosen, left_out)


def note_missing(store: PassageStore, asked: Sequence[Question]) -> None:
    """Say how many of the passages that are to be found are not in the store at all."""
    wanted = {name for question in asked for name in question.positive_ids}
    missing = wanted - {passage.id for passage in store.get(wanted)}
    if missing:
        note(f"{len(missing):,} of {len(wanted):,} positive_ids are not in the store (one is {min(missing)!r:.120})")


def split_to_tune_on(
    questions: Path, split: str | None, *, order: Sequence[str] = ("dev", "train"), purpose: str = "tune on"
) -> str | None:
    """The split of a BEIR folder that something is tuned on or learnt from: never ``test`` unless it is named.

    Args:
        questions: The folder; a file has no splits.
        split: The split that was named.
        order: Which splits are taken where none was, the best one first.
        purpose: What they are for, in the message.

    Raises:
        typer.BadParameter: None is named, and there is none of ``order``.
    """
    from dpr_rag.corpora.questions import split_name

    if split is not None or not questions.is_dir():
        return split
    names = {split_name(file) for file in questions.glob("qrels/*.tsv*")}
    for name in order:
        if name in names:
            return name
    raise typer.BadParameter(
        f"{questions} has the splits {', '.join(sorted(names)) or 'none'}; name one to {purpose}, and keep another to measure on",
        param_hint="--split",
    )

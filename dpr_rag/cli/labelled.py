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
from dpr_rag.faces import message_of
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import Store
    from dpr_rag.corpora import Judgement, LeftOut, Question


class By(StrEnum):
    """What makes a passage right."""

    auto = "auto"
    answer = "answer"
    passage = "passage"


_HELP = "Questions with answers or known passages: DPR's tab-separated file, JSON, CSV, TREC topics, or a BEIR folder."
Questions = Annotated[
    Path,
    typer.Argument(
        metavar="QUESTIONS",
        help=_HELP,
        show_default=False,
        parser=place_of,
    ),
]
LabelledQuestions = Annotated[
    Path | None,
    typer.Argument(metavar="[QUESTIONS]", help=_HELP, show_default=False, parser=place_of),
]
ByChoice = Annotated[
    By, typer.Option("--by", help="What makes a passage right: an answer in its text, or its id being known.")
]
Regex = Annotated[bool, typer.Option("--regex", help="Answers are regular expressions, as in CuratedTREC.")]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Of a BEIR folder: its qrels (default: test).")
]
Qrels = Annotated[
    Path | None,
    typer.Option(
        "--qrels",
        metavar="FILE",
        help="Judgements of the questions: TREC's four columns, or BEIR's three.",
        parser=place_of,
    ),
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


def read_labelled(
    path: Path, split: str | None, limit: int | None, by: By, *, qrels: Path | None = None, zeros: bool = False
) -> Labelled:
    """Read the questions, how relevant which passages are, and what the questions can be judged by.

    Args:
        path: The questions, or a BEIR folder.
        split: Of a folder.
        limit: The first questions only.
        by: What makes a passage right; judgements of their own make it the passage.
        qrels: Judgements of the questions, in place of a folder's.
        zeros: Whether to take questions of which no passage is judged relevant, too.

    Raises:
        EvaluationError: There is no question, or they cannot be judged.
    """
    from dpr_rag.corpora import LeftOut, read_qrels, read_questions
    from dpr_rag.corpora.lines import told
    from dpr_rag.corpora.questions import qrels_of, unread
    from dpr_rag.evaluation import judge_for

    left_out = LeftOut()
    found = read_questions(path, split=split, qrels=qrels, zeros=zeros and by != By.answer, left_out=left_out)
    asked = list(islice(found, limit))
    if left_out and not asked:
        raise EvaluationError(f"{path}: no question is left: {told(left_out)}; name another --split, or judge some")
    judged = qrels or (qrels_of(path, split) if path.is_dir() else None)
    judgements = list(read_qrels(judged)) if judged else []
    try:
        wanted = By.passage if qrels is not None and by == By.auto else by
        chosen = judge_for(asked, wanted.value, judged={one.question_id for one in judgements})
    except EvaluationError as error:
        raise EvaluationError(f"{path}: " + message_of(error) + _not_read(unread(path))) from error
    return Labelled(asked, judgements if chosen == "passage" else [], chosen, left_out)


def _not_read(names: Sequence[str]) -> str:
    from dpr_rag.corpora.columns import listed

    return f"; not read were {listed(names)}" if names else ""


def note_missing(store: Store, asked: Sequence[Question]) -> None:
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

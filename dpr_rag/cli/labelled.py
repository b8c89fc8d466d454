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
from dpr_rag.cli.usage import parsing
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
        parser=parsing(place_of),
    ),
]
LabelledQuestions = Annotated[
    Path | None,
    typer.Argument(metavar="[QUESTIONS]", help=_HELP, show_default=False, parser=parsing(place_of)),
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
        parser=parsing(place_of),
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The first N questions only.")]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled questions as they were read.

    Attributes:
        questions: The questions.
        judgements: Judgements of passages, from a BEIR folder or ``--qrels``.
        by: What makes a passage right.
        left_out: Numbers of questions left out, by reason.
    """

    questions: list[Question]
    judgements: list[Judgement]
    by: Literal["answer", "passage"]
    left_out: LeftOut


def describe_questions(questions: Path, split: str | None, limit: int | None) -> str:
    """Describe for people which questions were asked."""
    parts = [str(questions)]
    if split is not None:
        parts.append(f"split {split}")
    if limit is not None:
        parts.append(f"the first {limit:,}")
    return ", ".join(parts)


def read_labelled(
    path: Path, split: str | None, limit: int | None, by: By, *, qrels: Path | None = None, zeros: bool = False
) -> Labelled:
    """Read labelled questions and their judgements, and decide what makes a passage right.

    Args:
        path: The questions, or a BEIR folder.
        split: Split of a BEIR folder.
        limit: Largest number of questions.
        by: What makes a passage right; with ``qrels``, ``auto`` is the passage's id.
        qrels: Judgements of the questions, in place of a folder's.
        zeros: Whether to include questions without a relevant passage.

    Raises:
        EvaluationError: There is no question, or they cannot be judged.
    """
    from dpr_rag.corpora import LeftOut, read_qrels, read_questions
    from dpr_rag.corpora.lines import told
    from dpr_rag.corpora.questions import qrels_of, unread
    from dpr_rag.evaluation import judge_for

    left_out = LeftOut()
    all_questions = read_questions(path, split=split, qrels=qrels, zeros=zeros and by != By.answer, left_out=left_out)
    chosen_questions = list(islice(all_questions, limit))
    if left_out and not chosen_questions:
        raise EvaluationError(f"{path}: no question is left: {told(left_out)}; name another --split, or judge some")
    qrels_file = qrels or (qrels_of(path, split) if path.is_dir() else None)
    judgements = list(read_qrels(qrels_file)) if qrels_file else []
    try:
        basis = By.passage if qrels is not None and by == By.auto else by
        judge = judge_for(chosen_questions, basis.value, judged={judgement.question_id for judgement in judgements})
    except EvaluationError as error:
        raise EvaluationError(f"{path}: " + message_of(error) + _not_read(unread(path))) from error
    return Labelled(chosen_questions, judgements if judge == "passage" else [], judge, left_out)


def _not_read(names: Sequence[str]) -> str:
    from dpr_rag.corpora.columns import listed

    return f"; not read were {listed(names)}" if names else ""


def note_missing(store: Store, questions: Sequence[Question]) -> None:
    """Note how many relevant passages are not in the store at all."""
    positive_ids = {name for question in questions for name in question.positive_ids}
    missing = positive_ids - {passage.id for passage in store.get(positive_ids)}
    if missing:
        note(
            f"{len(missing):,} of {len(positive_ids):,} positive_ids are not in the store (one is {min(missing)!r:.120})"
        )


def split_to_tune_on(
    questions: Path, split: str | None, *, order: Sequence[str] = ("dev", "train"), purpose: str = "tune on"
) -> str | None:
    """The split of a BEIR folder for tuning or training: never ``test`` unless it is named.

    Args:
        questions: The folder; a file has no splits.
        split: The split that was named.
        order: The splits to take if none was named, the preferred one first.
        purpose: What the split is for, in the message.

    Raises:
        typer.BadParameter: None was named, and the folder has none of ``order``.
    """
    from dpr_rag.corpora.questions import split_files, split_name

    if split is not None or not questions.is_dir():
        return split
    names = {split_name(file) for file in split_files(questions)[0]}
    for name in order:
        if name in names:
            return name
    raise typer.BadParameter(
        f"{questions} has the splits {', '.join(sorted(names)) or 'none'}; name one to {purpose}, and keep another to measure on",
        param_hint="--split",
    )

"""What makes a passage right for a question: that it holds an answer, or that it is known by its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from dpr_rag.arguments import check_instance, iterated
from dpr_rag.corpora import Judgement, Question
from dpr_rag.errors import EvaluationError, unknown
from dpr_rag.evaluation.answers import has_answer
from dpr_rag.evaluation.results import Asked, By
from dpr_rag.passages import Hit, Passage

Choice = Literal["auto", "answer", "passage"]
Grades = Mapping[str, Mapping[str, int]]
_FIELDS: dict[By, str] = {"answer": "answers", "passage": "positive_ids"}


def questions_of(given: Iterable[Question]) -> list[Question]:
    """All questions that were given.

    Raises:
        EvaluationError: One is none.
    """
    advice = "; make one with Question(id, question, answers), or read a file with read_questions()"
    asked = list(iterated("questions", given, "a list of Questions", error=EvaluationError, one=advice[2:]))
    for one in asked:
        check_instance("one of questions", one, Question, EvaluationError, advice=advice)
    return asked


def judge_for(questions: Sequence[Question], by: Choice = "auto", *, judged: Collection[str] = ()) -> By:
    """What the questions can be judged by; ``auto`` takes the first of answers and passages that all of them have.

    Args:
        questions: With answers or ``positive_ids``.
        by: What was asked for.
        judged: Ids of questions of which passages were judged: where none is relevant they count as lost, as trec_eval does.

    Raises:
        EvaluationError: There are no questions, two with one id, or some that cannot be judged so.
    """
    if by not in get_args(Choice):
        raise EvaluationError(unknown("by", by, get_args(Choice)))
    if not questions:
        raise EvaluationError("there are no questions; expected at least one with answers or positive_ids")
    name, times = Counter(question.id for question in questions).most_common(1)[0]
    if times > 1:
        raise EvaluationError(f"{times} questions have the id {name!r:.120}; rename them")
    candidates: tuple[By, ...] = get_args(By) if by == "auto" else (by,)
    lacking = {one: [item.id for item in questions if not getattr(item, _FIELDS[one])] for one in candidates}
    if len(lacking.get("passage", questions)) < len(questions):
        lacking["passage"] = [name for name in lacking["passage"] if name not in judged]
    for one, ids in lacking.items():
        if not ids:
            return one
    if "passage" in lacking and set(lacking["passage"]) <= set(judged):
        raise EvaluationError(
            f"every judgement of the {len(questions):,} questions is 0 or less, so no passage is right for any of them; "
            "judge at least one with 1 or more"
        )
    raise EvaluationError(
        " and ".join(_lack(_FIELDS[one], ids, len(questions)) for one, ids in lacking.items())
        + "; every question needs answers, or every one positive_ids: add them, or leave those questions out"
    )


def _lack(field: str, ids: Sequence[str], count: int) -> str:
    return f"{len(ids):,} of {count:,} questions have no {field} (the first is {ids[0]!r:.120})"


def judged(question: Question, hits: Sequence[Hit], by: By, *, regex: bool = False) -> Asked:
    """Hits with whether each is right: its text holds an answer, or its id is one of the ``positive_ids``."""
    right = tuple(is_right(question, hit.passage, by, regex=regex) for hit in hits)
    return Asked(question, tuple(hits), right)


def is_right(question: Question, passage: Passage, by: By, *, regex: bool = False) -> bool:
    """Whether a passage's text holds an answer, or its id is one of the ``positive_ids``."""
    if by == "answer":
        return has_answer(question.answers, passage.text, regex=regex)
    return passage.id in question.positive_ids


def grades_of(questions: Iterable[Question], judgements: Iterable[Judgement]) -> Grades:
    """How relevant which passage is to which question: as judged, and 1 for ``positive_ids`` that nobody judged."""
    grades = {question.id: dict.fromkeys(question.positive_ids, 1) for question in questions}
    for one in judgements:
        if one.question_id in grades:
            grades[one.question_id][one.passage_id] = max(one.relevance, 0)  # trec_eval knows none below 0
    return grades


def without_own(question: Question, hits: Sequence[Hit], grades: Grades) -> list[Hit]:
    """Hits without the one whose id is the question's, as BEIR leaves it out, unless it is known to be relevant.

    In ArguAna and Quora questions are passages of the corpus themselves.
    """
    if grades.get(question.id, {}).get(question.id, 0) > 0:
        return list(hits)
    kept = [hit for hit in hits if hit.passage.id != question.id]
    return list(hits) if len(kept) == len(hits) else [replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)]

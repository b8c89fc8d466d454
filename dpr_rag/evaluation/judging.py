"""Relevance judgements: a passage is right if it holds an answer, or if its id is one of the question's ``positive_ids``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from dpr_rag.arguments import check_instance, iterated
from dpr_rag.corpora import Judgement, Question
from dpr_rag.errors import EvaluationError, unknown
from dpr_rag.evaluation.answers import has_answer
from dpr_rag.evaluation.results import By, QuestionResult
from dpr_rag.passages import Hit, Passage

Choice = Literal["auto", "answer", "passage"]
Grades = Mapping[str, Mapping[str, int]]
_FIELDS: dict[By, str] = {"answer": "answers", "passage": "positive_ids"}


def questions_of(given: Iterable[Question]) -> list[Question]:
    """Check that all items are ``Question`` objects, and return them as a list.

    Raises:
        EvaluationError: One is not.
    """
    advice = "make one with Question(id, question, answers), or read a file with read_questions()"
    questions = list(iterated("questions", given, "a list of Questions", error=EvaluationError, advice=advice))
    for question in questions:
        check_instance("one of questions", question, Question, EvaluationError, advice=f"; {advice}")
    return questions


def judge_for(questions: Sequence[Question], by: Choice = "auto", *, judged: Collection[str] = ()) -> By:
    """Choose between answers and passages to judge by; ``auto`` takes answers if all questions have them, else passages.

    Args:
        questions: The questions, with answers or ``positive_ids``.
        by: The caller's choice.
        judged: Ids of questions with judgements; without a relevant passage they count as failures, as in trec_eval.

    Raises:
        EvaluationError: There are no questions, two have the same id, or some cannot be judged this way.
    """
    if by not in get_args(Choice):
        raise EvaluationError(unknown("by", by, get_args(Choice)))
    if not questions:
        raise EvaluationError("there are no questions; expected at least one with answers or positive_ids")
    name, times = Counter(question.id for question in questions).most_common(1)[0]
    if times > 1:
        raise EvaluationError(f"{times} questions have the id {name!r:.120}; rename them")
    candidates: tuple[By, ...] = get_args(By) if by == "auto" else (by,)
    lacking = {judge: [item.id for item in questions if not getattr(item, _FIELDS[judge])] for judge in candidates}
    if len(lacking.get("passage", questions)) < len(questions):
        lacking["passage"] = [name for name in lacking["passage"] if name not in judged]
    for judge, ids in lacking.items():
        if not ids:
            return judge
    if "passage" in lacking and set(lacking["passage"]) <= set(judged):
        raise EvaluationError(
            f"every judgement of the {len(questions):,} questions is 0 or less, so no passage is right for any of them; "
            "judge at least one with 1 or more"
        )
    raise EvaluationError(
        " and ".join(_lack(_FIELDS[judge], ids, len(questions)) for judge, ids in lacking.items())
        + "; every question needs answers, or every one positive_ids: add them, or leave those questions out"
    )


def _lack(field: str, ids: Sequence[str], count: int) -> str:
    return f"{len(ids):,} of {count:,} questions have no {field} (the first is {ids[0]!r:.120})"


def judged(question: Question, hits: Sequence[Hit], by: By, *, regex: bool = False) -> QuestionResult:
    """The result of a question: its hits, and whether each is right, see :func:`is_right`."""
    right = tuple(is_right(question, hit.passage, by, regex=regex) for hit in hits)
    return QuestionResult(question, tuple(hits), right)


def is_right(question: Question, passage: Passage, by: By, *, regex: bool = False) -> bool:
    """Whether a passage's text holds an answer, or its id is one of the ``positive_ids``."""
    if by == "answer":
        return has_answer(question.answers, passage.text, regex=regex)
    return passage.id in question.positive_ids


def grades_of(questions: Iterable[Question], judgements: Iterable[Judgement]) -> Grades:
    """Relevance grades by question id and passage id: as judged, and 1 for ``positive_ids`` without a judgement."""
    grades = {question.id: dict.fromkeys(question.positive_ids, 1) for question in questions}
    for judgement in judgements:
        if judgement.question_id in grades:  # trec_eval has no grades below 0
            grades[judgement.question_id][judgement.passage_id] = max(judgement.relevance, 0)
    return grades


def without_own(question: Question, hits: Sequence[Hit], grades: Grades) -> list[Hit]:
    """The hits without the one that has the question's id, unless it is judged relevant; as in BEIR.

    Questions of ArguAna and Quora are passages of the corpus.
    """
    if grades.get(question.id, {}).get(question.id, 0) > 0:
        return list(hits)
    kept = [hit for hit in hits if hit.passage.id != question.id]
    return list(hits) if len(kept) == len(hits) else [replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)]

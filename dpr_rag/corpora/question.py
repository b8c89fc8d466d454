"""One question of an evaluation set, and how JSON holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dpr_rag.corpora.lines import id_of
from dpr_rag.errors import CorpusError
from dpr_rag.passages import check_question


@dataclass(frozen=True, slots=True)
class Question:
    """One question of an evaluation set.

    Attributes:
        id: The file's id, or the line where the question starts in files without ids.
        question: The question.
        answers: Its answers; for CuratedTREC these are regular expressions.
        positive_ids: Ids of the passages that answer it, where they are known.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    positive_ids: tuple[str, ...] = ()


def question_of(item: dict[str, Any], line: int) -> Question:
    """Return the question that a JSON object holds.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: The question is blank or no text.
    """
    known = item.get("id", item.get("_id"))
    ids = item.get("positive_ids") or []
    if not isinstance(ids, list):
        raise CorpusError(f"positive_ids is {ids!r:.60}, expected a list of ids")
    return Question(
        str(line) if known is None else id_of(known),
        check_question(item.get("question")),
        strings(item.get("answers"), "answers"),
        tuple(id_of(entry, "positive id") for entry in ids),
    )


def question_object(question: Question) -> dict[str, Any]:
    """Return the JSON object that holds a question."""
    return {
        "id": question.id,
        "question": question.question,
        "answers": list(question.answers),
        "positive_ids": list(question.positive_ids),
    }


def strings(value: object, name: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple; None is the empty one.

    Raises:
        CorpusError: It is anything else.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise CorpusError(f"{name} is {value!r:.60}, expected a list of strings")
    return tuple(value)

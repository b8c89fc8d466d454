"""Questions with their answers: DPR's tab-separated files and JSONL."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_rag.corpora.arrays import read_objects
from dpr_rag.corpora.lines import OnBad, bad_line, id_of, tell, write_objects, writing
from dpr_rag.corpora.tabular import quoted, read_rows
from dpr_rag.errors import CorpusError, PassageError
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


def read_questions(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Question]:
    """Read questions from DPR's tab-separated files or from JSON.

    Files named ``.json`` or ``.jsonl`` hold ``{"id", "question", "answers", "positive_ids"}``, of which only the
    question is needed; all others ``question <tab> ["answer", …]`` as in ``nq-test.qa.csv``, where the list is read
    as a Python literal and nothing is evaluated.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad questions; None raises the first.

    Yields:
        The questions, in the file's order.

    Raises:
        CorpusError: A bad question, with the file's name and the line where it starts.
    """
    path = Path(path)
    if _is_json(path):
        yield from read_objects(path, question_of, on_bad)
        return
    for line, row in read_rows(path, on_bad=on_bad):
        try:
            question = _of_row(row, line)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield question


def _is_json(path: Path) -> bool:
    return bool({".json", ".jsonl"} & set(path.suffixes))


def _of_row(row: list[str], line: int) -> Question:
    if len(row) != 2:
        raise CorpusError(f"{len(row)} columns, expected 2: the question, a tab and a list of answers")
    return Question(str(line), check_question(row[0]), _literal(row[1]))


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


def _literal(text: str) -> tuple[str, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuratedTREC's answers are regular expressions such as "a\s?b"
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise CorpusError(f"the answers {text!r:.60} are no list of strings ({error})") from error
    return strings(list(value) if isinstance(value, list | tuple) else [value], "answers")


def write_questions(path: str | Path, questions: Iterable[Question]) -> int:
    """Write questions in the form that :func:`read_questions` expects of the name, and return how many.

    Files named ``.json`` or ``.jsonl`` get one object a line; all others DPR's ``question <tab> ["answer", …]``, whose
    answers are a Python literal and JSON at once. That form has no ids: on reading, a question has its line's number.
    A name that ends in ``.gz`` is gzipped.

    Raises:
        CorpusError: The file cannot be written, or its form cannot hold a question: DPR's holds no blank question, no
            tab or line break in one, and no positive ids.
    """
    path = Path(path)
    if _is_json(path):
        return write_objects(path, map(question_object, questions))
    count = 0
    with writing(path) as file:
        for question in questions:
            file.write(_row_of(path, question))
            count += 1
    return count


def _row_of(path: Path, question: Question) -> str:
    try:
        text = check_question(question.question)
    except PassageError as error:
        raise CorpusError(f"{path}: question {question.id!r:.120}: {error}") from error
    if any(char in text for char in "\t\r\n") or question.positive_ids:
        what = "positive ids" if question.positive_ids else "a tab or a line break"
        raise CorpusError(
            f"{path}: question {question.id!r:.120} has {what}, which DPR's tab-separated form cannot hold; write to a "
            "name that ends in .jsonl"
        )
    return f"{quoted(text)}\t{json.dumps(question.answers, ensure_ascii=False)}\n"


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

"""Question sets that others keep in one JSON object: SQuAD's and TriviaQA's own files, LlamaIndex's, DeepEval's goldens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dpr_rag.corpora.json_files import member, read_json
from dpr_rag.corpora.lines import LeftOut, OnBad, bad_line, read_lines, tell
from dpr_rag.corpora.question import Question, question_of, strings, text_of
from dpr_rag.corpora.values import expect_object
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.faces import message_of
from dpr_rag.passages import check_question

_LISTS = ("examples", "goldens", "test_cases", "testCases", "data", "Data")
_BEGINS = re.compile(
    rb'\s*\{\s*(?:"version"\s*:\s*(?:"[^"]*"|[\d.]+)\s*,\s*)?'
    rb'"(examples|goldens|test_cases|testCases|queries|data)"\s*:\s*[\[{]',
    re.IGNORECASE,
)
UNANSWERABLE = "that nothing answers (is_impossible)"


def holds_question_set(path: Path) -> bool:
    """Whether a file begins like one of these objects."""
    head = b""
    for number, line in read_lines(path):
        head += line[:200] + b"\n"
        if number == 4:
            break
    return _BEGINS.match(head) is not None


def read_question_set(path: Path, on_bad: OnBad, left_out: LeftOut) -> Iterator[Question]:
    """Read the questions of such an object; of LlamaIndex's pairs for embedding models, the passages' ids are its own.

    SQuAD's questions lie under ``data``, ``paragraphs`` and ``qas``; those of its second version that nothing answers are
    left out and counted.

    Raises:
        CorpusError: It is damaged, or a question is.
    """
    whole = read_json(path)
    name = next((key for key in _LISTS if key in whole), None)
    if name is None:
        yield from _of_pairs(path, whole, on_bad)
        return
    number = 0
    for place, item in _items(path, name, member(path, whole, name, list)):
        number += 1
        try:
            record = expect_object(item)
            question = question_of(record, number)
        except (CorpusError, PassageError) as error:
            tell(on_bad, CorpusError(f"{path}: {place}: " + message_of(error)))
            continue
        if record.get("is_impossible") is True and not question.answers:
            left_out[UNANSWERABLE] += 1
        else:
            yield question


def _items(path: Path, name: str, items: list[Any]) -> Iterator[tuple[str, Any]]:
    """The items that may be questions, or those of their paragraphs, each with its path in the file."""
    for number, item in enumerate(items):
        place = f"{name}[{number}]"
        if not (isinstance(item, dict) and "paragraphs" in item):
            yield place, item
            continue
        for row, paragraph in enumerate(member(path, item, "paragraphs", list)):
            within = f"{place}.paragraphs[{row}]"
            if not isinstance(paragraph, dict):
                raise CorpusError(f"{path}: {within} is {paragraph!r:.60}, expected an object with context and qas")
            for at, question in enumerate(member(path, paragraph, "qas", list)):
                yield f"{within}.qas[{at}]", question


def _of_pairs(path: Path, whole: Mapping[str, Any], on_bad: OnBad) -> Iterator[Question]:
    """``EmbeddingQAFinetuneDataset``: ``queries`` and ``relevant_docs`` by id."""
    judged = member(path, whole, "relevant_docs", dict)
    for number, (name, text) in enumerate(member(path, whole, "queries", dict).items(), 1):
        try:
            question = Question(
                text_of(name, "queries"), check_question(text), (), strings(judged.get(name), "relevant_docs")
            )
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            yield question

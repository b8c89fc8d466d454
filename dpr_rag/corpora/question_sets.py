"""Question sets that other projects keep in one JSON object: LlamaIndex's data sets, DeepEval's goldens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dpr_rag.corpora.lines import OnBad, bad_line, read_lines, tell
from dpr_rag.corpora.question import Question, question_of, strings
from dpr_rag.corpora.values import expect_object
from dpr_rag.corpora.whole import member, read_json
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import check_question

_LISTS = ("examples", "goldens", "test_cases", "testCases")
_BEGINS = re.compile(rb'\s*\{\s*"(examples|goldens|test_cases|testCases|queries)"\s*:\s*[\[{]')


def holds_question_set(path: Path) -> bool:
    """Whether a file begins as such an object does."""
    head = b""
    for number, line in read_lines(path):
        head += line[:200] + b"\n"
        if number == 4:
            break
    return _BEGINS.match(head) is not None


def read_question_set(path: Path, on_bad: OnBad) -> Iterator[Question]:
    """Read the questions of such an object; of LlamaIndex's pairs for embedding models, the passages' ids are its own.

    Raises:
        CorpusError: It is damaged, or a question is.
    """
    whole = read_json(path)
    name = next((one for one in _LISTS if one in whole), None)
    if name is None:
        yield from _of_pairs(path, whole, on_bad)
        return
    for number, item in enumerate(member(path, whole, name, list), 1):
        try:
            question = question_of(expect_object(item), number)
        except (CorpusError, PassageError) as error:
            tell(on_bad, CorpusError(f"{path}: {name}[{number - 1}]: {error}"))
        else:
            yield question


def _of_pairs(path: Path, whole: Mapping[str, Any], on_bad: OnBad) -> Iterator[Question]:
    """``EmbeddingQAFinetuneDataset``: ``queries`` and ``relevant_docs`` by id."""
    judged = member(path, whole, "relevant_docs", dict)
    for number, (name, asked) in enumerate(member(path, whole, "queries", dict).items(), 1):
        try:
            question = Question(name, check_question(asked), (), strings(judged.get(name), "relevant_docs"))
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            yield question

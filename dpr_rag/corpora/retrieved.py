"""The passages in files of questions with retrieved passages: FiD's inputs and DPR's results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_rag.corpora.arrays import read_objects
from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.records import Found, Reading
from dpr_rag.corpora.tabular import fields_of
from dpr_rag.errors import CorpusError
from dpr_rag.faces import message_of
from dpr_rag.passages import Passage

_CTXS = "ctxs"
_OF_THE_QUESTION = ("score", "has_answer")


def holds_ctxs(file: Path) -> bool:
    """Whether the first object of a JSON file has passages under ``ctxs``."""
    try:
        return next(read_objects(file, lambda item, _: isinstance(item.get(_CTXS), list), None), False)
    except CorpusError:
        return False  # the reader says what is wrong


def passages_of_ctxs(file: Path, reading: Reading) -> Iterator[Found]:
    """Read the passages under ``ctxs`` of all questions, an object a passage, each with the line of its question.

    Score and ``has_answer`` belong to the question and are left out; a passage that several questions have comes as often.

    Args:
        file: A JSON array or JSONL, plain or gzipped.
        reading: How to read it.

    Raises:
        CorpusError: A bad passage, with the file's name and the line where its question starts.
    """
    with Maker.counting(file, reading.left_out, reading.on_bad_text) as maker:
        for line, passages in read_objects(
            file, lambda item, line: (line, list(_passages(item, reading, maker))), reading.on_bad
        ):
            yield from (Found(passage, file, f"{file}:{line}") for passage in passages)


def _passages(item: dict[str, Any], reading: Reading, maker: Maker) -> Iterator[Passage]:
    entries = item.get(_CTXS)
    if not isinstance(entries, list):
        raise CorpusError(f"ctxs is {entries!r:.60}, expected a list of objects with id, title and text")
    for at, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise CorpusError(f"passage {at} of ctxs is {entry!r:.60}, expected an object with id, title and text")
        own = {key: value for key, value in entry.items() if key not in _OF_THE_QUESTION}
        try:
            passage = maker.make(*fields_of(own, reading.columns))
        except CorpusError as error:
            raise CorpusError(f"passage {at} of ctxs: " + message_of(error)) from error
        if passage is not None:
            yield passage

"""Runs and judgements as one JSON object, question to passage to number, as ranx, pytrec_eval, BEIR and MTEB write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dpr_rag.arguments import kind
from dpr_rag.corpora.json_files import parsed_of
from dpr_rag.corpora.lines import decoded, read_lines
from dpr_rag.corpora.magic import refuse_pipe
from dpr_rag.errors import CorpusError
from dpr_rag.faces import message_of

_BEGINNING = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{')
_LOOKED_AT = 10


def is_nested(path: Path) -> bool:
    """Whether a file begins as an object of objects, and not as a record with passages under ``ctxs``."""
    refuse_pipe(path)  # it is read again
    lines = (line for _, line in read_lines(path) if line.strip())
    head = b"\n".join(line for line, _ in zip(lines, range(_LOOKED_AT), strict=False))
    return _BEGINNING.match(head) is not None and b'"ctxs"' not in head


def read_nested(path: Path) -> Iterator[tuple[str, str, int | float]]:
    """Read such a file as triples of a question's id, a passage's id and a number.

    Raises:
        CorpusError: It is no JSON, or no such object.
    """
    data = b"\n".join(line for _, line in read_lines(path))
    try:
        text = decoded(data)
    except CorpusError as error:
        raise CorpusError(f"{path}: " + message_of(error)) from error
    questions = parsed_of(f"{path}:", text)
    if not isinstance(questions, dict):
        raise CorpusError(f"{path}: holds {kind(questions)}, expected an object of objects by the questions' ids")
    for question, passages in questions.items():
        if not isinstance(passages, dict):
            raise CorpusError(
                f"{path}: {question!r:.120} has {passages!r:.60}, expected an object of numbers by the passages' ids"
            )
        for passage, number in passages.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise CorpusError(
                    f"{path}: {question!r:.120} has {number!r:.60} for {passage!r:.120}, expected a number"
                )
            yield question, passage, number

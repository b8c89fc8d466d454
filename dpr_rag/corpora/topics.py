"""Questions without answers: TREC's topics, and tables of an id and a question, as MS MARCO's queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dpr_rag.corpora.lines import OnBad, bad_line, decoded, read_lines, tell
from dpr_rag.corpora.question import Question
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import check_question

OPENING = "<top>"
_CLOSING = "</top>"
_NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*(?:Topic:)?([^<]*)", re.IGNORECASE)


def read_topics(path: Path, on_bad: OnBad) -> Iterator[Question]:
    """Read TREC's topics, ``<top>`` with ``<num>`` and ``<title>``; the title is the question.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad topics; None raises the first.

    Raises:
        CorpusError: A topic without number or title, with the file's name and the line where it starts.
    """
    start, lines = 0, list[str]()
    for number, line in read_lines(path):
        try:
            text = decoded(line)
            if text.strip().lower().startswith(OPENING):
                start, lines = number, []
            lines.append(text)
            found = _topic("\n".join(lines)) if _CLOSING in text.lower() and start else None
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, start or number, error))
        else:
            if found is not None:
                start, lines = 0, []
                yield found


def _topic(text: str) -> Question:
    number, title = _NUMBER.search(text), _TITLE.search(text)
    if number is None or title is None:
        raise CorpusError(f"the topic has no {'<title>' if number else '<num>'}; add it")
    return Question(number[1], check_question(" ".join(title[1].split())))


def is_query(line: str) -> bool:
    """Whether a line is an id (with a digit), a tab and a question without answers, as MS MARCO's ``queries.dev.tsv`` has."""
    name, tab, text = line.partition("\t")
    is_id = len(name.split()) == 1 and any(char.isdigit() for char in name)
    return bool(tab) and "\t" not in text and is_id and not text.lstrip().startswith(("[", "(", "'", '"'))


def read_queries(path: Path, on_bad: OnBad) -> Iterator[Question]:
    """Read a table of ids and questions; quotation marks are text.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad lines; None raises the first.

    Raises:
        CorpusError: A bad line, with the file's name and its number.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            question = _query(decoded(line))
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            yield question


def _query(line: str) -> Question:
    cells = line.split("\t")
    if len(cells) != 2 or not cells[0].strip():
        raise CorpusError(f"{len(cells)} columns, expected 2: an id, a tab and the question")
    return Question(cells[0].strip(), check_question(cells[1].strip()))

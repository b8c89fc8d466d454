"""Questions without answers: TREC's topics, and tables of an id and a question, as MS MARCO's queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from dpr_rag.corpora.lines import OnBad, bad_line, decoded, read_lines, tell
from dpr_rag.corpora.question import Question
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import check_question

_FIRST = re.compile(r"<(?:top(?:ics?)?\b|queries\b|\?xml\b|!doctype\b)", re.IGNORECASE)
# A topic, in TREC's form or as XML; <query> is one where it stands alone, elsewhere a part of one.
_OPENING = re.compile(r"\s*<(top|topic)(?:\s[^>]*)?>", re.IGNORECASE)
_ALONE = re.compile(r"\s*<(query)>\s*", re.IGNORECASE)
_NUMBER = re.compile(
    r"<num>\s*(?:Number:)?\s*([^\s<]+)|<top(?:ic)?\s[^>]*?number\s*=\s*[\"'](\S+?)[\"']|<qid>\s*([^\s<]+)",
    re.IGNORECASE,
)
_ASKED = tuple(
    re.compile(rf"<{tag}>\s*(?:Topic:)?([^<]*)", re.IGNORECASE) for tag in ("question", "title", "content", "query")
)
# Where a topic has no parts, what it holds is asked, as in the Clinical Trials tracks.
_WHOLE = re.compile(r"\s*<topic\s[^>]*>([^<]*)</topic>\s*", re.IGNORECASE)


def holds_topics(first: str) -> bool:
    """Whether the first line of a file is one of topics."""
    return _FIRST.match(first) is not None


def read_topics(path: Path, on_bad: OnBad) -> Iterator[Question]:
    """Read TREC's topics: ``<top>`` with ``<num>`` and ``<title>``, or XML of ``<topic number=…>`` or ``<query>``.

    What is asked stands under ``question``, ``title``, ``content`` or ``query``, the first that is there, or is all that a
    topic holds. The file is read as lines, not as XML: nothing that it declares counts.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad topics; None raises the first.

    Raises:
        CorpusError: A topic without number or question, with the file's name and the line where it starts; no topic at all.
    """
    start, lines, closing, count = 0, list[str](), "", 0
    for number, line in read_lines(path):
        try:
            text = decoded(line)
            opening = _OPENING.match(text) or (None if start else _ALONE.fullmatch(text))
            if opening:
                start, lines, closing = number, [], f"</{opening[1].lower()}>"
                count += 1
            lines.append(text)
            topic = _topic("\n".join(lines)) if start and closing in text.lower() else None
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, start or number, error))
            start = 0
        else:
            if topic is not None:
                start = 0
                yield topic
    if not count:
        raise CorpusError(f"{path}: holds no topics, neither <top> nor <topic>; give a file of questions")


def _topic(text: str) -> Question:
    number, question = (
        _NUMBER.search(text),
        next(filter(None, (pattern.search(text) for pattern in _ASKED)), _WHOLE.fullmatch(text)),
    )
    if number is None or question is None:
        raise CorpusError(f"the topic has no {'<title>' if number else '<num>'}; add it")
    return Question(next(filter(None, number.groups())), check_question(" ".join(unescape(question[1]).split())))


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

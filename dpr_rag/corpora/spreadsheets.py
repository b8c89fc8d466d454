"""Questions out of a spreadsheet: CSV under a header with the columns ``question`` and ``answers``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from dpr_rag.corpora.cells import parts_of
from dpr_rag.corpora.columns import listed
from dpr_rag.corpora.lines import BARE_RETURNS, OnBad, bad_line, has_bare_returns, read_lines, tell
from dpr_rag.corpora.magic import refuse_pipe
from dpr_rag.corpora.question import ANSWERS, IDS, POSITIVES, QUESTIONS, Question, key_of
from dpr_rag.corpora.rows import Lines, Shape, header_of, read_rows
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import check_question

_DELIMITERS = ",;\t"


def delimiter_of(header: str) -> str | None:
    """The delimiter of a spreadsheet of questions; None if its first line is no header with the expected columns."""
    for delimiter in _DELIMITERS:
        names = names_in(header.split(delimiter))
        if key_of(QUESTIONS, names) and key_of((*ANSWERS, *POSITIVES, *IDS), names):
            return delimiter
    return None


def no_questions(first: str) -> str:
    """The error for a file whose first line is neither a known header nor a row of DPR's."""
    cells = max((first.split(delimiter) for delimiter in _DELIMITERS), key=len)
    return (
        f"the first row is {listed([cell.strip() for cell in cells])}; expected a header with the columns question and "
        "answers, or positive_ids, in CSV; or DPR's form, a question, a tab and a list of answers"
    )


def names_in(cells: list[str]) -> list[str]:
    """The names of columns, without quotes and in lower case."""
    return [cell.strip().strip('"').strip().lower() for cell in cells]


def read_spreadsheet(path: Path, delimiter: str, *, on_bad: OnBad = None) -> Iterator[Question]:
    """Read questions from CSV, in the quoting of Excel and LibreOffice.

    Columns are found by their names: ``question``, ``answers``, ``positive_ids``, ``id`` or others that are usual for
    them (``query``, ``answer``, ``qid``); all else is passed over. Answers, and ids, of one cell are separated by ``|``, or
    are a list as JSON, Python or numpy write it. A question without an id is called by the line where it starts.

    Args:
        path: The file, possibly gzipped.
        delimiter: Between the columns, see :func:`delimiter_of`.
        on_bad: Takes the errors of bad rows; None raises the first.

    Raises:
        CorpusError: A bad row, with the file's name and the line where it starts.
    """
    lines = Lines(path)
    names = read_header(lines, delimiter, QUESTIONS, ANSWERS, POSITIVES, IDS)
    question_column = key_of(QUESTIONS, names) or ""
    answered = [at for at, name in enumerate(names) if name in {*ANSWERS, *POSITIVES}]
    shape = Shape(
        len(names),
        (names.index(question_column), *answered[:1]),
        delimiter.encode(),
        ragged=True,
        strict=delimiter != "\t",
    )
    for line, row in read_rows(lines, shape, on_bad=on_bad):
        if not any(row) or names_in(row) == names:  # a header again, of the next file joined by cat
            continue
        try:
            question = _question(names, row, line)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield question


def read_header(lines: Lines, delimiter: str, *usual: Sequence[str]) -> list[str]:
    """Read lines up to the header, and return the names of its columns.

    Args:
        lines: The lines of the file.
        delimiter: Between the columns.
        *usual: The names of each column that is read.

    Raises:
        CorpusError: It names a column twice that is read.
    """
    for number, line in lines:
        if line.strip():
            names = names_in(header_of(line, delimiter.encode()))
            if twice := [name for name in (key_of(known, names) for known in usual) if name and names.count(name) > 1]:
                raise bad_line(lines.path, number, f"the header names the column {twice[0]!r} twice; rename one")
            return names
    return []


def _question(names: list[str], row: list[str], line: int) -> Question:
    if len(row) > len(names):
        raise CorpusError(f"{len(row)} cells, expected {len(names)}; put quotes around a cell that holds the delimiter")
    cells = dict.fromkeys(names, "") | dict(zip(names, row, strict=False))
    name, question, answers, positives = (key_of(usual, names) or "" for usual in (IDS, QUESTIONS, ANSWERS, POSITIVES))
    return Question(
        cells.get(name, "").strip() or str(line),
        check_question(cells.get(question, "").strip()),
        parts_of(cells.get(answers, "")),
        parts_of(cells.get(positives, "")),
    )


def first_line(path: Path) -> str:
    """The first line that is not blank, as far as it is text; for telling forms of files apart.

    Raises:
        UnreadableError: It is a pipe, or cannot be read.
    """
    refuse_pipe(path)
    lines = (line.decode("utf-8", "replace").strip() for _, line in islice(read_lines(path), 1000))
    return next((line for line in lines if line), "")


def refuse_bare_returns(path: Path) -> None:
    """Refuse a table whose lines end by a carriage return alone: all of them would be one, its header.

    Raises:
        CorpusError: Unquoted returns stand in its only line.
    """
    filled = ((number, line) for number, line in islice(read_lines(path, ends=True), 1000) if line.strip())
    number, first = next(filled, (0, b""))
    if has_bare_returns(first) and not first.endswith(b"\n") and next(filled, None) is None:
        raise bad_line(path, number, BARE_RETURNS)

"""Triples of texts as tables: MS MARCO's question, positive and negative by tabs, and those of spreadsheets under a header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr_rag.arguments import is_blank
from dpr_rag.corpora.lines import OnBad, bad_line, tell
from dpr_rag.corpora.question import ANSWERS, POSITIVES, key_of
from dpr_rag.corpora.rows import Lines, Shape, read_rows
from dpr_rag.corpora.samples import (
    NEGATIVES_KEYS,
    POSITIVES_KEYS,
    QUESTION_KEYS,
    TrainingPassage,
    TrainingSample,
    is_numbered,
)
from dpr_rag.corpora.spreadsheets import delimiter_of, first_line, names_in, read_header, refuse_bare_returns
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import check_question

_PLAIN = ("question", "positive", "negative")


def is_triples(path: Path) -> bool:
    """Whether a file's first line is a header of triples, or three texts with tabs between them.

    Raises:
        CorpusError: Its lines end by a carriage return alone.
    """
    try:
        first = first_line(path)
    except CorpusError:
        return False  # its reader names the damage
    if first[:1] in ("{", "["):
        return False
    refuse_bare_returns(path)
    return _delimiter(first) is not None or _is_plain(first)


def _delimiter(first: str) -> str | None:
    """The delimiter of a header that names questions and positives."""
    for delimiter in "\t,;":
        names = names_in(first.split(delimiter))
        judged = key_of((*ANSWERS, *POSITIVES), names)  # then it is a spreadsheet of questions
        if key_of(QUESTION_KEYS, names) and key_of(POSITIVES_KEYS, names) and not judged:
            return delimiter
    return None


def _is_plain(first: str) -> bool:
    """Whether a line is one of MS MARCO's triples of texts, and not one of ids or of another known format."""
    cells = first.split("\t")
    known = delimiter_of(first) is not None or cells[-1].lstrip().startswith("[") or cells[0].strip().isdecimal()
    return len(cells) == 3 and not known and all(" " in cell.strip() for cell in cells[1:])


def read_triples(path: Path, on_bad: OnBad) -> Iterator[tuple[int, TrainingSample]]:
    """Read triples, each as a sample of its own, with the line where it starts.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad rows; None raises the first.

    Raises:
        CorpusError: A bad row, with the file's name and its line.
    """
    delimiter = _delimiter(first_line(path))
    lines = Lines(path)
    names = list(_PLAIN) if delimiter is None else read_header(lines, delimiter, QUESTION_KEYS, POSITIVES_KEYS)
    wanted = [names.index(key_of(keys, names) or "") for keys in (QUESTION_KEYS, POSITIVES_KEYS)]
    negatives = [at for at, name in enumerate(names) if name in NEGATIVES_KEYS or is_numbered(name)]
    shape = Shape(len(names), tuple(wanted), (delimiter or "\t").encode(), strict=delimiter not in (None, "\t"))
    for line, row in read_rows(lines, shape, on_bad=on_bad):
        if delimiter is not None and names_in(row) == names:
            continue  # a header again, of the next file joined by cat
        try:
            sample = _sample(row, wanted, negatives, len(names))
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield line, sample


def _sample(row: list[str], wanted: list[int], negatives: list[int], width: int) -> TrainingSample:
    if len(row) != width:
        raise CorpusError(f"{len(row)} columns, expected {width}: a question, a positive and a negative text")
    question, positive = (row[at] for at in wanted)
    if is_blank(positive):
        raise CorpusError("the positive is blank; expected its text")
    hard = tuple(TrainingPassage(row[at]) for at in negatives if not is_blank(row[at]))
    return TrainingSample(check_question(question), (), (TrainingPassage(positive),), hard, hard)

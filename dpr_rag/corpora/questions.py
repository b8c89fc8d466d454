"""Questions with their answers: the choice among the forms of their files, and DPR's own, tab-separated and JSON."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from logging import getLogger
from pathlib import Path

from dpr_rag.corpora.arrays import numbering, read_objects
from dpr_rag.corpora.beir import read_beir_questions
from dpr_rag.corpora.cells import is_numpy_list, parts_of
from dpr_rag.corpora.columns import listed
from dpr_rag.corpora.lines import LeftOut, OnBad, bad_line, tell, told, write_objects, writing
from dpr_rag.corpora.qrels import ZERO, read_qrels, with_judgements
from dpr_rag.corpora.question import ANSWERS, IDS, POSITIVES, QUESTIONS, Question, question_object, question_of, strings
from dpr_rag.corpora.question_sets import holds_question_set, read_question_set
from dpr_rag.corpora.rows import Shape, quoted, read_rows
from dpr_rag.corpora.spreadsheets import (
    delimiter_of,
    first_line,
    names_in,
    no_questions,
    read_spreadsheet,
    refuse_bare_returns,
)
from dpr_rag.corpora.topics import holds_topics, is_query, read_queries, read_topics
from dpr_rag.errors import CorpusError, PassageError, UnreadableError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.passages import check_question
from dpr_rag.paths import place_of

_log = getLogger(__name__)
_DPR = Shape(2, (0, 1))
_OF_JUDGEMENTS = (".txt", ".csv", ".json", ".jsonl", ".qrels", ".qrel", ".trec", ".tsv.zip", ".tsv.bz2", ".tsv.xz")


def read_questions(
    path: str | Path,
    *,
    split: str | None = None,
    qrels: str | Path | None = None,
    zeros: bool = False,
    on_bad: OnBad = None,
    left_out: LeftOut | None = None,
) -> Iterator[Question]:
    """Read questions in the form that the name or the content shows.

    - A folder is a BEIR one: ``queries.jsonl``, and ``qrels/{split}.tsv`` for the ``positive_ids``. Questions without
      a relevant passage in the split are left out.
    - JSON, as one array or one object a line: ``{"id", "question", "answers", "positive_ids"}``, of which only the
      question is needed, or with the keys of NQ-open, TriviaQA, SQuAD, KILT, Tevatron, RAGAS, DeepEval, LlamaIndex or
      LangSmith, and SQuAD's and TriviaQA's own files. Named ``.json`` or ``.jsonl``, or told by its first character.
      See :func:`~dpr_rag.corpora.question.question_of`.
    - A spreadsheet as CSV: under a header with the columns ``question`` and ``answers`` (or ``positive_ids``), several
      answers of a cell as a list or separated by ``|``. See :func:`~dpr_rag.corpora.spreadsheets.read_spreadsheet`.
    - TREC's topics, told by ``<top>``, or as XML; and MS MARCO's ``id <tab> question``, whose id has no space and which
      holds no list.
    - DPR's ``question <tab> ["answer", …]`` as in ``nq-test.qa.csv``: everything else. The list is read as a Python
      literal and nothing is evaluated.

    Args:
        path: The file, possibly gzipped, or the folder.
        split: For folders: name of a file in ``qrels/``; None takes ``test``, or the only one there is.
        qrels: For files: judgements of the questions, see :func:`~dpr_rag.corpora.read_qrels`.
        zeros: Whether to read questions of which no passage is judged relevant, too, as trec_eval counts them.
        on_bad: Takes the errors of bad questions; None raises the first.
        left_out: Takes the number of questions left out, by reason; None logs it as a warning.

    Yields:
        The questions, in the file's order.

    Raises:
        CorpusError: A bad question, with the file's name and the line where it starts.
    """
    path, counted = place_of(path), LeftOut() if left_out is None else left_out
    if path.is_dir():
        judged = None if qrels is not None else qrels_of(path, split)
        name = None if judged is None else split_name(judged)
        questions = read_beir_questions(path, split=name, on_bad=on_bad, left_out=counted)
        questions = questions if judged is None else _without_zeros(questions, zeros, counted)
    else:
        questions = _of_file(path, on_bad, counted)
    if qrels is not None:
        place = place_of(qrels)
        judgements = read_qrels(place, on_bad=on_bad)
        questions = with_judgements(questions, judgements, name=place.name, zeros=zeros, left_out=counted)
    yield from questions
    if counted and left_out is None:
        _log.warning("%s: left out questions: %s", path, told(counted))


def _without_zeros(questions: Iterable[Question], zeros: bool, left_out: LeftOut) -> Iterator[Question]:
    for question in questions:
        if zeros or question.positive_ids:
            yield question
        else:
            left_out[ZERO] += 1


def _of_file(path: Path, on_bad: OnBad, left_out: LeftOut) -> Iterator[Question]:
    first = first_line(path)
    if _is_json(path) or _looks_like_json(first):
        if holds_question_set(path):
            return read_question_set(path, on_bad, left_out)
        number = numbering()
        return read_objects(path, lambda item, line: question_of(item, number(line)), on_bad)
    refuse_bare_returns(path)
    if holds_topics(first):
        return read_topics(path, on_bad)
    delimiter = delimiter_of(first)
    if delimiter is not None:
        return read_spreadsheet(path, delimiter, on_bad=on_bad)
    if "\t" not in first and first:
        raise CorpusError(f"{path}:1: {no_questions(first)}")
    return read_queries(path, on_bad) if is_query(first) else _read_dpr(path, on_bad)


def unread(path: str | Path) -> list[str]:
    """The columns, or keys of the first object, that :func:`read_questions` passes over; for messages."""
    path = place_of(path)
    if path.is_dir():
        return []
    first = first_line(path)
    known = {*IDS, *QUESTIONS, *ANSWERS, *POSITIVES, "output", "positive_passages"}
    if _is_json(path) or _looks_like_json(first):
        names = next(iter(read_objects(path, lambda item, _: list(item), None)), [])
    else:
        delimiter = delimiter_of(first)
        names = [] if delimiter is None else names_in(first.split(delimiter))
    return [name for name in names if name.strip().casefold() not in known]


def _is_json(path: Path) -> bool:
    return bool({".json", ".jsonl"} & set(path.suffixes))


def _looks_like_json(line: str) -> bool:
    """Whether a line opens an object or an array of them; a row of DPR's would hold a tab."""
    return "\t" not in line and (line.startswith("{") or (line[:1] == "[" and line[1:].strip()[:1] in {"", "{"}))


def split_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of judgements of a BEIR folder's splits, and the names of what lies beside them; hidden files are passed over.

    Raises:
        UnreadableError: They may not be listed.
    """
    place = folder / "qrels"
    try:
        names = sorted(name for name in os.listdir(place) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise UnreadableError(f"{place}: cannot be listed ({error.strerror or error}); check its rights") from error
    splits = [name for name in names if name.endswith((".tsv", ".tsv.gz"))]
    others = [name for name in names if name not in splits and name.lower().endswith(_OF_JUDGEMENTS)]
    return [place / name for name in splits], others


def qrels_of(folder: Path, split: str | None = None) -> Path | None:
    """The file of judgements of a BEIR folder's split, or None where the folder has no judgements at all.

    Raises:
        CorpusError: There is no such split, or none was named and there are several without a ``test`` among them.
    """
    files, others = split_files(folder)
    names = [split_name(file) for file in files]
    wanted = split or ("test" if "test" in names or len(names) != 1 else names[0])
    if wanted in names:
        return files[names.index(wanted)]
    if not names and others:
        raise CorpusError(
            f"{folder / 'qrels'}: holds {listed(others)}, expected judgements as test.tsv; write them so, or "
            + ByFace("pass qrels=", cli="name their file with --qrels")
        )
    if split is None and not names:
        return None
    raise CorpusError(
        f"{folder}: there are no judgements qrels/{wanted}.tsv; name the split: {', '.join(names) or 'none'}"
    )


def split_name(qrels: Path) -> str:
    """The split that a file of judgements is named after."""
    return qrels.name.removesuffix(".gz").removesuffix(".tsv")


def _read_dpr(path: Path, on_bad: OnBad) -> Iterator[Question]:
    for line, row in read_rows(path, _DPR, on_bad=on_bad):
        try:
            question = _of_row(row, line)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield question


def _of_row(row: list[str], line: int) -> Question:
    if len(row) != 2:
        raise CorpusError(f"{len(row)} columns, expected 2: the question, a tab and a list of answers")
    return Question(str(line), check_question(row[0]), _literal(row[1]))


def _literal(text: str) -> tuple[str, ...]:
    if is_numpy_list(text):
        return parts_of(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuratedTREC's answers are regular expressions such as "a\s?b"
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise CorpusError(
            f'the answers {text!r:.60} are no list of strings; write them as JSON or Python does: ["one", "another"]'
        ) from error
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
    path = place_of(path)
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
        raise CorpusError(f"{path}: question {question.id!r:.120}: " + message_of(error)) from error
    if any(char in text for char in "\t\r\n") or question.positive_ids:
        what = "positive ids" if question.positive_ids else "a tab or a line break"
        raise CorpusError(
            f"{path}: question {question.id!r:.120} has {what}, which DPR's tab-separated form cannot hold; write to a "
            "name that ends in .jsonl"
        )
    return f"{quoted(text)}\t{json.dumps(question.answers, ensure_ascii=False)}\n"

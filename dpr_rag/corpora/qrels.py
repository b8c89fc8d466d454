"""Judgements: BEIR's ``query-id, corpus-id, score`` and TREC's ``qid 0 docid relevance``, read as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import cast

from dpr_rag.arguments import shown
from dpr_rag.corpora.columns import USUAL, folded, listed, refuse_twice
from dpr_rag.corpora.lines import LeftOut, OnBad, bad_line, decoded, id_of, tell
from dpr_rag.corpora.nested import is_nested, read_nested
from dpr_rag.corpora.question import Question
from dpr_rag.corpora.rows import Lines, Shape, read_rows
from dpr_rag.errors import CorpusError
from dpr_rag.faces import message_of
from dpr_rag.paths import place_of

_BEIR = Shape(3, (0, 1, 2))
_TREC_WIDTH = 4
_COMMENT = b"#"
_MOST = 999_999
_HEADERS = ("query-id", "query_id", "qid", "query")
_NAMES = ("query-id", "corpus-id", "score")
_PASSAGE_IDS = {"corpus_id", *USUAL["id"]}
_GRADES = {"score", "rel", "relevance", "label", "grade", "judgment", "judgement", "rating"}
ZERO = "judged with 0 alone"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How relevant a passage is to a question; 0 means that it was judged and is not.

    Attributes:
        question_id: Id of the question.
        passage_id: Id of the passage.
        relevance: Grade, 1 or more for relevant.

    Raises:
        CorpusError: The grade is no integer, or has more than six digits; trec_eval's measures count the passages of each grade.
    """

    question_id: str
    passage_id: str
    relevance: int

    def __post_init__(self) -> None:
        if not isinstance(self.relevance, Integral) or abs(self.relevance) > _MOST:
            raise CorpusError(
                f"the score is {shown(self.relevance)}, expected an integer of at most {_MOST:,}, 1 or more where it is relevant"
            )
        object.__setattr__(self, "relevance", int(self.relevance))


def read_qrels(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Judgement]:
    """Read judgements as BEIR has them, three columns with tabs between, with or without a header, or TREC, four columns.

    Or as one JSON object ``{query-id: {corpus-id: score}}``, as ranx and pytrec_eval have it. Lines of TREC's form that begin
    with ``#`` are comments, as for trec_eval.

    Args:
        path: The file, possibly gzipped.
        on_bad: Takes the errors of bad lines; None raises the first.

    Yields:
        The judgements, each pair of a question and a passage once.

    Raises:
        CorpusError: A bad line, or one that contradicts an earlier one, with the file's name and the line's number.
    """
    path = place_of(path)
    if is_nested(path):
        yield from _nested(path)
        return
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for at, (line, row) in enumerate(_rows(path, on_bad)):
        if _is_header(row):
            continue
        try:
            judgement = _judgement(row, is_first=at == 0)
            again = _again(judgement, line, seen)
        except CorpusError as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            if not again:
                yield judgement


def _is_header(row: list[str]) -> bool:
    return bool(row) and row[0].strip().casefold() in _HEADERS and not row[-1].strip().lstrip("-").isdecimal()


def _check_header(first: bytes, width: int) -> None:
    """Refuse a header whose columns are others than those that would be read by their place.

    Raises:
        CorpusError: It names a column twice, a grade in the place of the passage, or the passage in the second of four
            columns, which TREC does not use.
    """
    cells = first.decode("utf-8", "replace").strip().split("\t" if width == _BEIR.width or b"\t" in first else None)
    if not _is_header(cells):
        return
    refuse_twice(cells)
    names = [folded(cell) for cell in cells]
    place = 2 if width == _TREC_WIDTH else 1
    if _GRADES.intersection(names[place : place + 1]) or (place == 2 and names[1] in _PASSAGE_IDS):
        raise CorpusError(
            f"the header names the columns {listed(cells)}, expected {', '.join(_NAMES)}; put them in this order, without "
            "others, and separate them by tabs"
        )


def _nested(path: Path) -> Iterator[Judgement]:
    for question, passage, relevance in read_nested(path):
        try:
            judgement = Judgement(id_of(question, "query-id"), id_of(passage, "corpus-id"), cast("int", relevance))
        except CorpusError as error:
            raise CorpusError(f"{path}: " + message_of(error)) from error
        yield judgement


def _rows(path: Path, on_bad: OnBad) -> Iterator[tuple[int, list[str]]]:
    """The rows of either form; a row of TREC's has four columns, with any white space between."""
    lines = Lines(path)
    ahead = map(lines.ahead, range(1000))
    first = (
        next((line for line in ahead if line is None or (line.strip() and not line.startswith(_COMMENT))), None) or b""
    )
    is_beir = len(first.split(b"\t")) == _BEIR.width or len(first.split()) != _TREC_WIDTH
    try:
        _check_header(first, _BEIR.width if is_beir else _TREC_WIDTH)
    except CorpusError as error:
        raise CorpusError(f"{path}: " + message_of(error)) from error
    if is_beir:
        yield from read_rows(lines, _BEIR, on_bad=on_bad)
        return
    for number, line in lines:
        try:
            row = [] if line.startswith(_COMMENT) else _of_trec(decoded(line).split())
        except CorpusError as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            if row:
                yield number, row


def _of_trec(cells: list[str]) -> list[str]:
    """Question id, passage id and relevance of a TREC row; its second column is not used."""
    if cells and len(cells) != _TREC_WIDTH:
        raise CorpusError(f"{len(cells)} columns, expected 4 as above: the question, 0, the passage and the relevance")
    return [cells[0], *cells[2:]] if cells else []


def _judgement(row: list[str], *, is_first: bool) -> Judgement:
    if len(row) != _BEIR.width:
        raise CorpusError(
            f"{len(row)} columns, expected 3: query-id, corpus-id and score, with tabs between; or 4 as TREC has them"
        )
    try:
        relevance = int(row[2].replace("_", "."))  # Python would pass over it
    except ValueError as error:
        may_be_header = is_first and any(map(str.isalpha, row[2]))
        names = f"; a header begins with {', '.join(_HEADERS[:-1])} or {_HEADERS[-1]}" if may_be_header else ""
        raise CorpusError(f"the score is {row[2]!r:.60}, expected an integer{names}") from error
    return Judgement(id_of(row[0], "query-id"), id_of(row[1], "corpus-id"), relevance)


def _again(judgement: Judgement, line: int, seen: dict[tuple[str, str], tuple[int, int]]) -> bool:
    """Whether the same judgement was read from an earlier line.

    Raises:
        CorpusError: It says something else there; no two measures would agree on which of them counts.
    """
    relevance, before = seen.setdefault((judgement.question_id, judgement.passage_id), (judgement.relevance, line))
    if relevance != judgement.relevance:
        raise CorpusError(
            f"the passage {judgement.passage_id!r:.120} is judged {judgement.relevance} for the question "
            f"{judgement.question_id!r:.120}, and {relevance} on line {before}; keep one of the two"
        )
    return before != line


def with_judgements(
    questions: Iterable[Question],
    judgements: Iterable[Judgement],
    *,
    name: str,
    zeros: bool = False,
    left_out: LeftOut,
) -> Iterator[Question]:
    """Questions with the passages that are judged relevant to them as ``positive_ids``.

    Args:
        questions: In their order.
        judgements: Held in memory.
        name: Of their file, for the reasons.
        zeros: Whether questions without a relevant passage are kept, as trec_eval counts them.
        left_out: Takes the number of questions that are not judged or missing, by reason.
    """
    positives: dict[str, list[str]] = {}
    for judgement in judgements:
        relevant = positives.setdefault(judgement.question_id, [])
        if judgement.relevance > 0:
            relevant.append(judgement.passage_id)
    missing = set(positives)
    for question in questions:
        missing.discard(question.id)
        known = positives.get(question.id)
        if known or (known is not None and zeros):
            yield replace(question, positive_ids=tuple(known))
        else:
            left_out[ZERO if known is not None else f"without a judgement in {name}"] += 1
    if missing:
        left_out[f"judged in {name} and not among the questions"] += len(missing)

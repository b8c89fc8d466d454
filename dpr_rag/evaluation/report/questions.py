"""The questions that a system loses, with the passages that it preferred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from zlib import crc32

from dpr_rag.evaluation.report.highlighting import marked, question_words
from dpr_rag.evaluation.report.markup import Html, element, join
from dpr_rag.evaluation.results import Evaluation, QuestionResult

SHOWN, NAMED = 20, 500
_PREFERRED = 3
_RIGHT_LENGTH, _WRONG_LENGTH = 700, 420
_Row = tuple[QuestionResult, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """What one system found for a question, and which of it to show, by place from 0."""

    name: str
    title: str
    result: QuestionResult
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Lost:
    """A list of lost questions, in the order in which they are shown."""

    id: str
    title: str
    told: str
    entries: Sequence[Sequence[_Column]]


def lists(evaluation: Evaluation) -> Iterator[Html]:
    """A list of lost questions for every ordered pair of systems, and one of those that all systems lose.

    Links to all of them come first; the first question of the first list is open, to show what the others hold.
    """
    sections = list(_lists(evaluation))
    links = [
        element("li", element("a", section.title, href=f"#{section.id}"), " ", _count(section)) for section in sections
    ]
    yield element("nav", element("ul", *links, class_="index"), aria_label="Lists of lost questions")
    opened = next((section.id for section in sections if section.entries), None)
    for section in sections:
        yield _list(section, evaluation, opened=section.id == opened)


def _lists(evaluation: Evaluation) -> Iterator[_Lost]:
    k, names = evaluation.focus, [system.name for system in evaluation.systems]
    rows = list(zip(*(system.results for system in evaluation.systems), strict=True))
    # questions about one text stand together in most files; by a hash, those shown are a sample of all
    rows.sort(key=lambda row: crc32(row[0].question.question.encode("utf-8", "replace")))
    for loser, winner in permutations(range(len(names)), 2):
        lost = [row for row in rows if not _succeeds(row[loser], k) and _succeeds(row[winner], k)]
        lost.sort(key=lambda row: (row[winner].first or 0, -(row[loser].first or evaluation.k + 1)))
        told = f"Only {names[winner]} has a right passage among its first {k}."
        if len(lost) > SHOWN:
            told += f" The {SHOWN} clearest come with passages."
        columns = [_compared(names, row, loser, winner) for row in lost]
        yield _Lost(f"lost-{loser}-{winner}", f"{names[loser]} loses to {names[winner]}", told, columns)
    missed = [_preferred(names, row) for row in rows if not any(_succeeds(result, k) for result in row)]
    told = f"No right passage among the first {k}."
    if len(missed) > SHOWN:
        told += f" The {SHOWN} that come with passages are drawn by chance."
    yield _Lost("missed", "Lost by all" if len(names) > 1 else "Not answered", told, missed)


def _succeeds(result: QuestionResult, k: int) -> bool:
    return result.first is not None and result.first <= k


def _compared(names: Sequence[str], row: _Row, loser: int, winner: int) -> list[_Column]:
    right = (row[winner].first or 1) - 1
    return [
        _Column(names[loser], f"{names[loser]} preferred", row[loser], range(_PREFERRED)),
        _Column(names[winner], f"{names[winner]} found", row[winner], range(right, right + 1)),
    ]


def _preferred(names: Sequence[str], row: _Row) -> list[_Column]:
    return [
        _Column(name, f"{name} preferred", result, range(_PREFERRED)) for name, result in zip(names, row, strict=True)
    ]


def _count(lost: _Lost) -> Html:
    return element("span", f"{len(lost.entries):,}", class_="count")


def _list(lost: _Lost, evaluation: Evaluation, *, opened: bool) -> Html:
    head = element("h3", lost.title, " ", _count(lost))
    body = [_entry(columns, evaluation, opened=opened and at == 0) for at, columns in enumerate(lost.entries[:SHOWN])]
    if len(lost.entries) > SHOWN:
        body.append(_others(lost.entries[SHOWN:], evaluation.k))
    none = element("p", "None.", class_="muted")
    return element(
        "section", head, element("p", lost.told, class_="muted"), *(body or [none]), id=lost.id, class_="lost"
    )


def _entry(columns: Sequence[_Column], evaluation: Evaluation, *, opened: bool) -> Html:
    question = columns[0].result.question
    summary = element("summary", *_asked(columns, evaluation.k))
    sides = [_side(column, question_words(question.question), evaluation.regex) for column in columns]
    whole = [summary, _truth(columns[0].result), element("div", *sides, class_="sides")]
    return element("details", *whole, open="" if opened else None)


def _others(entries: Sequence[Sequence[_Column]], k: int) -> Html:
    """The questions that come without passages, so that the page stays small."""
    items = [element("li", *_asked(columns, k)) for columns in entries[:NAMED]]
    if len(entries) > NAMED:
        items.append(element("li", f"… and {len(entries) - NAMED:,} more"))
    summary = element("summary", f"{len(entries):,} more, without passages")
    return element("details", summary, element("ul", *items), class_="others")


def _asked(columns: Sequence[_Column], k: int) -> list[Html]:
    """A question, and where each system has its first right passage."""
    ranks = " · ".join(
        f"{column.name} {_place(column.result, k)}".replace(" ", "\N{NO-BREAK SPACE}") for column in columns
    )
    question = columns[0].result.question.question
    return [element("span", question, class_="asked", dir="auto"), element("span", ranks, class_="ranks")]


def _place(result: QuestionResult, k: int) -> str:
    return f"at {result.first}" if result.first else f"not in {k}"


def _truth(result: QuestionResult) -> Html:
    """What was to be found."""
    question = result.question
    told = [
        element("p", name, " ", *(element("code", item) for item in items), class_="truth")
        for name, items in (("answers", question.answers), ("known passages", question.positive_ids))
        if items
    ]
    return join(told)


def _side(column: _Column, words: frozenset[str], regex: bool) -> Html:
    places = [place for place in column.places if place < len(column.result.hits)]
    shown = [_hit(column.result, place, words, regex) for place in places]
    return element("div", element("h4", column.title), *(shown or [element("p", "Found nothing.", class_="muted")]))


def _hit(result: QuestionResult, place: int, words: frozenset[str], regex: bool) -> Html:
    hit, right = result.hits[place], result.right[place]
    known = hit.passage.id in result.question.positive_ids
    chip = [element("span", "right" if right else "known passage, holds no answer", class_="chip")]
    head = element(
        "p",
        element("span", str(place + 1), class_="rank"),
        element("strong", marked(hit.passage.title or "(no title)", words), dir="auto"),
        element("span", hit.passage.id, class_="id"),
        element("span", f"score {hit.score:.2f}", class_="score"),
        *(chip if right or known else []),
        class_="head",
    )
    length = _RIGHT_LENGTH if right else _WRONG_LENGTH
    text = marked(hit.passage.text, words, result.question.answers, regex=regex, length=length)
    return element("article", head, element("p", text, dir="auto"), class_="hit right" if right else "hit")

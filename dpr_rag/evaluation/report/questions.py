"""The questions that a system loses, with the passages that it preferred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from dpr_rag.evaluation.report.marking import marked, question_words
from dpr_rag.evaluation.report.markup import Html, element, join
from dpr_rag.evaluation.results import Asked, Evaluation

SHOWN = 20
_PREFERRED = 3
_RIGHT_LENGTH, _WRONG_LENGTH = 700, 420
_Row = tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """What one system found for a question, and which of it to show, by place from 0."""

    name: str
    asked: Asked
    places: Sequence[int]


def lists(evaluation: Evaluation) -> Iterator[Html]:
    """A list of lost questions for every ordered pair of systems, and one of those that all systems lose."""
    k, names = evaluation.focus, [system.name for system in evaluation.systems]
    rows = list(zip(*(system.asked for system in evaluation.systems), strict=True))
    for loser, winner in permutations(range(len(names)), 2):
        lost = [row for row in rows if not _succeeds(row[loser], k) and _succeeds(row[winner], k)]
        lost.sort(key=lambda row: (row[winner].first or 0, -(row[loser].first or evaluation.k + 1)))
        told = f"Only {names[winner]} has a right passage among its first {k}."
        columns = [_compared(names, row, loser, winner) for row in lost]
        yield _list(f"lost-{loser}-{winner}", f"{names[loser]} loses to {names[winner]}", told, columns, evaluation)
    missed = [_preferred(names, row) for row in rows if not any(_succeeds(one, k) for one in row)]
    title = "Lost by all" if len(names) > 1 else "Not answered"
    yield _list("missed", title, f"No right passage among the first {k}.", missed, evaluation)


def _succeeds(one: Asked, k: int) -> bool:
    return one.first is not None and one.first <= k


def _compared(names: Sequence[str], row: _Row, loser: int, winner: int) -> list[_Column]:
    right = (row[winner].first or 1) - 1
    return [
        _Column(names[loser], row[loser], range(_PREFERRED)),
        _Column(names[winner], row[winner], range(right, right + 1)),
    ]


def _preferred(names: Sequence[str], row: _Row) -> list[_Column]:
    return [_Column(name, one, range(_PREFERRED)) for name, one in zip(names, row, strict=True)]


def _list(name: str, title: str, told: str, lost: Sequence[Sequence[_Column]], evaluation: Evaluation) -> Html:
    head = element("h3", title, " ", element("span", f"{len(lost):,}", class_="count"))
    if len(lost) > SHOWN:
        told += f" The {SHOWN} clearest of {len(lost):,} are shown."
    body = [_entry(columns, evaluation, first=at == 0) for at, columns in enumerate(lost[:SHOWN])]
    none = element("p", "None.", class_="muted")
    return element("section", head, element("p", told, class_="muted"), *(body or [none]), id=name, class_="lost")


def _entry(columns: Sequence[_Column], evaluation: Evaluation, *, first: bool) -> Html:
    question = columns[0].asked.question
    ranks = " · ".join(f"{one.name} {_place(one.asked, evaluation.k)}" for one in columns)
    asked = element("span", question.question, class_="asked")
    summary = element("summary", asked, element("span", ranks, class_="ranks"))
    sides = [_side(one, question_words(question.question), evaluation.regex) for one in columns]
    whole = [summary, _truth(columns[0].asked), element("div", *sides, class_="sides")]
    return element("details", *whole, open="" if first else None)


def _place(one: Asked, k: int) -> str:
    return f"at {one.first}" if one.first else f"not in {k}"


def _truth(one: Asked) -> Html:
    """What was to be found."""
    question = one.question
    told = [
        element("p", name, " ", *(element("code", item) for item in items), class_="truth")
        for name, items in (("answers", question.answers), ("right passages", question.positive_ids))
        if items
    ]
    return join(told)


def _side(column: _Column, words: frozenset[str], regex: bool) -> Html:
    places = [place for place in column.places if place < len(column.asked.hits)]
    shown = [_hit(column.asked, place, words, regex) for place in places]
    return element("div", element("h4", column.name), *(shown or [element("p", "Found nothing.", class_="muted")]))


def _hit(asked: Asked, place: int, words: frozenset[str], regex: bool) -> Html:
    hit, right = asked.hits[place], asked.right[place]
    chip = [element("span", "right", class_="chip")] if right else []
    head = element(
        "p",
        element("span", str(place + 1), class_="rank"),
        element("strong", marked(hit.passage.title or "(no title)", words), dir="auto"),
        element("span", hit.passage.id, class_="id"),
        element("span", f"{hit.score:.2f}", class_="score"),
        *chip,
        class_="head",
    )
    length = _RIGHT_LENGTH if right else _WRONG_LENGTH
    text = marked(hit.passage.text, words, asked.question.answers, regex=regex, length=length)
    return element("article", head, element("p", text, dir="auto"), class_="hit right" if right else "hit")

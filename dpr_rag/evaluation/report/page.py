"""The page as a whole: figures first, then the questions behind them, then what was measured on what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dpr_rag.corpora.lines import writing
from dpr_rag.evaluation.report.curve import curves
from dpr_rag.evaluation.report.markup import Html, element, table
from dpr_rag.evaluation.report.questions import lists
from dpr_rag.evaluation.report.ranks import distribution
from dpr_rag.evaluation.report.style import STYLE
from dpr_rag.evaluation.report.tables import RIGHT, comparisons, figures, notes, percent
from dpr_rag.evaluation.results import Evaluation, told_left_out, told_own_hits
from dpr_rag.paths import place_of

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    settings: Mapping[str, str] | None = None,
    *,
    title: str = "Retrieval",
) -> None:
    """Write an evaluation as one self-contained HTML page, without scripts and external resources.

    Args:
        path: The file to write or replace.
        evaluation: The result of :func:`~dpr_rag.evaluation.evaluate`.
        settings: Settings to show, by name: the store, the encoder, versions, the date.
        title: Title of the page.

    Raises:
        CorpusError: The file cannot be written.
    """
    with writing(place_of(path)) as file:
        file.write(page(evaluation, settings or {}, title=title))


def page(evaluation: Evaluation, settings: Mapping[str, str], *, title: str) -> str:
    """The page's HTML."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    sections = list(_sections(evaluation, settings))
    links = [element("li", element("a", at.capitalize(), href=f"#{at}")) for at, *_ in sections]
    top = element(
        "header",
        element("h1", title),
        *_lead(evaluation),
        element("nav", element("ul", *links, class_="index"), aria_label="Sections"),
    )
    parts = [element("section", element("h2", name), *body, id=at) for at, name, body in sections]
    body = element("body", top, element("main", figures(evaluation), *parts))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _lead(evaluation: Evaluation) -> Iterator[Html]:
    """What was asked, and how it went, best first."""
    k, count = evaluation.focus, evaluation.questions
    counts = f"{count:,} {'question' if count == 1 else 'questions'}, {evaluation.k} passages each."
    yield element("p", f"{counts} A passage is right when {RIGHT[evaluation.by]}.", class_="lead")
    if evaluation.left_out:
        yield element("p", f"Not all were asked: {told_left_out(count, evaluation.left_out)}.", class_="lead")
    if told_own_hits(evaluation.own_hits):
        yield element("p", f"{told_own_hits(evaluation.own_hits).capitalize()}.", class_="lead")
    best = sorted(evaluation.systems, key=lambda system: -system.accuracy[k].value)
    shares = ", ".join(f"{system.name} {percent(system.accuracy[k].value)}" for system in best)
    told = f"Share of the questions with a right passage among the first {k}: {shares}."
    yield element("p", told.replace(" %", "\N{NO-BREAK SPACE}%"), class_="lead")


def _sections(evaluation: Evaluation, settings: Mapping[str, str]) -> Iterator[tuple[str, str, list[Html]]]:
    """Every section after the figures: its id, its heading, and what it holds."""
    yield "accuracy", "Top-k accuracy", [curves(evaluation)]
    yield "ranks", "Rank of the first right passage", [distribution(evaluation)]
    if evaluation.comparisons:
        yield "differences", "Differences, question by question", list(comparisons(evaluation))
    yield "lost", f"Questions lost at k = {evaluation.focus}", [_keys(), *lists(evaluation)]
    yield "settings", "Settings", [table(settings.items(), class_="settings")]
    yield "notes", "How to read this", [notes(evaluation)]


def _keys() -> Html:
    marks = (element("mark", "words of the question", class_="question"), element("mark", "answers", class_="answer"))
    return element("p", "Marked in the passages: ", marks[0], " and ", marks[1], ".", class_="muted")

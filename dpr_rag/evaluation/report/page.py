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
from dpr_rag.evaluation.report.tables import RIGHT, comparisons, figures, notes
from dpr_rag.evaluation.results import Evaluation

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    settings: Mapping[str, str] | None = None,
    *,
    title: str = "Retrieval",
) -> None:
    """Write an evaluation as one HTML page that needs nothing else: no script, no font, no picture, no network.

    Args:
        path: The file to write or replace.
        evaluation: What :func:`~dpr_rag.evaluation.evaluate` returned.
        settings: What was measured on what, by name: the store, the encoder, versions, the date.
        title: Heading of the page.

    Raises:
        CorpusError: The file cannot be written.
    """
    with writing(Path(path)) as file:
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
    body = element("body", *_parts(evaluation, settings, title))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _parts(evaluation: Evaluation, settings: Mapping[str, str], title: str) -> Iterator[Html]:
    yield element("h1", title)
    yield element(
        "p",
        f"{evaluation.questions:,} questions, {evaluation.k} passages each. A passage is right when {RIGHT[evaluation.by]}.",
        class_="lead",
    )
    yield figures(evaluation)
    yield element("h2", "Top-k accuracy")
    yield element(
        "p",
        "Share of the questions with a right passage among the first k; whiskers are 95 % intervals.",
        class_="muted",
    )
    yield curves(evaluation)
    yield element("h2", "Rank of the first right passage")
    yield distribution(evaluation)
    if evaluation.comparisons:
        yield element("h2", "Question by question")
        yield from comparisons(evaluation)
    yield element("h2", f"Lost questions, k = {evaluation.focus}")
    yield _keys()
    yield from lists(evaluation)
    yield element("h2", "Settings")
    yield table(settings.items(), class_="settings")
    yield element("h2", "How to read this")
    yield notes(evaluation)


def _keys() -> Html:
    marks = (element("mark", "words of the question", class_="question"), element("mark", "answers", class_="answer"))
    return element("p", "Marked in the passages: ", marks[0], " and ", marks[1], ".", class_="muted")

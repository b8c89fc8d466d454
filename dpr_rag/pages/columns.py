"""Comparisons, neighbours and maps as HTML, with passages escaped as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpr_rag.lexical import Analyzer
from dpr_rag.pages.comparing import Column, Comparison, Map
from dpr_rag.pages.highlighting import marked, plain_html
from dpr_rag.passages import Hit, Passage
from dpr_rag.store import named_source, shown_source

_NAMES = {"dense": "Dense", "bm25": "BM25", "hybrid": "Hybrid"}
_LONGEST = 600
_MOST_FIELDS = 12
_SIZE, _MARGIN = 560, 16
CLICKED = """
element.addEventListener('click', event => {
  const found = event.target.closest('[data-filter], [data-near]');
  if (found) trigger('click', {filter: found.dataset.filter ?? '', near: found.dataset.near ?? ''});
});
"""
"""What tells the page which field or passage was clicked."""
CSS = """
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 12px; }
.columns section, .near section { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 8px; min-width: 0; }
.columns h3 { margin: 0 0 .2em; }
.hit { border-top: 1px solid var(--border-color-primary); padding: .5em 0; overflow-wrap: anywhere; }
.bar { display: grid; grid-template-columns: 4.2em 1fr 4em; gap: .4em; align-items: center; font-size: .85em; }
.bar i { display: block; height: .6em; border-radius: 3px; background: #2563eb; }
.bar.bm25 i { background: #b45309; }
.columns button, .near button { font-size: .8em; border: 1px solid var(--border-color-primary); border-radius: 10px;
  padding: 0 .5em; margin: .1em .2em .1em 0; color: inherit; background: none; cursor: pointer; max-width: 100%;
  overflow-wrap: anywhere; text-align: left; }
.map { max-width: 560px; }
.map svg { width: 100%; height: auto; border: 1px solid var(--border-color-primary); border-radius: 8px; }
.map circle { fill: #6b7280; fill-opacity: .45; }
.map .found { fill: #2563eb; fill-opacity: 1; }
.map .asked { fill: #dc2626; fill-opacity: 1; }
.report { width: 100%; height: 80vh; border: 0; background: #fff; }
"""


def text_of(text: str) -> str:
    """A text as HTML that no template takes for one of its own either."""
    return _inert(plain_html(text))


def _inert(html: str) -> str:
    return html.replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;").replace("`", "&#96;")


def comparison_html(comparison: Comparison, analyzer: Analyzer) -> str:
    """All columns side by side, with what moved against the first that answered."""
    encoding = "" if comparison.encode_ms is None else f"encoding {comparison.encode_ms:.1f} ms · "
    searching = " · ".join(
        f"{_NAMES[answered.mode]} {answered.search_ms:.1f} ms" for answered in comparison.columns if not answered.error
    )
    first = next((column for column in comparison.columns if column.hits), None)
    columns = "".join(_column(column, first, comparison, analyzer) for column in comparison.columns)
    return f'<p class="times">{encoding}searching: {searching}</p><div class="columns">{columns}</div>'


def _column(column: Column, first: Column | None, comparison: Comparison, analyzer: Analyzer) -> str:
    automatic = " <small>(automatic)</small>" if column.mode == comparison.automatic else ""
    head = f"<h3>{_NAMES[column.mode]}{automatic}</h3>"
    if column.error or not column.hits:
        return f"<section>{head}<p>{text_of(column.error or 'No passage fits.')}</p></section>"
    tops = [max((abs(getattr(hit, leg) or 0.0) for hit in column.hits), default=0.0) for leg in ("dense", "bm25")]
    hits = zip(column.hits, column.relevances, strict=True)
    against = first if first is not column else None
    rows = "".join(_hit(hit, relevance, tops, against, comparison.question, analyzer) for hit, relevance in hits)
    return f"<section>{head}{rows}</section>"


def _hit(
    hit: Hit, relevance: float, tops: Sequence[float], first: Column | None, question: str, analyzer: Analyzer
) -> str:
    passage = hit.passage
    legs = _bar("dense", hit.dense, tops[0]) + _bar("bm25", hit.bm25, tops[1])
    cut = passage.text[:_LONGEST] + (" …" if len(passage.text) > _LONGEST else "")
    return (
        f'<div class="hit"><b>{hit.rank}. {text_of(passage.title or passage.id)}</b> {_moved(hit, first)} '
        f"<small>{100 * relevance:.0f} % relevant</small>{legs}<div>{_inert(marked(cut, question, analyzer))}</div>"
        f"<div>{_fields(passage)}{_near(passage)}</div></div>"
    )


def _moved(hit: Hit, first: Column | None) -> str:
    if first is None:
        return ""
    before = first.rank_of(hit.passage.id)
    if before is None:
        return "<small>new</small>"
    sign = "▲" if before > hit.rank else "▼"
    return "<small>=</small>" if before == hit.rank else f"<small>{sign}{abs(before - hit.rank)}</small>"


def _bar(leg: str, score: float | None, top: float) -> str:
    if score is None:
        return ""
    share = 0.0 if top <= 0 else max(0.0, min(1.0, score / top))
    name = {"dense": "dense", "bm25": "BM25"}[leg]
    return f'<div class="bar {leg}"><span>{name}</span><i style="width:{100 * share:.1f}%"></i><span>{score:.3f}</span></div>'


def _fields(passage: Passage) -> str:
    """Buttons that narrow the filter to what the passage has."""
    scalars = [
        (name, value)
        for name, value in passage.visible_metadata.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) <= 80
    ]
    return "".join(_chip(name, value) for name, value in scalars[:_MOST_FIELDS])


def _chip(name: str, value: Any) -> str:
    named = f"${name}" if name.startswith("$") else name
    condition = json.dumps({named: value}, ensure_ascii=False)
    return f'<button type="button" data-filter="{text_of(condition)}">{text_of(f"{name}: {value}")}</button>'


def _near(passage: Passage) -> str:
    return f'<button type="button" data-near="{text_of(passage.id)}">neighbours</button>'


def neighbours_html(passage: Passage | None, hits: Sequence[Hit]) -> str:
    """The passages that are nearest to one."""
    if passage is None:
        return "<p>The passage is gone.</p>"
    rows = "".join(
        f'<div class="hit"><b>{hit.rank}. {text_of(hit.passage.title or hit.passage.id)}</b> <small>{hit.score:.3f}</small>'
        f"<div>{text_of(hit.passage.text[:_LONGEST])}</div>{_near(hit.passage)}</div>"
        for hit in hits
    )
    where = named_source(passage)
    source = f" <small>{text_of(shown_source(where, passage.id))}</small>" if where else ""
    return (
        f'<div class="near"><section><h3>Near {text_of(passage.title or passage.id)}</h3>{source}{rows}</section></div>'
    )


def map_html(drawn: Map, comparison: Comparison | None) -> str:
    """The map as a drawing, with the question and what was found for it."""
    hits = {hit.passage.id for column in (comparison.columns if comparison else ()) for hit in column.hits}
    place = None if comparison is None or comparison.vector is None else drawn.place(comparison.vector)
    every = drawn.points if place is None else np.vstack([drawn.points, place])
    low, high = every.min(axis=0), every.max(axis=0)
    scale = (_SIZE - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)

    def dot(point: np.ndarray, radius: float, kind: str, title: str) -> str:
        x, y = _MARGIN + (point - low) * scale
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{_SIZE - y:.1f}" r="{radius}"><title>{text_of(title)}</title></circle>'

    dots = [
        (
            passage.id in hits,
            dot(
                point,
                4 if passage.id in hits else 2,
                "found" if passage.id in hits else "other",
                passage.title or passage.id,
            ),
        )
        for passage, point in zip(drawn.passages, drawn.points, strict=True)
    ]
    drawn_last = [circle for is_found, circle in dots if not is_found] + [
        circle for is_found, circle in dots if is_found
    ]
    question = "" if place is None or comparison is None else dot(place, 6, "asked", comparison.question)
    return (
        f'<div class="map"><svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="Map of {len(drawn.passages):,} passages">'
        f"{''.join(drawn_last)}{question}</svg></div>"
    )

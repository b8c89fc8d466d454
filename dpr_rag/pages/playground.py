"""The playground's page: one question in every mode, the passages around it, and tuning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from dpr_rag.arguments import is_blank
from dpr_rag.corpora.values import Keys
from dpr_rag.errors import DprRagError, FilterError
from dpr_rag.evaluation.tunable import TunableStore
from dpr_rag.lexical import Analyzer
from dpr_rag.pages.changes import moment_of
from dpr_rag.pages.columns import CLICKED, CSS, comparison_html, map_html, neighbours_html, text_of
from dpr_rag.pages.comparing import Map, compare, map_of, neighbours
from dpr_rag.pages.highlighting import plain_markdown
from dpr_rag.pages.places import on_the_page
from dpr_rag.pages.serving import is_upload
from dpr_rag.pages.telling import told
from dpr_rag.pages.tuning import Trial
from dpr_rag.paths import name_of

__all__ = ["CSS", "playground_page"]
_NEAREST = 8
Parts = tuple[Any, ...]


def playground_page(store: TunableStore) -> gr.Blocks:
    """Build the page over an open store."""
    page = _Handlers(store)
    with gr.Blocks(title=f"dpr-rag: {name_of(store.path)}", analytics_enabled=False) as blocks:
        gr.Markdown(page.head, elem_id="head")
        with gr.Tab("Compare"):
            with gr.Row():
                question = gr.Textbox(label="Question", scale=6, elem_id="question", autofocus=True)
                k = gr.Slider(1, 50, value=5, step=1, label="Passages", scale=1, min_width=140)
            with gr.Row():
                where = gr.Textbox(label="Filter (JSON; click a field below to add it)", scale=6, elem_id="filter")
                ask = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="ask")
            columns = gr.HTML(js_on_load=CLICKED, elem_id="columns")
            near = gr.HTML(js_on_load=CLICKED, elem_id="near")
        with gr.Tab("Map"):
            draw = gr.Button("Draw the map", size="sm", elem_id="draw")
            drawn = gr.HTML(elem_id="map")
        with gr.Tab("Tune and evaluate"):
            labelled = gr.File(label="Labelled questions, as for dpr-rag tune", file_count="single", elem_id="labelled")
            with gr.Row():
                tune = gr.Button("Tune the store to them", elem_id="tune", interactive=not store.read_only)
                judge = gr.Button("Evaluate every mode", elem_id="judge")
            told = gr.Markdown(elem_id="told")
            report = gr.HTML(elem_id="report")
        inputs, shown = [question, k, where], [columns, near]
        gr.on([question.submit, ask.click, where.submit], page.ask, inputs, shown)
        columns.click(page.clicked, inputs, [where, *shown])
        near.click(page.clicked, inputs, [where, *shown])
        draw.click(page.draw, inputs, [drawn])
        tune.click(page.tune, [labelled], [told])
        judge.click(page.judge, [labelled], [told, report])
    return blocks  # type: ignore[no-any-return]


class _Handlers:
    def __init__(self, store: TunableStore) -> None:
        self._store, self._trial = store, Trial(store)
        self._analyzer = Analyzer(store.info().language)
        self._map: tuple[object, Map | None] | None = None

    @told
    def head(self) -> str:
        """The store's name, and how many passages it has whenever the page is opened."""
        return f"### {plain_markdown(name_of(self._store.path))}\n{self._store.count():,} passages"

    @told
    def ask(self, question: str, k: int, where: str) -> Parts:
        if is_blank(question):
            return "", gr.skip()
        try:
            comparison = compare(self._store, question, int(k), _filter(where))
        except DprRagError as error:
            return f"<p>{text_of(on_the_page(error))}</p>", gr.skip()
        return comparison_html(comparison, self._analyzer), gr.skip()

    @told
    def clicked(self, data: gr.EventData, question: str, k: int, where: str) -> Parts:
        """A field narrows the filter; a passage shows its neighbours."""
        if data.near:
            passages = self._store.get([data.near])
            near = neighbours(self._store, data.near, _NEAREST)
            return gr.skip(), gr.skip(), neighbours_html(passages[0] if passages else None, near)
        try:
            wanted = json.dumps({**(_filter(where) or {}), **json.loads(data.filter)}, ensure_ascii=False)
        except DprRagError as error:
            return gr.skip(), f"<p>{text_of(on_the_page(error))}</p>", gr.skip()
        return wanted, *self.ask(question, k, wanted)

    @told
    def draw(self, question: str, k: int, where: str) -> str:
        """The map, made anew when the store has changed."""
        moment = moment_of(self._store)
        if self._map is None or self._map[0] != moment:
            self._map = moment, map_of(self._store)
        drawn = self._map[1]
        if drawn is None:
            return "<p>A map needs at least three passages.</p>"
        try:
            comparison = compare(self._store, question, int(k), _filter(where)) if not is_blank(question) else None
        except DprRagError as error:
            return f"<p>{text_of(on_the_page(error))}</p>"
        return map_html(drawn, comparison)

    @told
    def tune(self, file: str | None) -> str:
        """Choose the ranking on labelled questions."""
        told, error = _tried(file, self._trial.tune)
        return told or error

    @told
    def judge(self, file: str | None) -> Parts:
        """Evaluate every mode, with the report in a frame of its own."""
        report, error = _tried(file, self._trial.report)
        return error, report


def _tried(file: str | None, trial: Callable[[Path], str]) -> tuple[str, str]:
    """What a trial on an uploaded file tells, and what went wrong, as Markdown; one of the two is empty."""
    if file is None or not is_upload(Path(file)):
        return "", "Choose a file with labelled questions first."
    try:
        return trial(Path(file)), ""
    except DprRagError as error:
        return "", plain_markdown(on_the_page(error))


def _filter(text: str) -> Mapping[str, Any] | None:
    if not text.strip():
        return None
    keys = Keys()
    try:
        record = json.loads(text, object_pairs_hook=keys)
    except (ValueError, RecursionError) as error:
        raise FilterError(f'the filter is no JSON ({error}); write it as {{"year": {{"$gte": 1990}}}}') from error
    if keys.twice is not None:
        raise FilterError(f"the filter has the key {keys.twice!r:.120} twice in one object; join the two by $and")
    if not isinstance(record, dict):
        raise FilterError('the filter is no JSON object; write it as {"year": {"$gte": 1990}}')
    return record

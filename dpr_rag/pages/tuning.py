"""Labelled questions on a page: the store tuned to them, and every mode judged by them."""

from __future__ import annotations

from html import escape
from pathlib import Path

from dpr_rag.corpora import Question, read_questions
from dpr_rag.evaluation import Run, System, Tuning, evaluate, tune
from dpr_rag.evaluation.report.page import page
from dpr_rag.evaluation.tunable import TunableStore
from dpr_rag.pages.comparing import MODES
from dpr_rag.pages.highlighting import plain_markdown
from dpr_rag.paths import name_of
from dpr_rag.retriever import Retriever

_DEPTH = 100
_TOPS = (1, 5, 20)


class Trial:
    """Tunes and judges one store."""

    def __init__(self, store: TunableStore) -> None:
        self._store = store

    def tune(self, file: Path) -> str:
        """Choose how the store ranks, see :func:`~dpr_rag.evaluation.tune`, and tell in Markdown.

        Raises:
            CorpusError: The questions cannot be read.
            EvaluationError: There are too few, or nothing to judge by.
        """
        return _told(tune(self._store, _read(file), keep=True))

    def report(self, file: Path) -> str:
        """Judge every mode, and return the report as a frame of its own.

        Raises:
            CorpusError: The questions cannot be read.
            EvaluationError: There is nothing to judge by.
        """
        modes = MODES if self._store.encoder is not None else ("bm25",)
        systems: dict[str, System | Run] = {mode: Retriever(self._store, mode=mode) for mode in modes}
        evaluation = evaluate(systems, _read(file), k=min(_DEPTH, max(1, self._store.count())))
        name = name_of(self._store.path)
        told = page(evaluation, {"questions": file.name, "store": name}, title=name)
        return f'<iframe class="report" sandbox="" title="Evaluation" srcdoc="{escape(told)}"></iframe>'


def _read(file: Path) -> list[Question]:
    return list(read_questions(file))


def _told(tuning: Tuning) -> str:
    head = f"{tuning.questions:,} questions, judged by {tuning.by}; 95 % intervals in brackets."
    rows = [f"| | MRR@{tuning.k} | behind the best | {' | '.join(f'top-{k}' for k in _TOPS)} |", "|---" * 6 + "|"]
    for candidate in tuning.candidates:
        tops = [f"{100 * candidate.accuracy[k].value:.1f}" if k in candidate.accuracy else "" for k in _TOPS]
        value, behind = (
            f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
            for estimate in (candidate.value, candidate.less_than_best)
        )
        rows.append(f"| {plain_markdown(candidate.name)} | {value} | {behind} | {' | '.join(tops)} |")
    table = "\n".join(rows)
    return f"{head}\n\n{table}\n\nChosen: {plain_markdown(str(tuning.chosen.ranking))}. The store ranks so from now on."

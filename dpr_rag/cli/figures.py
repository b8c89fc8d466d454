"""The tables of figures that `evaluate` prints."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from rich.table import Table

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.terminal import output

if TYPE_CHECKING:
    from dpr_rag import Ranking, Store
    from dpr_rag.evaluation import Comparison, Estimate, Evaluation

_PACKAGES = ("dpr-rag", "faiss-cpu", "numpy", "tokenizers", "openvino", "torch", "transformers", "ir-measures")
_RECALL_SAMPLE, _RECALL_K = 100, 20


def show(evaluation: Evaluation, settings: Mapping[str, str]) -> None:
    """Write the figures of all modes side by side, and below them how the modes differ."""
    from dpr_rag.evaluation.results import told_by_characters, told_own_hits

    console = output()
    basis = {"answer": "an answer in the passage", "passage": "the passage's id"}[evaluation.by]
    console.print(f"{evaluation.questions:,} questions, judged by {basis}; 95 % intervals in brackets")
    show_left_out(evaluation.questions, evaluation.left_out)
    if evaluation.by_characters:
        console.print(told_by_characters(evaluation))
    if told_own_hits(evaluation.own_hits):
        console.print(printable(told_own_hits(evaluation.own_hits)))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    for system in evaluation.systems:
        table.add_column(system.name, justify="right")
    for row in _rows(evaluation):
        table.add_row(*row)
    console.print(table, soft_wrap=False)
    if any(system.name == "hybrid" for system in evaluation.systems):
        console.print(f"ranked by: {settings['modes']}")
    for comparison in evaluation.comparisons:
        if comparison.k == evaluation.focus:
            console.print(_compared(comparison))
    if "index recall" in settings:
        console.print(f"index recall, no part of the figures above: {printable(settings['index recall'])}")


def show_left_out(count: int, left_out: Mapping[str, int]) -> None:
    """Write how many questions were left out, and why; nothing if none were."""
    from dpr_rag.evaluation.results import told_left_out

    if left_out:
        output().print(printable(told_left_out(count, left_out)))


def _rows(evaluation: Evaluation) -> Iterator[list[str]]:
    from dpr_rag.evaluation.report.tables import decimal, mean_of

    for k in () if evaluation.measures else evaluation.ks:
        yield [f"top-{k} accuracy", *(interval(system.accuracy[k], percent) for system in evaluation.systems)]
    for name in evaluation.systems[0].ranking:
        yield [mean_of(name), *(interval(system.ranking[name], decimal) for system in evaluation.systems)]
    latencies = [system.latency for system in evaluation.systems]
    if any(latencies):  # a run of another system has none
        for name in ("p50", "p95", "p99"):
            yield [
                f"latency {name}",
                *(f"{1000 * getattr(latency, name):.1f} ms" if latency else "" for latency in latencies),
            ]


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


def interval(estimate: Estimate, formatted: Callable[[float], str]) -> str:
    """A mean with its interval in brackets."""
    return f"{formatted(estimate.value)} [{formatted(estimate.low)}, {formatted(estimate.high)}]"


def _compared(comparison: Comparison) -> str:
    from dpr_rag.evaluation.report.tables import p_value, points

    value, low, high = (points(getattr(comparison.difference, name)) for name in ("value", "low", "high"))
    return (
        f"{comparison.first} against {comparison.second} at {comparison.k}: {value} points [{low}, {high}]; right alone on "
        f"{comparison.gained:,} and {comparison.lost:,} questions; {p_value(comparison.p_value)} (exact McNemar test)"
    )


def settings_of(store: Store, rankings: Mapping[str, Ranking]) -> dict[str, str]:
    """The settings of an evaluation, for people to read."""
    settings = {
        "store": str(store.path),
        "modes": ", ".join(_ranking_text(store, ranking) for ranking in rankings.values()),
    }
    info_method = getattr(store, "info", None)
    if info_method is None:
        return {**settings, "passages": f"{store.count():,}", "encoder": "that of the service"}
    info = info_method()
    parameters = "".join(f", {name}={value}" for name, value in info.parameters.items())
    encoded = any(ranking.needs_vectors for ranking in rankings.values())
    version_text = f", generation {info.generation}" if hasattr(info, "generation") else f" in {info.engine}"
    return {
        **settings,
        "passages": f"{info.passages:,}{version_text}",
        "encoder": f"{info.source or 'unknown'}, fingerprint {info.fingerprint or 'none'}" if encoded else "not used",
        # other encoders than DualEncoder and LibraryEncoder need not have one
        "runtime": getattr(store.encoder, "runtime", "unknown") if encoded else "not used",
        "index": f"{info.kind}{parameters}; {info.dim or 0} components of {info.dtype}" if encoded else "not used",
    }


def _ranking_text(store: Store, ranking: Ranking) -> str:
    if not ranking.wants_weight:
        return str(ranking)
    settled = store.settled(ranking)
    return str(settled) if settled.wants_weight else f"{settled} as the store was tuned"


def index_recall_of(store: Store, questions: Sequence[str]) -> str:
    """The index recall of a store on up to 100 of the questions, compared with an exact search of each."""
    from dpr_rag import PassageStore

    if store.encoder is None or not isinstance(store, PassageStore):
        return "not measured, as no vectors were searched"
    sample = store.encode_questions(questions[:_RECALL_SAMPLE])
    return f"{store.measure_index_recall(sample, k=_RECALL_K):.4f} of the exact top {_RECALL_K}, on {len(sample)} questions"


def circumstances() -> dict[str, str]:
    """Versions, machine, date, and the command, for reproduction."""
    return {
        "versions": ", ".join(_versions()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "date": datetime.now().astimezone().isoformat(" ", "seconds"),
        "command": shlex.join(["dpr-rag", *sys.argv[1:]]),
    }


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"

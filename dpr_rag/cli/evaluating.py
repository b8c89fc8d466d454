"""The command `evaluate`: how often a store finds what answers a set of questions, in each mode."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import ContextModel, FusionKind, Model, Profile, Quiet, StoreFolder, Weight
from dpr_rag.cli.terminal import note, output, progress

if TYPE_CHECKING:
    from dpr_rag.evaluation import Estimate, Evaluation, SystemResult


def evaluate(
    store: StoreFolder,
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="QUESTIONS", help="DPR's tab-separated file, JSONL, CSV, or a BEIR folder.", show_default=False
        ),
    ],
    modes: Annotated[
        list[str] | None, typer.Option("--mode", metavar="MODE", help="dense, bm25 or hybrid; may be repeated.")
    ] = None,
    weight: Weight = None,
    fusion: FusionKind = "weighted",
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits per question.")] = 100,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask only the first so many questions.")] = None,
    results: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the last mode's hits as DPR's result JSON.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="FILE", help="Write the last mode's hits as a TREC run.")
    ] = None,
    model: Model = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Ask a store questions whose answers are known, and say how often it finds them, with 95 % intervals."""
    from dpr_rag import PassageStore, Ranking, Retriever
    from dpr_rag.corpora import read_questions
    from dpr_rag.evaluation import evaluate as measure
    from dpr_rag.evaluation import write_dpr_results, write_run

    rankings = {
        mode: Ranking(mode, weight, fusion) if mode == "hybrid" else Ranking(mode)  # type: ignore[arg-type]
        for mode in modes or ["dense"]
    }
    asked = list(islice(read_questions(questions), limit))
    needed = any(ranking.needs_vectors for ranking in rankings.values())
    encoder = encoder_of(store, ModelChoice(model, context_model, profile)) if needed else None
    with PassageStore.open(store, encoder=encoder, create=False) as opened:
        systems = {name: Retriever(opened, k=k, ranking=ranking) for name, ranking in rankings.items()}
        with progress("asking", len(asked) * len(systems), quiet=quiet) as advance:
            found = measure(systems, asked, k=k, progress=advance)
    show(found, len(asked))
    if results is not None:
        write_dpr_results(results, found.systems[-1], found.by)
        note(f"wrote {results} ({found.systems[-1].name})")
    if run is not None:
        write_run(run, found.systems[-1])
        note(f"wrote {run} ({found.systems[-1].name})")


def show(found: Evaluation, count: int) -> None:
    """Write the figures as tables: accuracies and ranking measures a mode, then the modes in pairs."""
    right = "holds an answer" if found.by == "answer" else "is a positive one"
    output().print(f"{count:,} questions; a passage is right where it {right}; percent, 95 % intervals", style="bold")
    table = _table("", *(system.name for system in found.systems))
    for k in found.systems[0].accuracy:
        table.add_row(f"top-{k}", *(_estimate(system.accuracy[k]) for system in found.systems))
    for measure in found.systems[0].ranking:
        table.add_row(measure, *(_estimate(system.ranking[measure]) for system in found.systems))
    table.add_row("ms p50/p95/p99", *map(_latency, found.systems))
    output().print(table, soft_wrap=False)
    if found.comparisons:
        pairs = _table("pair", "k", "only 1st", "only 2nd", "difference", "p (McNemar)")
        for one in found.comparisons:
            name = f"{one.first}, {one.second}"
            pairs.add_row(
                name, str(one.k), str(one.gained), str(one.lost), _estimate(one.difference), f"{one.p_value:.3g}"
            )
        output().print(pairs, soft_wrap=False)


def _table(*columns: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for column in columns:
        table.add_column(column)
    table.add_row(*columns, style="bold")
    return table


def _estimate(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _latency(system: SystemResult) -> str:
    one = system.latency
    return "-" if one is None else "/".join(f"{1000 * seconds:.1f}" for seconds in (one.p50, one.p95, one.p99))

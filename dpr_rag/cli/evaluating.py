"""The command `evaluate`: how well a store's passages answer questions whose answers are known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.figures import circumstances, index_recall_of, settings_of, show
from dpr_rag.cli.labelled import (
    By,
    ByChoice,
    LabelledQuestions,
    Limit,
    Qrels,
    Regex,
    Split,
    note_missing,
    read_labelled,
    told_questions,
)
from dpr_rag.cli.models import ModelChoice, encoder_of, only_reads
from dpr_rag.cli.options import AsJson, ContextModel, FusionKind, Model, Profile, Quiet, Weight
from dpr_rag.cli.runs import QuestionsOption, Runs, check_named, note_unasked, read_runs, with_texts
from dpr_rag.cli.terminal import note, progress, say_json
from dpr_rag.cli.usage import usage
from dpr_rag.errors import CorpusError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import PassageStore, Ranking
    from dpr_rag.evaluation import Evaluation, Run, System


def evaluate(
    store: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the store.", show_default=False, parser=place_of)
    ] = None,
    questions: LabelledQuestions = None,
    modes: Annotated[
        list[str] | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="dense, bm25 or hybrid; repeat it to compare them (default: as tuned, or dense).",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Passages per question.")] = 100,
    by: ByChoice = By.auto,
    regex: Regex = False,
    split: Split = None,
    qrels: Qrels = None,
    limit: Limit = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Write a page with curves and lost questions (HTML).", parser=place_of
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write DPR's result JSON; a file per mode where there are several.",
            parser=place_of,
        ),
    ] = None,
    runs: Runs = None,
    named: QuestionsOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--write-run",
            metavar="FILE",
            help="Write a TREC run; a file per mode where there are several.",
            parser=place_of,
        ),
    ] = None,
    as_json: AsJson = False,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Ask N questions at once: faster, and without latencies."),
    ] = None,
    index_recall: Annotated[
        bool, typer.Option("--index-recall", help="Compare the index with exact search too, apart from the figures.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap behind the intervals.")] = 0,
    weight: Weight = None,
    fusion: FusionKind = None,
    model: Model = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Measure how often the right passages come first: accuracy, ranking measures, latencies, and a page to look at."""
    from dpr_rag import Retriever
    from dpr_rag.evaluation import evaluate as measured

    questions = check_named(store, questions or named, runs)
    others = read_runs(runs)
    rankings = _rankings(store, modes, weight, fusion)
    labelled = read_labelled(questions, split, limit, by, qrels=qrels, zeros=True)
    asked = labelled.questions
    _check_writable([questions, *(runs or ())], [path for path in (report, results, run) if path is not None])
    note_unasked(others, asked)
    judge = partial(
        measured,
        questions=asked,
        k=k,
        by=labelled.by,
        regex=regex,
        judgements=labelled.judgements,
        own_hits=not questions.is_dir(),
        left_out=labelled.left_out,
        batch_size=batch_size,
        seed=seed,
    )
    settings = {}
    if store is None:
        found = judge(others)
    else:
        choice = ModelChoice(model, context_model, profile)
        with _opened(store, rankings, choice) as opened:
            if labelled.by == "passage":
                note_missing(opened, asked)
            ours = {mode: Retriever(opened, k=k, ranking=ranking) for mode, ranking in rankings.items()}
            systems: dict[str, System | Run] = {**ours, **with_texts(others, opened)}
            with progress("asking", len(asked) * len(systems), quiet=quiet) as advance:
                found = judge(systems, progress=advance)
            settings = settings_of(opened, rankings)
            if index_recall:
                settings["index recall"] = index_recall_of(opened, [one.question for one in asked])
    if others:
        settings["runs"] = ", ".join(map(str, runs or ()))
    settings["questions"] = told_questions(questions, split, limit) + (f", judged by {qrels}" if qrels else "")
    settings |= circumstances()
    if as_json:
        say_json(found.figures() | {"settings": settings})
    else:
        show(found, settings)
    _write(found, report, results, run, settings)


def _opened(store: Path, rankings: Mapping[str, Ranking], choice: ModelChoice) -> PassageStore:
    """The store, with its encoder where vectors count."""
    from dpr_rag import PassageStore

    needed = any(ranking.needs_vectors for ranking in rankings.values())
    encoder = encoder_of(store, choice) if needed else None
    reads = only_reads(store, rankings.values())
    return PassageStore.open(store, encoder=encoder, create=False, read_only=reads)


def _rankings(
    store: Path | None, modes: Sequence[str] | None, weight: float | None, fusion: str | None
) -> dict[str, Ranking]:
    if store is None:
        if modes:
            raise typer.BadParameter("--mode asks a store; name its folder", param_hint="DIR")
        return {}
    if "hybrid" not in (modes or ()) and not (weight is None and fusion is None):
        raise typer.BadParameter("--weight and --fusion need --mode hybrid", param_hint="--mode")
    from dpr_rag import PassageStore

    with PassageStore.open(store, create=False, read_only=True) as opened:
        if not modes:
            return {opened.ranking.mode: opened.ranking}
        said: dict[str, Any] = {mode: (weight, fusion) if mode == "hybrid" else () for mode in modes}
        with usage("--mode"):
            return {mode: opened.ranking_for(mode, *more) for mode, more in said.items()}  # type: ignore[arg-type]  # it refuses others


def _check_writable(sources: Sequence[Path], paths: Sequence[Path]) -> None:
    """Find out now, and not after the last question, that a file has no folder or is needed for something else."""
    taken = {path.resolve() for path in sources}
    for path in paths:
        if path.resolve() in taken:
            raise typer.BadParameter(
                f"{path} would overwrite the questions, a run or another result; name a file of its own"
            )
        taken.add(path.resolve())
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
            raise CorpusError(f"{path}: cannot be written; name a file in a folder that exists and can be written to")


def _write(
    found: Evaluation, report: Path | None, results: Path | None, run: Path | None, settings: Mapping[str, str]
) -> None:
    from dpr_rag.evaluation import write_dpr_results, write_report, write_run

    if report is not None:
        title = f"Retrieval from {Path(settings['store']).name}" if "store" in settings else "Retrieval"
        write_report(report, found, settings, title=title)
        note(f"wrote {report}")
    for system in found.systems:
        if results is not None:
            target = _of_mode(results, system.name, len(found.systems))
            write_dpr_results(target, system, found.by)
            note(f"wrote {target}")
        if run is not None:
            target = _of_mode(run, system.name, len(found.systems))
            write_run(target, system)
            note(f"wrote {target}")


def _of_mode(path: Path, mode: str, count: int) -> Path:
    """The file of one mode among several: results.json becomes results.dense.json."""
    if count == 1:
        return path
    packed = ".gz" if path.suffix == ".gz" else ""
    plain = path.with_name(path.name.removesuffix(packed))
    return plain.with_name(f"{plain.stem}.{mode}{plain.suffix}{packed}")

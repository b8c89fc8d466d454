"""The command `tune`: which ranking is best on labelled questions, kept in the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.figures import interval, percent, show_left_out
from dpr_rag.cli.labelled import By, ByChoice, Limit, Regex, Split, note_missing, read_labelled, split_to_tune_on
from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import AsJson, Quiet, StoreAddress
from dpr_rag.cli.ranking import HybridOptions
from dpr_rag.cli.stores import open_tunable, refuse_service
from dpr_rag.cli.terminal import output, progress, say, say_json
from dpr_rag.cli.usage import parsing
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag.evaluation import Tuning


@expanded
def tune(
    store: StoreAddress,
    choice: ModelChoice,
    legs: HybridOptions,
    questions: Annotated[
        Path | None,
        typer.Argument(
            metavar="QUESTIONS",
            help="Questions, as for evaluate; of a BEIR folder its dev or train split.",
            parser=parsing(place_of),
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, help="Reciprocal ranks count down to rank k; 1 is top-1 accuracy.")
    ] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the figures and leave the store as it is.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Forget the choice: rank by inner product again.")] = False,
    by: ByChoice = By.auto,
    regex: Regex = False,
    split: Split = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the folds and of the bootstrap.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose mode, fusion and λ on your own questions by cross-validation; the store ranks so from then on."""
    from dpr_rag.evaluation import tune as tune_store

    if undo == (questions is not None):
        raise typer.BadParameter("name QUESTIONS to tune on, or else --undo", param_hint="QUESTIONS")
    if questions is None:
        with open_tunable(store) as opened:
            opened.set_tuned(None)
        say("The store ranks by inner product again.")
        return
    bm25 = legs.bm25()
    labelled = read_labelled(questions, split_to_tune_on(questions, split), limit, by)
    labelled_questions = labelled.questions
    refuse_service(store)
    encoder = encoder_of(store, choice)
    with open_tunable(store, encoder, read_only=dry_run, language=legs.language) as opened:
        if labelled.by == "passage":
            note_missing(opened, labelled_questions)
        with progress("asking", len(labelled_questions), quiet=quiet) as advance:
            tuning = tune_store(
                opened,
                labelled_questions,
                k=k,
                by=labelled.by,
                regex=regex,
                candidates=200 if legs.candidates is None else legs.candidates,
                bm25=bm25,
                keep=False,  # below, when the figures that it took so long to find have been shown
                seed=seed,
                left_out=labelled.left_out,
                progress=advance,
            )
        if as_json:
            say_json(_object(tuning))
        else:
            _show(tuning)
        if not dry_run:
            opened.set_tuned(tuning.tuned)
    if not as_json:
        say("the store was left as it is" if dry_run else f"{store} ranks so from now on, unless a call says otherwise")


def _show(tuning: Tuning) -> None:
    from dpr_rag.evaluation.report.tables import decimal
    from dpr_rag.evaluation.results import FOCUS

    console = output()
    ks = [k for k in tuning.best.accuracy if k <= FOCUS]
    console.print(f"{tuning.questions:,} questions, judged by {tuning.by}; 95 % intervals in brackets")
    show_left_out(tuning.questions, tuning.left_out)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    for name in (f"MRR@{tuning.k}", "behind the best", *(f"top-{k}" for k in ks)):
        table.add_column(name, justify="right")
    for candidate in tuning.candidates:
        accuracies = [percent(candidate.accuracy[k].value) for k in ks]
        table.add_row(
            candidate.name, interval(candidate.value, decimal), interval(candidate.less_than_best, decimal), *accuracies
        )
    console.print(table, soft_wrap=False)
    console.print(
        f"λ by cross-validation, of the five folds: {', '.join(f'{weight:.3g}' for weight in tuning.weights)}"
    )
    console.print(f"chosen: {tuning.chosen.ranking}, {_reason(tuning)}")


def _reason(tuning: Tuning) -> str:
    if tuning.chosen.name != tuning.best.name:
        return f"since {tuning.best.name} is less simple, and its lead may be chance"
    if tuning.chosen is tuning.candidates[0]:
        return "the best and the simplest"
    return "ahead of everything simpler by more than chance"


def _object(tuning: Tuning) -> dict[str, Any]:
    return {
        "questions": tuning.questions,
        "left_out": dict(tuning.left_out),
        "by": tuning.by,
        "k": tuning.k,
        "candidates": [dataclasses.asdict(candidate) for candidate in tuning.candidates],
        "best": tuning.best.name,
        "chosen": tuning.chosen.name,
        "weights": tuning.weights,
        "tuned": tuning.tuned.as_dict(),
    }

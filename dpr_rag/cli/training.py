"""The command `train`: an encoder out of training data, in a folder from which it goes on when it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.mining import note_lines
from dpr_rag.cli.options import Quiet
from dpr_rag.cli.reader_recipe import train_reader_on
from dpr_rag.cli.recipe_options import Recipe, RecipeName, RecipeOptions, refuse_foreign
from dpr_rag.cli.recipes import Preparation
from dpr_rag.cli.running import Start
from dpr_rag.cli.terminal import note, say
from dpr_rag.cli.training_options import TrainingOptions
from dpr_rag.cli.usage import parsing
from dpr_rag.cli.watching import shown
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag.training import TrainingResult, TrainingSettings, Validation
    from dpr_rag.training.processes import Processes


@expanded
def train(
    context: typer.Context,
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN...",
            help="Training sets in DPR's JSON, as `mine` writes them, Tevatron's or FlagEmbedding's, or triplets; for "
            "contriever corpora as `index` reads them, or stores.",
            show_default=False,
            parser=parsing(place_of),
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the encoder, or the reader.",
            show_default=False,
            parser=parsing(place_of),
        ),
    ],
    begin: Start,
    *,
    recipe: Recipe = RecipeName.dpr,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--dev",
            metavar="FILE",
            help="Held-out training set: loss and average rank; of a reader F1, exact match, selection.",
            parser=parsing(place_of),
        ),
    ] = None,
    dev_store: Annotated[
        Path | None,
        typer.Option(
            "--dev-store",
            metavar="DIR",
            help="Store whose passages --dev-questions are asked of.",
            parser=parsing(place_of),
        ),
    ] = None,
    dev_questions: Annotated[
        Path | None,
        typer.Option(
            "--dev-questions",
            metavar="FILE",
            help="Questions for top-k accuracy on --dev-store.",
            parser=parsing(place_of),
        ),
    ] = None,
    shared: TrainingOptions,
    options: RecipeOptions,
    quiet: Quiet = False,
) -> None:
    """Train a dual encoder as DPR was, by another recipe, or a reader; run again, it goes on where it stopped."""
    refuse_foreign(context, recipe, options)
    begin.check()
    from dpr_rag.training import train as train_encoder
    from dpr_rag.training.processes import join_processes

    settings = shared.settings(recipe, bf16=begin.in_bfloat16(shared.bf16))
    group = join_processes()
    start = cache(lambda: begin.load(quiet=not group.first))
    with ExitStack() as opened:
        preparation = Preparation(data, options, settings, start, output, group, quiet, opened, begin.device)
        if recipe is RecipeName.reader:
            _finish(train_reader_on(preparation, begin, validation), group, output)
            return
        prepared = preparation.of(recipe)
        encoder = start()
        settings = replace(prepared.settings, temperature=prepared.settings.temperature_for(encoder.profile))
        validations = _validation(validation, dev_store, dev_questions, settings, quiet=not group.first)
        total = prepared.steps * settings.batch_size * settings.accumulate
        with shown(total, quiet=quiet, first=group.first) as report_progress:
            result = train_encoder(
                prepared.source,
                output,
                init=encoder,
                settings=settings,
                objective=prepared.objective,
                validation=validations,
                progress=report_progress,
                device=begin.device,
            )
    _finish(result, group, output)


def _finish(done: TrainingResult, group: Processes, output: Path) -> None:
    from dpr_rag.training.processes import leave_processes

    if group.first:
        say(f"trained {done.steps:,} steps{_best_text(done)}: {output}")
    leave_processes()


def _best_text(done: TrainingResult) -> str:
    if done.best is None:
        return ""
    start = "" if done.start is None else f"start {done.start:.4g} -> "
    text = f", {start}best {done.best:.4g} after step {done.best_step:,}"
    return text if done.best_step else f"{text} (nothing surpassed the start, which is what was written)"


def _validation(
    samples: Path | None, store: Path | None, questions: Path | None, settings: TrainingSettings, *, quiet: bool
) -> Sequence[Validation]:
    from dpr_rag import PassageStore
    from dpr_rag.corpora import LeftOut, read_questions
    from dpr_rag.evaluation.results import told_left_out
    from dpr_rag.training import SampleValidation, StoreValidation, read_samples

    if (store is None) != (questions is None):
        raise typer.BadParameter("--dev-store and --dev-questions need one another", param_hint="--dev-store")
    validations: list[Validation] = []
    if samples is not None:
        held_out, report = read_samples(samples)
        if not quiet:
            note_lines([f"{report.samples:,} held-out samples", *report.lines()])
        validations.append(
            SampleValidation(held_out, batch_size=settings.batch_size, temperature=settings.temperature or 1.0)
        )
    if store is not None and questions is not None:
        left_out = LeftOut()
        question_list = list(read_questions(questions, left_out=left_out))
        if left_out and not quiet:
            note(told_left_out(len(question_list), left_out))
        with PassageStore.open(store, create=False, read_only=True) as opened:
            validations.append(StoreValidation(opened, question_list))
    return validations

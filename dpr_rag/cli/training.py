"""The command `train`: an encoder out of training data, in a folder from which it goes on when it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.mining import note_lines
from dpr_rag.cli.options import Quiet
from dpr_rag.cli.reader_recipe import train_reader_on
from dpr_rag.cli.recipe_options import (
    BatchTeacher,
    Clusters,
    Corpus,
    Deletion,
    Depth,
    Frozen,
    Momentum,
    Queue,
    Recipe,
    RecipeName,
    RecipeOptions,
    Refresh,
    Scored,
    TeacherModel,
    Weights,
    refuse_foreign,
)
from dpr_rag.cli.recipes import Preparation, with_defaults
from dpr_rag.cli.running import Start
from dpr_rag.cli.terminal import note, say
from dpr_rag.cli.usage import usage
from dpr_rag.cli.watching import shown
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag.training import TrainingResult, TrainingSettings, Validation
    from dpr_rag.training.processes import Processes


class Towers(StrEnum):
    """One tower or two."""

    as_given = "as-given"
    shared = "shared"
    separate = "separate"


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
            parser=place_of,
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
            parser=place_of,
        ),
    ],
    begin: Start,
    recipe: Recipe = RecipeName.dpr,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--dev",
            metavar="FILE",
            help="Held-out training set: loss and average rank; of a reader F1, exact match, selection.",
            parser=place_of,
        ),
    ] = None,
    dev_store: Annotated[
        Path | None,
        typer.Option(
            "--dev-store", metavar="DIR", help="Store whose passages --dev-questions are asked of.", parser=place_of
        ),
    ] = None,
    dev_questions: Annotated[
        Path | None,
        typer.Option(
            "--dev-questions", metavar="FILE", help="Questions for top-k accuracy on --dev-store.", parser=place_of
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            help="Questions of a batch (default: 128; ance 64, tas-b 256, contriever 2,048, reader 16).",
        ),
    ] = None,
    hard_negatives: Annotated[
        int | None,
        typer.Option(
            "--hard-negatives", min=0, help="dpr, ance, reader: of a question in each epoch (default: 1; reader 2)."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", min=1, help="How often every sample is seen (default: 40; reader 2; contriever 500,000 steps)."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps in all, instead of epochs.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--lr", help="Highest learning rate (default: 2e-5; ance 1e-6, tas-b 7e-6, contriever and reader 5e-5)."
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            "--warmup",
            min=0,
            help="Steps of warm-up (default: 1,237, ance 5,000, contriever 20,000, or a tenth of all if less).",
        ),
    ] = None,
    dropout: Annotated[float, typer.Option("--dropout", help="Of hidden states and attention.")] = 0.1,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            help="Scores are divided by it (default: 0.05 for contriever and where vectors are normalised, else 1).",
        ),
    ] = None,
    towers: Annotated[Towers, typer.Option("--towers", help="Train one tower or two.")] = Towers.as_given,
    weights: Weights = None,
    store: Corpus = None,
    refresh: Refresh = None,
    depth: Depth = 200,
    teacher: TeacherModel = None,
    scored: Scored = False,
    batch_teacher: BatchTeacher = None,
    clusters: Clusters = None,
    queue: Queue = 131_072,
    momentum: Momentum = 0.9995,
    deletion: Deletion = 0.1,
    frozen: Frozen = 0,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches of one step.")] = 1,
    bf16: Annotated[bool, typer.Option("--bf16", help="Run the towers in bfloat16.")] = False,
    chunk_tokens: Annotated[
        int | None,
        typer.Option("--chunk-tokens", min=1, help="Tokens that are trained on at once: less memory if fewer."),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option("--validate-every", min=1, help="Steps between validations (default: every epoch).")
    ] = None,
    select: Annotated[
        str | None, typer.Option("--select", metavar="MEASURE", help="What the best weights are kept by, or last.")
    ] = None,
    average: Annotated[
        float, typer.Option("--average-with-start", help="Share of the starting weights in those written.")
    ] = 0.0,
    save_every: Annotated[int, typer.Option("--save-every", min=1, help="Steps between saved states.")] = 500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of order, draws and dropout.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a dual encoder as DPR was, by another recipe, or a reader; run again, it goes on where it stopped."""
    options = RecipeOptions(
        weights, store, refresh, depth, teacher, scored, batch_teacher, clusters, queue, momentum, deletion, frozen
    )
    refuse_foreign(context, recipe, options)
    begin.check()
    from dpr_rag.training import TrainingSettings
    from dpr_rag.training import train as train_encoder
    from dpr_rag.training.processes import join_processes

    values = {
        "batch_size": batch_size,
        "learning_rate": rate,
        "epochs": epochs,
        "steps": steps,
        "temperature": temperature,
        "hard_negatives": hard_negatives,
        "warmup_steps": warmup,
        "dropout": dropout,
        "towers": towers.value,
        "accumulate": accumulate,
        "bf16": begin.in_bfloat16(bf16),
        "chunk_tokens": chunk_tokens,
        "seed": seed,
        "validate_every": validate_every,
        "select": select,
        "average_with_start": average,
        "save_every": save_every,
    }
    with usage():
        settings = TrainingSettings(**with_defaults(recipe, values))
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
        total = prepared.steps * settings.batch_size * accumulate
        with shown(total, quiet=quiet or not group.first) as report_progress:
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

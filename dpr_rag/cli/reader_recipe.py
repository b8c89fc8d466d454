"""The recipe `reader` of `train`: trains DPR's second stage on answers in passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dpr_rag.cli.mining import note_lines
from dpr_rag.cli.reranking import load_reader
from dpr_rag.cli.terminal import note
from dpr_rag.cli.watching import shown

if TYPE_CHECKING:
    from dpr_rag import Reader
    from dpr_rag.cli.recipes import Preparation
    from dpr_rag.cli.running import Start
    from dpr_rag.training import TrainingResult, Validation


def train_reader_on(preparation: Preparation, begin: Start, validation: Path | None) -> TrainingResult:
    """Train a reader.

    Args:
        preparation: Data, options and settings.
        begin: The options for the starting weights: a reader, or an encoder to make one of.
        validation: Held-out samples.

    Raises:
        typer.BadParameter: Options do not go together.
        TrainingError: There is nothing to train on.
    """
    from dpr_rag.training.reading import SETTINGS, train_reader

    samples = preparation.with_negatives(preparation.samples(*preparation.data), "a reader")
    without_answers = sum(not sample.answers for sample in samples)
    if without_answers and preparation.group.first:
        note(f"{without_answers:,} samples without answers teach which passage to choose, and nothing of answers")
    settings = replace(preparation.settings, gradient_norm=SETTINGS.gradient_norm)
    total = (settings.steps or settings.epochs * -(-len(samples) // settings.batch_size)) * settings.batch_size
    start = _start(begin, seed=settings.seed, quiet=not preparation.group.first)
    validations = _validation(validation, quiet=not preparation.group.first)
    with shown(total * settings.accumulate, quiet=preparation.quiet, first=preparation.group.first) as report_progress:
        return train_reader(
            samples,
            preparation.output,
            init=start,
            settings=settings,
            frozen=preparation.options.frozen,
            validation=validations,
            progress=report_progress,
            device=preparation.device,
        )


def _start(begin: Start, *, seed: int, quiet: bool) -> Reader:
    """Load the named reader, or make one of an encoder."""
    from dpr_rag.encoders.folders import find_folder
    from dpr_rag.training.reading import reader_from

    if begin.init is None or find_folder(begin.init).architecture != "DPRReader":
        return reader_from(begin.load(quiet=quiet), seed=seed)
    if begin.context or begin.profile:
        raise typer.BadParameter("--context-model and --profile go with an encoder", param_hint="--init")
    reader = load_reader(begin.init, device="cpu", runtime="torch")
    if not quiet:
        note(f"reader {reader.source}")
    return reader


def _validation(file: Path | None, *, quiet: bool) -> Sequence[Validation]:
    from dpr_rag.training import read_samples
    from dpr_rag.training.reading_validation import ReadingValidation

    if file is None:
        return ()
    held_out, report = read_samples(file)
    if not quiet:
        note_lines([f"{report.samples:,} held-out samples", *report.lines()])
    return [ReadingValidation(held_out)]

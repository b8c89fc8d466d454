"""The recipe `reader` of `train`: DPR's second stage, from answers in passages, and what it begins with."""

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


def train_reader_on(made: Preparation, begin: Start, validation: Path | None) -> TrainingResult:
    """Train a reader.

    Args:
        made: Data, options and settings.
        begin: What ``--init`` named: a reader, or the encoder to make one of.
        validation: Held-out samples.

    Raises:
        typer.BadParameter: Options do not go together.
        TrainingError: There is nothing to train on.
    """
    from dpr_rag.training.reading import SETTINGS, train_reader

    samples = made.with_negatives(made.samples(*made.data), "a reader")
    bare = sum(not one.answers for one in samples)
    if bare and made.group.first:
        note(f"{bare:,} samples without answers teach which passage to choose, and nothing of answers")
    settings = replace(made.settings, gradient_norm=SETTINGS.gradient_norm)
    total = (settings.steps or settings.epochs * -(-len(samples) // settings.batch_size)) * settings.batch_size
    start = _start(begin, seed=settings.seed, quiet=not made.group.first)
    measured = _validation(validation, quiet=not made.group.first)
    with shown(total * settings.accumulate, quiet=made.quiet or not made.group.first) as told:
        return train_reader(
            samples,
            made.output,
            init=start,
            settings=settings,
            frozen=made.options.frozen,
            validation=measured,
            progress=told,
            device=made.device,
        )


def _start(begin: Start, *, seed: int, quiet: bool) -> Reader:
    """A reader that was named, or one made of an encoder."""
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

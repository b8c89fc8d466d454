"""The command `train`: an encoder out of training data, in a folder from which it goes on when it was stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.mining import note_lines
from dpr_rag.cli.options import ContextModel, Profile, Quiet
from dpr_rag.cli.terminal import note, progress, say
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import DualEncoder
    from dpr_rag.training import Progress, TrainingResult, TrainingSettings, Validation
    from dpr_rag.training.progress import Told


class Towers(StrEnum):
    """One tower or two."""

    as_given = "as-given"
    shared = "shared"
    separate = "separate"


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN...",
            help="Training sets in DPR's JSON, as `mine` writes them, Tevatron's or FlagEmbedding's, or triplets.",
            show_default=False,
            parser=place_of,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the encoder.", show_default=False, parser=place_of
        ),
    ],
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="MODEL", help="Folder or hub name to start from (default: the built-in encoder)."
        ),
    ] = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    validation: Annotated[
        Path | None,
        typer.Option("--dev", metavar="FILE", help="Held-out training set: loss and average rank.", parser=place_of),
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
    batch_size: Annotated[int, typer.Option("--batch", min=1, help="Questions of a batch.")] = 128,
    hard_negatives: Annotated[int, typer.Option("--hard-negatives", min=0, help="Of a question in each epoch.")] = 1,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="How often every sample is seen.")] = 40,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps in all, instead of epochs.")] = None,
    rate: Annotated[float, typer.Option("--lr", help="Highest learning rate.")] = 2e-5,
    warmup: Annotated[
        int | None,
        typer.Option("--warmup", min=0, help="Steps of warm-up (default: 1,237, or a tenth of all if less)."),
    ] = None,
    dropout: Annotated[float, typer.Option("--dropout", help="Of hidden states and attention.")] = 0.1,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", help="Scores are divided by it (default: 0.05 where vectors are normalised, else 1)."
        ),
    ] = None,
    towers: Annotated[Towers, typer.Option("--towers", help="Train one tower or two.")] = Towers.as_given,
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
    """Train a dual encoder as DPR was; run again, it goes on where it stopped."""
    from dpr_rag.training import RandomBatches, TrainingSettings, read_samples
    from dpr_rag.training import train as trained
    from dpr_rag.training.processes import join_processes, leave_processes

    settings = TrainingSettings(
        batch_size=batch_size,
        hard_negatives=hard_negatives,
        epochs=epochs,
        steps=steps,
        learning_rate=rate,
        warmup_steps=warmup,
        dropout=dropout,
        temperature=temperature,
        towers=towers.value,
        accumulate=accumulate,
        bf16=bf16,
        chunk_tokens=chunk_tokens,
        seed=seed,
        validate_every=validate_every,
        select=select,
        average_with_start=average,
        save_every=save_every,
    )
    first = join_processes().first
    samples, report = read_samples(*data)
    if first:
        note(f"{report.samples:,} samples")
        note_lines(report.lines())
    encoder = _load(init, context_model, profile)
    settings = replace(settings, temperature=settings.temperature_for(encoder.profile))
    measured = _validation(validation, dev_store, dev_questions, settings, quiet=not first)
    source = RandomBatches(samples, batch_size=batch_size, hard_negatives=hard_negatives)
    total = batch_size * accumulate * steps if steps else len(samples) * epochs
    with _shown(total, quiet=quiet or not first) as told:
        done = trained(source, output, init=encoder, settings=settings, validation=measured, progress=told)
    if first:
        say(f"trained {done.steps:,} steps{_kept(done)}: {output}")
    leave_processes()


def _kept(done: TrainingResult) -> str:
    if done.best is None:
        return ""
    start = "" if done.start is None else f"start {done.start:.4g} -> "
    kept = f", {start}best {done.best:.4g} after step {done.best_step:,}"
    return kept if done.best_step else f"{kept} (nothing surpassed the start, which is what was written)"


def _load(init: str | None, context: str | None, profile: str | None) -> DualEncoder:
    from dpr_rag import DualEncoder

    if init is None:
        if context or profile:
            raise typer.BadParameter("--context-model and --profile need --init beside them", param_hint="--init")
        return DualEncoder.default(device="cpu", runtime="torch")
    return DualEncoder.from_pretrained(init, context, profile=profile, device="cpu", runtime="torch")


def _validation(
    samples: Path | None, store: Path | None, questions: Path | None, settings: TrainingSettings, *, quiet: bool
) -> Sequence[Validation]:
    from dpr_rag import PassageStore
    from dpr_rag.corpora import LeftOut, read_questions
    from dpr_rag.evaluation.results import told_left_out
    from dpr_rag.training import SampleValidation, StoreValidation, read_samples

    if (store is None) != (questions is None):
        raise typer.BadParameter("--dev-store and --dev-questions need one another", param_hint="--dev-store")
    found: list[Validation] = []
    if samples is not None:
        held_out, report = read_samples(samples)
        if not quiet:
            note_lines([f"{report.samples:,} held-out samples", *report.lines()])
        found.append(
            SampleValidation(held_out, batch_size=settings.batch_size, temperature=settings.temperature or 1.0)
        )
    if store is not None and questions is not None:
        left_out = LeftOut()
        asked = list(read_questions(questions, left_out=left_out))
        if left_out and not quiet:
            note(told_left_out(len(asked), left_out))
        with PassageStore.open(store, create=False, read_only=True) as opened:
            found.append(StoreValidation(opened, asked))
    return found


@contextmanager
def _shown(total: int, *, quiet: bool) -> Iterator[Told]:
    """A bar in questions while a person watches, and a line for every validation."""
    with progress("training", total, quiet=quiet) as advance, _ends_between_steps() as check:

        def told(now: Progress) -> None:
            advance(total * now.step // now.steps)
            if now.measures is not None and not quiet:
                note(_line(now))
            check()

        yield told


@contextmanager
def _ends_between_steps() -> Iterator[Callable[[], None]]:
    """Let the first Ctrl-C wait for the end of the step, where the state can be saved; the second one does not wait."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note_it(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)
        note("saving after this step; press Ctrl-C again to stop at once")

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note_it)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    left = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {left}"
    )

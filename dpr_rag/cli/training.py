"""The commands `mine` and `train`: training data out of questions and a store, and an encoder out of training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.labelled import Limit, Questions, Regex, Split
from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import ContextModel, Model, Profile, Quiet
from dpr_rag.cli.terminal import note, printable, progress
from dpr_rag.errors import CorpusError

if TYPE_CHECKING:
    from dpr_rag import DualEncoder
    from dpr_rag.corpora import SkipReport
    from dpr_rag.training import Progress, Validation
    from dpr_rag.training.trainer import Told


class Source(StrEnum):
    """Which ranking hard negatives come from."""

    bm25 = "bm25"
    dense = "dense"
    both = "both"


class Towers(StrEnum):
    """One tower or two."""

    as_given = "as-given"
    shared = "shared"
    separate = "separate"


def mine(
    questions: Questions,
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="Folder of the store.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="DPR's training JSON, or JSONL by name.", show_default=False
        ),
    ],
    source: Annotated[
        Source, typer.Option("--from", help="Where hard negatives come from: words, vectors, or both in turn.")
    ] = Source.bm25,
    negatives: Annotated[int, typer.Option("--negatives", "-n", min=1, help="Hard negatives of a question.")] = 30,
    first: Annotated[int, typer.Option("--first", min=1, help="Best rank of a negative.")] = 1,
    last: Annotated[int, typer.Option("--last", min=1, help="Worst rank of a negative.")] = 100,
    margin: Annotated[
        float | None, typer.Option("--margin", help="Negatives score at least so much below the best positive.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Of a training set: add to its hard negatives.")] = False,
    regex: Regex = False,
    split: Split = None,
    limit: Limit = None,
    model: Model = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Find hard negatives for questions, or new ones for a training set."""
    from dpr_rag import PassageStore
    from dpr_rag.corpora import SkipReport, write_training
    from dpr_rag.training import Mining
    from dpr_rag.training import mine as mined
    from dpr_rag.training.inputs import read_minable

    mining = Mining(source.value, negatives, first, last, margin, regex, keep)
    _check_folder(output)
    skipped = SkipReport(keep=5)
    asked = list(islice(read_minable(questions, split=split, on_bad=skipped), limit))
    encoder = encoder_of(store, ModelChoice(model, context_model, profile)) if source != Source.bm25 else None
    with PassageStore.open(store, encoder=encoder, create=False) as opened:
        with progress("mining", len(asked), quiet=quiet) as advance:
            samples, report = mined(asked, opened, mining=mining, progress=advance)
    count = write_training(output, samples)
    typer.echo(f"wrote {count:,} of {report.questions:,} questions to {output}")
    _note_skipped(skipped, "questions")
    for line in report.lines():
        note(printable(line) if not line.startswith(" ") else f"  {printable(line)}")


def _check_folder(path: Path) -> None:
    """Find out before the work, and not after it, that a file has no folder."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CorpusError(f"{path}: cannot be written; name a file in a folder that exists")


def _note_skipped(skipped: SkipReport, what: str) -> None:
    if skipped.count:
        note(f"{skipped.count:,} {what} could not be read and were left out")
        for example in skipped.examples:
            note(f"  {printable(example)}")


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN...", help="Training sets in DPR's JSON, as `mine` writes them.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the encoder.", show_default=False)
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
        Path | None, typer.Option("--dev", metavar="FILE", help="Held-out training set: loss and average rank.")
    ] = None,
    dev_store: Annotated[
        Path | None,
        typer.Option("--dev-store", metavar="DIR", help="Store whose passages --dev-questions are asked of."),
    ] = None,
    dev_questions: Annotated[
        Path | None,
        typer.Option("--dev-questions", metavar="FILE", help="Questions for top-k accuracy on --dev-store."),
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
        float, typer.Option("--temperature", help="Scores are divided by it; normalised vectors want about 0.05.")
    ] = 1.0,
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
    from dpr_rag.training import TrainingSettings, read_samples
    from dpr_rag.training import train as trained
    from dpr_rag.training.processes import join_processes

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
        for line in report.lines():
            note(printable(line) if not line.startswith(" ") else f"  {printable(line)}")
    encoder = _load(init, context_model, profile)
    measured = _validation(validation, dev_store, dev_questions, settings.batch_size, temperature)
    total = batch_size * accumulate * steps if steps else len(samples) * epochs
    with _shown(total, quiet=quiet or not first) as told:
        done = trained(samples, output, init=encoder, settings=settings, validation=measured, progress=told)
    if first:
        kept = "" if done.best is None else f", best {done.best:.4g} after step {done.best_step:,}"
        typer.echo(f"trained {done.steps:,} steps{kept}: {output}")


def _load(init: str | None, context: str | None, profile: str | None) -> DualEncoder:
    from dpr_rag import DualEncoder

    if init is None:
        if context or profile:
            raise typer.BadParameter("--context-model and --profile need --init beside them", param_hint="--init")
        return DualEncoder.default(device="cpu")
    return DualEncoder.from_pretrained(init, context, profile=profile, device="cpu")


def _validation(
    samples: Path | None, store: Path | None, questions: Path | None, batch_size: int, temperature: float
) -> Sequence[Validation]:
    from dpr_rag import PassageStore
    from dpr_rag.corpora import read_questions
    from dpr_rag.training import SampleValidation, StoreValidation, read_samples

    if (store is None) != (questions is None):
        raise typer.BadParameter("--dev-store and --dev-questions need one another", param_hint="--dev-store")
    found: list[Validation] = []
    if samples is not None:
        held_out, _ = read_samples(samples)
        found.append(SampleValidation(held_out, batch_size=batch_size, temperature=temperature))
    if store is not None and questions is not None:
        with PassageStore.open(store, create=False, read_only=True) as opened:
            found.append(StoreValidation(opened, list(read_questions(questions))))
    return found


@contextmanager
def _shown(total: int, *, quiet: bool) -> Iterator[Told]:
    """A bar in questions while a person watches, and a line for every validation."""
    with progress("training", total, quiet=quiet) as advance:

        def told(now: Progress) -> None:
            advance(total * now.step // now.steps)
            if now.measures is not None and not quiet:
                note(_line(now))

        yield told


def _line(now: Progress) -> str:
    figures = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in (now.measures or {}).items())
    left = f"{now.seconds_left / 60:,.0f} min left" if now.step < now.steps else "done"
    best = " (best)" if now.best else ""
    return (
        f"step {now.step:,} of {now.steps:,}: loss {now.loss:.4g}{figures}{best}; "
        f"{now.questions_per_second:,.1f} questions/s, {left}"
    )

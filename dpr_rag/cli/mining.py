"""The command `mine`: training data out of questions and a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.labelled import Limit, Questions, Regex, split_to_tune_on
from dpr_rag.cli.models import ModelChoice
from dpr_rag.cli.options import Quiet
from dpr_rag.cli.ranking import BM25Options
from dpr_rag.cli.stores import encoder_at, open_existing
from dpr_rag.cli.terminal import Advance, note, progress, say
from dpr_rag.cli.usage import parsing, usage
from dpr_rag.errors import CorpusError
from dpr_rag.paths import place_of, store_of

if TYPE_CHECKING:
    from dpr_rag.corpora import Question, TrainingSample
    from dpr_rag.training.mining import Miner


class Source(StrEnum):
    """Which ranking hard negatives come from."""

    bm25 = "bm25"
    dense = "dense"
    both = "both"


@expanded
def mine(
    questions: Questions,
    store: Annotated[
        str,
        typer.Option(
            "--store",
            metavar="STORE",
            help="Folder of the store, or its address.",
            show_default=False,
            parser=parsing(store_of),
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="DPR's training JSON, or JSONL by name.",
            show_default=False,
            parser=parsing(place_of),
        ),
    ],
    choice: ModelChoice,
    words: BM25Options,
    source: Annotated[
        Source, typer.Option("--from", help="Where hard negatives come from: words, vectors, or both in turn.")
    ] = Source.bm25,
    negatives: Annotated[int, typer.Option("--negatives", "-n", min=1, help="Hard negatives of a question.")] = 30,
    first: Annotated[int, typer.Option("--first", min=1, help="Best rank of a negative.")] = 1,
    last: Annotated[int, typer.Option("--last", min=1, help="Worst rank of a negative.")] = 100,
    positive_last: Annotated[
        int | None,
        typer.Option(
            "--positive-last",
            min=1,
            help="Worst rank of a passage found by its answer (default: as --last).",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Negatives score at least so much below the best positive (not for both)."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Of a training set: add to its hard negatives.")] = False,
    regex: Regex = False,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Of a BEIR folder: its qrels (default: train, else dev)."),
    ] = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Find hard negatives for questions, or new ones for a training set."""
    from dpr_rag.corpora import LeftOut, SkipReport, write_training
    from dpr_rag.evaluation.results import told_left_out
    from dpr_rag.training import Mining
    from dpr_rag.training.inputs import is_training, read_minable
    from dpr_rag.training.mining import Miner

    with usage():
        mining = Mining(source.value, negatives, first, last, margin, regex, keep, words.bm25(), positive_last)
    _check_folder(output)
    skipped, left_out = SkipReport(keep=5), LeftOut()
    split = split_to_tune_on(questions, split, order=("train", "dev"), purpose="learn from")
    all_questions = read_minable(questions, split=split, on_bad=skipped, left_out=left_out)
    chosen_questions: Iterable[Question | TrainingSample] = islice(all_questions, limit)
    if not is_training(questions):  # a training set may be too large to be held, and is read as a stream
        chosen_questions = list(chosen_questions)
    encoder = encoder_at(store, choice) if source != Source.bm25 else None
    with open_existing(store, encoder, read_only=False, language=words.language) as opened:
        miner = Miner(opened, mining)
        total = len(chosen_questions) if isinstance(chosen_questions, list) else limit
        with progress("mining", total, quiet=quiet) as advance:
            count = write_training(output, _counted(miner, chosen_questions, advance))
    say(f"wrote {count:,} of {miner.report.questions:,} questions to {output}")
    if left_out:
        note_lines([told_left_out(miner.report.questions, left_out)])
    if skipped.count:
        note_lines([f"{skipped.count:,} questions could not be read and were left out"])
        note_lines(f"  {example}" for example in skipped.examples)
    note_lines(miner.report.lines())


def _counted(
    miner: Miner, questions: Iterable[Question | TrainingSample], advance: Advance
) -> Iterator[TrainingSample]:
    for sample in miner.mine(questions):
        advance(miner.report.questions)
        yield sample


def note_lines(lines: Iterable[str]) -> None:
    """Write notes, with their indentation and with control characters escaped."""
    for line in lines:
        note(("  " if line.startswith(" ") else "") + printable(line))


def _check_folder(path: Path) -> None:
    """Check before the work that a file can be written."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CorpusError(f"{path}: cannot be written; name a file in a folder that exists")

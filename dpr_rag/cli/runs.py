"""Runs of other systems on the command line: their options, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.terminal import note
from dpr_rag.cli.usage import parsing
from dpr_rag.errors import CorpusError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import Store
    from dpr_rag.corpora import Question
    from dpr_rag.evaluation import Run

Runs = Annotated[
    list[Path] | None,
    typer.Option(
        "--run",
        metavar="FILE",
        help="Judge a run of another system, too: TREC's, MS MARCO's, or DPR's result JSON; may be repeated.",
        parser=parsing(place_of),
    ),
]
QuestionsOption = Annotated[
    Path | None,
    typer.Option(
        "--questions", metavar="FILE", help="QUESTIONS where no STORE is named, for runs.", parser=parsing(place_of)
    ),
]


def check_named(store: str | None, questions: Path | None, runs: Sequence[Path] | None) -> Path:
    """Return the questions, after checking that a store or a run is given.

    Raises:
        typer.BadParameter: There are no questions, or neither a store nor a run.
    """
    if questions is None:
        raise typer.BadParameter("name the questions: QUESTIONS after STORE, or --questions", param_hint="QUESTIONS")
    if store is None and not runs:
        raise typer.BadParameter(
            "name the folder of a store, or a run of another system with --run", param_hint="STORE"
        )
    return questions


def read_runs(paths: Sequence[Path] | None) -> dict[str, Run]:
    """Read runs, each named after its file, or by its path where two files have the same name.

    Raises:
        CorpusError: One is missing or malformed.
    """
    from dpr_rag.evaluation import read_run
    from dpr_rag.fusion.ranking import Mode

    files = paths or []
    names = [*(path.name for path in files), *get_args(Mode)]
    for path in files:
        if not path.exists():
            raise CorpusError(f"{path}: does not exist; --run reads a run, and --write-run writes one")
    return {path.name if names.count(path.name) == 1 else str(path): read_run(path) for path in files}


def with_texts(runs: dict[str, Run], store: Store) -> dict[str, Run]:
    """Complete runs that hold ids only with the store's passages, and note those that it lacks."""
    return {name: _with_passages(name, run, store) if run.bare else run for name, run in runs.items()}


def _with_passages(name: str, run: Run, store: Store) -> Run:
    passage_ids = run.ids()
    passages = store.get(passage_ids)
    if len(passages) < len(passage_ids):
        lacking = min(passage_ids - {passage.id for passage in passages})
        missing = f"{len(passage_ids) - len(passages):,} of {len(passage_ids):,} passages of {name}"
        note(printable(f"{missing} are not in the store (one is {lacking!r:.120})"))
    return run.filled(passages)


def note_unasked(runs: dict[str, Run], questions: Sequence[Question]) -> None:
    """Note how many questions a run lacks, which count as lost."""
    for name, run in runs.items():
        lacking = sum(not run.hits(question) for question in questions)
        if lacking:
            note(printable(f"{name} has no hits for {lacking:,} of {len(questions):,} questions, which count as lost"))

"""Runs of other systems on the command line: the options that name them, and what is judged beside what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.terminal import note
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
        parser=place_of,
    ),
]
QuestionsOption = Annotated[
    Path | None,
    typer.Option("--questions", metavar="FILE", help="QUESTIONS where no STORE is named, for runs.", parser=place_of),
]


def check_named(store: str | None, questions: Path | None, runs: Sequence[Path] | None) -> Path:
    """The questions, where it is said what is to be judged on them.

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
    """Read runs, each called by its file's name, or its path where two have one name.

    Raises:
        CorpusError: One is missing or malformed.
    """
    from dpr_rag.evaluation import read_run
    from dpr_rag.fusion.ranking import Mode

    given = paths or []
    names = [*(path.name for path in given), *get_args(Mode)]
    for path in given:
        if not path.exists():
            raise CorpusError(f"{path}: does not exist; --run reads a run, and --write-run writes one")
    return {path.name if names.count(path.name) == 1 else str(path): read_run(path) for path in given}


def with_texts(runs: dict[str, Run], store: Store) -> dict[str, Run]:
    """Runs of ids with the passages of the store, and a note of those that it does not have."""
    return {name: _filled(name, run, store) if run.bare else run for name, run in runs.items()}


def _filled(name: str, run: Run, store: Store) -> Run:
    wanted = run.ids()
    passages = store.get(wanted)
    if len(passages) < len(wanted):
        lacking = min(wanted - {passage.id for passage in passages})
        missing = f"{len(wanted) - len(passages):,} of {len(wanted):,} passages of {name}"
        note(printable(f"{missing} are not in the store (one is {lacking!r:.120})"))
    return run.filled(passages)


def note_unasked(runs: dict[str, Run], asked: Sequence[Question]) -> None:
    """Say how many of the questions a run does not have, which count as lost."""
    for name, run in runs.items():
        lacking = sum(not run.hits(question) for question in asked)
        if lacking:
            note(printable(f"{name} has no hits for {lacking:,} of {len(asked):,} questions, which count as lost"))

"""The files that `evaluate` writes: their options, the checks before the work, and the writing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.stores import open_existing
from dpr_rag.cli.terminal import note
from dpr_rag.cli.usage import parsing, usage
from dpr_rag.errors import CorpusError
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag.corpora import Question
    from dpr_rag.evaluation import Evaluation, Run


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The files for the results."""

    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write a page with curves and lost questions (HTML).",
            parser=parsing(place_of),
        ),
    ] = None
    results: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write DPR's result JSON; a file per mode where there are several.",
            parser=parsing(place_of),
        ),
    ] = None
    run: Annotated[
        Path | None,
        typer.Option(
            "--write-run",
            metavar="FILE",
            help="Write a TREC run; a file per mode where there are several.",
            parser=parsing(place_of),
        ),
    ] = None
    per_question: Annotated[
        Path | None,
        typer.Option(
            "--per-question",
            metavar="FILE",
            help="Write every measure of every question and system: .tsv or .jsonl.",
            parser=parsing(place_of),
        ),
    ] = None

    def check(self, sources: Sequence[Path], systems: Sequence[str]) -> None:
        """Check before the questions are asked that the files can be written and are distinct.

        Args:
            sources: What is read, and not to be overwritten.
            systems: Names of what is evaluated, which get a file each where there are several.

        Raises:
            typer.BadParameter: One is needed for something else, or its name does not say its form.
            CorpusError: One cannot be written.
        """
        from dpr_rag.evaluation.files import per_question_form

        used = {path.resolve() for source in sources for path in _files_of(source)}
        named = [path for path in (self.results, self.run) if path is not None]
        of_systems = [_of_mode(path, name, len(systems)) for path in named for name in systems if len(systems) > 1]
        for path in (self.report, self.results, self.run, self.per_question, *of_systems):
            if path is None:
                continue
            if path.resolve() in used:
                raise typer.BadParameter(
                    f"{path} would overwrite the questions, their judgements, a run or another result; name a file of its own"
                )
            used.add(path.resolve())
            if (path.exists() and not path.is_file()) or not os.access(path.absolute().parent, os.W_OK):
                raise CorpusError(
                    f"{path}: cannot be written; name a file in a folder that exists and can be written to"
                )
        if self.per_question is not None:
            with usage("--per-question"):
                per_question_form(self.per_question)

    def check_ids(self, questions: Sequence[Question], runs: Mapping[str, Run], store: str | None) -> None:
        """Check before the questions are asked that a TREC run can hold the ids of questions and passages.

        Args:
            questions: The questions.
            runs: Runs of other systems.
            store: The evaluated store, or None.

        Raises:
            CorpusError: An id does not fit; the error names the first one.
        """
        if self.run is None:
            return
        from dpr_rag.evaluation import check_run_ids
        from dpr_rag.evaluation.files import fits_a_run

        passage_ids: Iterator[str] = (
            hit.passage.id for run in runs.values() for question in questions for hit in run.hits(question)
        )
        check_run_ids(self.run, chain((question.id for question in questions), passage_ids))
        if store is not None:
            with open_existing(store) as opened:
                check_run_ids(
                    self.run, (passage.id for passage in opened.select(lambda passage: not fits_a_run(passage.id), 1))
                )

    def write(self, evaluation: Evaluation, settings: Mapping[str, str]) -> None:
        """Write the files.

        Raises:
            CorpusError: One cannot be written.
        """
        from dpr_rag.evaluation import write_dpr_results, write_per_question, write_report, write_run

        if self.report is not None:
            title = f"Retrieval from {Path(settings['store']).name}" if "store" in settings else "Retrieval"
            write_report(self.report, evaluation, settings, title=title)
            note(f"wrote {self.report}")
        if self.per_question is not None:
            write_per_question(self.per_question, evaluation)
            note(f"wrote {self.per_question}")
        for system in evaluation.systems:
            if self.results is not None:
                target = _of_mode(self.results, system.name, len(evaluation.systems))
                write_dpr_results(target, system, evaluation.by)
                note(f"wrote {target}")
            if self.run is not None:
                target = _of_mode(self.run, system.name, len(evaluation.systems))
                write_run(target, system)
                note(f"wrote {target}")


def _files_of(source: Path) -> Iterator[Path]:
    """A file that is read, or those of a BEIR folder."""
    from dpr_rag.corpora.questions import split_files

    yield source
    if source.is_dir():
        yield from (source / f"{name}.jsonl{packed}" for name in ("corpus", "queries") for packed in ("", ".gz"))
        yield from split_files(source)[0]


def _of_mode(path: Path, mode: str, count: int) -> Path:
    """The file of one mode among several: results.json becomes results.dense.json."""
    if count == 1:
        return path
    mode = mode.strip("/").replace("/", "_")  # runs of one name are told apart by their folders
    packed = ".gz" if path.suffix == ".gz" else ""
    plain = path.with_name(path.name.removesuffix(packed))
    return plain.with_name(f"{plain.stem}.{mode}{plain.suffix}{packed}")

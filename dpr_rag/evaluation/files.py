"""Writes results for other tools: DPR's result JSON, TREC runs, and values per question."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dpr_rag.corpora import Result, write_results
from dpr_rag.corpora.lines import writing
from dpr_rag.errors import CorpusError
from dpr_rag.evaluation.results import By, Evaluation, QuestionResult, SystemResult
from dpr_rag.faces import ByFace
from dpr_rag.paths import place_of

_ABOUT = ("question_id", "question", "system")


def write_dpr_results(path: str | Path, system: SystemResult, by: By) -> int:
    """Write what a system found as DPR's result JSON, and return for how many questions; FiD and Pyserini read it.

    Args:
        path: The file to write or replace.
        system: The system's result.
        by: What was judged; ``has_answer`` stands in the file where it was the answer.

    Raises:
        CorpusError: The file cannot be written.
    """
    return write_results(path, (_result(result, by) for result in system.results))


def _result(result: QuestionResult, by: By) -> Result:
    right = result.right if by == "answer" else (None,) * len(result.hits)
    return Result(result.question.question, result.question.answers, result.hits, right)


def write_per_question(path: str | Path, evaluation: Evaluation) -> int:
    """Write what each measure gives for each question and system, and return how many lines; to compare systems by others' tests.

    Columns or keys are ``question_id``, ``question``, ``system``, and the measures by their names.

    Args:
        path: A file that ends in ``.tsv`` (quoted as csv does where a question holds a tab, a quotation mark or a line break)
            or ``.jsonl``, with ``.gz`` behind it or not.
        evaluation: What was measured.

    Raises:
        CorpusError: The name ends otherwise, or the file cannot be written.
    """
    path, names = place_of(path), list(evaluation.systems[0].values)
    form = per_question_form(path)
    with writing(path) as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        if form == ".tsv":
            table.writerow([*_ABOUT, *names])
        lines = 0
        for row, result in enumerate(evaluation.systems[0].results):
            for system in evaluation.systems:
                about = (result.question.id, result.question.question, system.name)
                values = [system.values[name][row] for name in names]
                if form == ".tsv":
                    table.writerow([*about, *map(repr, values)])
                else:
                    record = dict(zip((*_ABOUT, *names), (*about, *values), strict=True))
                    file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
                lines += 1
    return lines


def per_question_form(path: Path) -> str:
    """The form that a file's name asks for: ``.tsv`` or ``.jsonl``.

    Raises:
        CorpusError: It ends otherwise.
    """
    form = Path(path.name.lower().removesuffix(".gz")).suffix
    if form not in (".tsv", ".jsonl"):
        raise CorpusError(f"{path}: the name ends in neither .tsv nor .jsonl, by which the form is chosen; rename it")
    return form


def write_run(path: str | Path, system: SystemResult) -> int:
    """Write the hits of a system as a TREC run ``qid Q0 docid rank score tag``, and return the number of lines.

    trec_eval sorts by score as float32, and ties by id. To keep the system's order, a score that is not below the one before
    it is lowered to the next smaller float32.

    Raises:
        CorpusError: The file cannot be written, or an id holds white space, which the format does not allow.
    """
    path, lines = place_of(path), 0
    tag = "-".join(system.name.split()) or "dpr-rag"
    with writing(path) as file:
        for result in system.results:
            question = _one_word(path, result.question.id)
            for rank, (hit, score) in enumerate(zip(result.hits, _falling(result), strict=True), 1):
                file.write(f"{question} Q0 {_one_word(path, hit.passage.id)} {rank} {score:.9g} {tag}\n")
                lines += 1
    return lines


def check_run_ids(path: str | Path, ids: Iterable[str]) -> None:
    """Check, before the evaluation, that ids of questions or passages can be written to a TREC run.

    Raises:
        CorpusError: An id holds white space, which the form cannot hold.
    """
    for name in ids:
        _one_word(place_of(path), name)


def fits_a_run(name: str) -> bool:
    """Whether TREC's run form can hold an id."""
    return name.split() == [name]


def _one_word(path: Path, name: str) -> str:
    if not fits_a_run(name):
        raise CorpusError(
            f"{path}: the id {name!r:.120} holds white space, which TREC's run form cannot hold; write DPR's result JSON with "
            + ByFace("write_dpr_results", cli="--output")
            + " instead, or rename it"
        )
    return name


def _falling(result: QuestionResult) -> Iterator[np.float32]:
    last = np.float32(np.inf)
    for hit in result.hits:
        last = min(np.float32(hit.score), np.nextafter(last, np.float32(-np.inf)))
        yield last

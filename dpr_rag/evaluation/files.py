"""The files of an evaluation that other tools read: DPR's result JSON and TREC runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dpr_rag.corpora import Result, write_results
from dpr_rag.corpora.lines import writing
from dpr_rag.errors import CorpusError
from dpr_rag.evaluation.results import Asked, By, SystemResult
from dpr_rag.paths import place_of


def write_dpr_results(path: str | Path, system: SystemResult, by: By) -> int:
    """Write what a system found as DPR's result JSON, and return for how many questions; FiD and Pyserini read it.

    Args:
        path: The file to write or replace.
        system: The system's result.
        by: What was judged; ``has_answer`` stands in the file where it was the answer.

    Raises:
        CorpusError: The file cannot be written.
    """
    return write_results(path, (_result(one, by) for one in system.asked))


def _result(one: Asked, by: By) -> Result:
    right = one.right if by == "answer" else (None,) * len(one.hits)
    return Result(one.question.question, one.question.answers, one.hits, right)


def write_run(path: str | Path, system: SystemResult) -> int:
    """Write what a system found as a TREC run ``qid Q0 docid rank score tag``, and return how many lines.

    trec_eval sorts by score, read as float32, and sorts ties by id. So that it sees the order that the system gave, a
    score that is not below the one before it there is lowered to the next smaller float32.

    Raises:
        CorpusError: The file cannot be written, or an id holds white space, which the form cannot hold.
    """
    path, lines = place_of(path), 0
    tag = "-".join(system.name.split()) or "dpr-rag"
    with writing(path) as file:
        for one in system.asked:
            question = _one_word(path, one.question.id)
            for rank, (hit, score) in enumerate(zip(one.hits, _falling(one), strict=True), 1):
                file.write(f"{question} Q0 {_one_word(path, hit.passage.id)} {rank} {score:.9g} {tag}\n")
                lines += 1
    return lines


def _one_word(path: Path, name: str) -> str:
    if len(name.split()) != 1 or name != name.strip():
        raise CorpusError(
            f"{path}: the id {name!r:.120} holds white space, which TREC's run form cannot hold; write DPR's result JSON"
        )
    return name


def _falling(one: Asked) -> Iterator[np.float32]:
    last = np.float32(np.inf)
    for hit in one.hits:
        last = min(np.float32(hit.score), np.nextafter(last, np.float32(-np.inf)))
        yield last

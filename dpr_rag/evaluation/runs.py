"""Reads runs of other systems: TREC's format, MS MARCO's, ranx's JSON, and DPR's result JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dpr_rag.arguments import shown
from dpr_rag.corpora import Question, read_results
from dpr_rag.corpora.lines import bad_line, decoded, id_of, read_lines
from dpr_rag.corpora.nested import is_nested, read_nested
from dpr_rag.errors import CorpusError, EvaluationError
from dpr_rag.faces import message_of
from dpr_rag.passages import Hit, Passage
from dpr_rag.paths import place_of

_TREC = ("qid", "Q0", "docid", "rank", "score", "tag")
_MS_MARCO = ("qid", "pid", "rank")
_DIGITS = 7  # up to which float32 tells ranks apart
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Run:
    """The hits of another system for each question.

    Attributes:
        found: Hits, best first, by the id of the question, or by the question where the file has no ids.
        by_question: Whether the question itself is the key.
        bare: Whether the passages are known by their ids alone, which stand in place of their texts.
    """

    found: Mapping[str, tuple[Hit, ...]]
    by_question: bool = False
    bare: bool = False

    def hits(self, question: Question) -> tuple[Hit, ...]:
        """The hits for a question, best first; none where the file has none."""
        return self.found.get(question.question if self.by_question else question.id, ())

    def ids(self) -> set[str]:
        """Ids of all passages found."""
        return {hit.passage.id for hits in self.found.values() for hit in hits}

    def filled(self, passages: Iterable[Passage]) -> Run:
        """The run with its passages replaced by these, where they have the same id."""
        known = {passage.id: passage for passage in passages}
        stored = {
            name: tuple(replace(hit, passage=known.get(hit.passage.id, hit.passage)) for hit in hits)
            for name, hits in self.found.items()
        }
        return Run(stored, self.by_question)


def read_run(path: str | Path) -> Run:
    """Read a run: TREC's ``qid Q0 docid rank score tag``, MS MARCO's ``qid pid rank``, or DPR's result JSON.

    Or one JSON object ``{qid: {docid: score}}``, as ranx, pytrec_eval, BEIR and MTEB have it. As trec_eval does, hits with
    scores are put in the order of these, read as float32, and of ids (falling) where scores are equal; TREC's rank is not
    looked at, nor are lines that begin with ``#``.

    Args:
        path: The file, possibly gzipped.

    Raises:
        CorpusError: A bad line, a score that is no float32, or a passage that comes twice for a question, with the file's name
            and the line; a question that comes twice with other hits.
    """
    path = place_of(path)
    rows: dict[str, dict[str, float]] = {}
    if is_nested(path):
        for question, passage, score in read_nested(path):
            try:
                rows.setdefault(question, {})[id_of(passage, "passage's id")] = _bounded(score, shown(score))
            except CorpusError as error:
                raise CorpusError(f"{path}: of the question {question!r:.120}, " + message_of(error)) from error
        return Run({question: _ranked(scores) for question, scores in rows.items()}, bare=True)
    first = next((line.strip() for _, line in read_lines(path) if line.strip()), b"")
    if first.startswith((b"{", b"[")):
        return Run(_by_question(path), by_question=True)
    for number, line in read_lines(path):
        if line.strip() and not line.startswith(b"#"):
            try:
                _take(rows, *_row(decoded(line).split()))
            except CorpusError as error:
                raise bad_line(path, number, error) from error
    return Run({question: _ranked(scores) for question, scores in rows.items()}, bare=True)


def _by_question(path: Path) -> dict[str, tuple[Hit, ...]]:
    """The hits of DPR's result JSON by the questions, as which it has no ids."""
    found: dict[str, tuple[Hit, ...]] = {}
    for result in read_results(path):
        times = Counter(hit.passage.id for hit in result.hits)
        twice = next((name for name, count in times.items() if count > 1), None)
        if twice is not None:
            raise CorpusError(f"{path}: {_twice(twice, result.question)}")
        if found.setdefault(result.question, result.hits) != result.hits:
            raise CorpusError(
                f"{path}: the question {result.question!r:.120} comes twice, with other passages or scores; keep one of the two"
            )
    return found


def _twice(passage: str, question: str) -> str:
    return f"the passage {passage!r:.120} comes twice for the question {question!r:.120}; keep it at its better rank"


def _take(rows: dict[str, dict[str, float]], question: str, passage: str, score: float) -> None:
    if passage in rows.setdefault(question, {}):
        raise CorpusError(_twice(passage, question))
    rows[question][passage] = score


def _row(cells: list[str]) -> tuple[str, str, float]:
    if len(cells) == len(_TREC):
        return cells[0], cells[2], _score(cells[4])
    if len(cells) == len(_MS_MARCO):
        return cells[0], cells[1], -_rank(cells[2])
    raise CorpusError(
        f"{len(cells)} columns, expected the 6 of a TREC run ({' '.join(_TREC)}) or the 3 of MS MARCO's ({' '.join(_MS_MARCO)})"
    )


def _rank(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS) or int(text) < 1:
        raise CorpusError(f"the rank is {text!r:.60}, expected an integer from 1, of {_DIGITS} digits at most")
    return int(text)


def _score(text: str) -> float:
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    return _bounded(number, f"{text!r:.60}")


def _bounded(number: float, told: str) -> float:
    """A score that float32 can hold, as which trec_eval reads it; scores that it does not tell apart are equal."""
    if not abs(number) <= _LARGEST:
        raise CorpusError(f"the score is {told}, expected a finite number of {_LARGEST:.2g} at most, as float32 has")
    return number


def _ranked(scores: Mapping[str, float]) -> tuple[Hit, ...]:
    names = sorted(scores, key=lambda name: (np.float32(scores[name]), name), reverse=True)
    return tuple(Hit(Passage(name, name), scores[name], rank) for rank, name in enumerate(names, 1))


def check_run(name: str, run: Run, questions: list[Question], by: str) -> None:
    """Refuse a run that cannot be judged on the questions.

    Raises:
        EvaluationError: It has hits for none of them, or no texts in which answers could be sought.
    """
    if run.bare and by == "answer":
        raise EvaluationError(
            f"{name} holds ids of passages and no texts, in which an answer could be sought; judge by passage"
        )
    if not run.found:
        raise EvaluationError(f"{name} holds no hits at all; write the run anew")
    if not any(run.hits(question) for question in questions):
        key = questions[0].question if run.by_question else questions[0].id
        raise EvaluationError(
            f"{name} has hits for none of the {len(questions):,} questions: the first asked is {key!r:.120}, the first in the "
            f"run {next(iter(run.found), '')!r:.120}; give the questions that it was made for"
        )

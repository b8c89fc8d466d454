"""DPR's training sets and result files, read and written as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from dpr_rag.corpora.arrays import read_objects
from dpr_rag.corpora.lines import OnBad, bad_line, write_array, write_objects
from dpr_rag.corpora.question import strings
from dpr_rag.corpora.samples import TrainingPassage, TrainingSample, number_of, sample_of, unread_in
from dpr_rag.corpora.tabular import object_of, passage_of
from dpr_rag.corpora.triples import is_triples, read_triples
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Hit, check_question
from dpr_rag.paths import place_of

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What was retrieved for one question.

    Attributes:
        question: The question.
        answers: Its answers.
        hits: Passages in the order of their rank.
        has_answer: Whether each hit holds an answer, or None where nobody looked.
    """

    question: str
    answers: tuple[str, ...]
    hits: tuple[Hit, ...]
    has_answer: tuple[bool | None, ...]


def read_training(path: str | Path, *, on_bad: OnBad = None) -> Iterator[TrainingSample]:
    """Read a DPR training set, one JSON array or JSONL, plain or gzipped, as a stream.

    Known are also the keys of Tevatron (``query, positive_passages, negative_passages``), of FlagEmbedding (``query, pos,
    neg, pos_scores, neg_scores``) and triplets (``anchor`` or ``query``, ``positive, negative``), whose negatives are hard
    ones; and triples of texts as tables, with tabs between them as in MS MARCO's, or under a header in CSV.

    Samples without positives are dropped, as the original does: told to ``on_bad``, or else logged as one warning.

    Args:
        path: The file: ``{question, answers, positive_ctxs, negative_ctxs, hard_negative_ctxs}``.
        on_bad: Takes the errors of bad samples; None raises the first.

    Yields:
        The samples, in the file's order.

    Raises:
        CorpusError: A bad sample, with the file's name and the line where it starts.
    """
    path = place_of(path)
    dropped = 0
    for line, sample in _samples(path, on_bad):
        if sample.positives:
            yield sample
        elif on_bad is None:
            dropped += 1
        else:
            on_bad(bad_line(path, line, f"the question {sample.question!r:.80} has no positive_ctxs; it is left out"))
    if dropped:
        _log.warning("%s: left out %d questions without positive_ctxs", path, dropped)


def _samples(path: Path, on_bad: OnBad) -> Iterator[tuple[int, TrainingSample]]:
    if is_triples(path):
        return read_triples(path, on_bad)
    return read_objects(path, lambda item, line: (line, sample_of(item)), on_bad)


def unread_of_training(path: str | Path) -> list[str]:
    """The keys of a training set's first object that :func:`read_training` passes over; for messages."""
    place = place_of(path)
    if is_triples(place):
        return []
    try:
        return next(read_objects(place, lambda item, _: unread_in(item), None), [])
    except CorpusError:
        return []  # its reader names the damage


def write_training(path: str | Path, samples: Iterable[TrainingSample]) -> int:
    """Write a DPR training set: JSONL where the name says so, else one JSON array; gzipped for ``.gz``.

    Args:
        path: The file to write or replace.
        samples: What to write.

    Returns:
        How many were written.

    Raises:
        CorpusError: The file cannot be written.
    """
    path = place_of(path)
    write = write_objects if ".jsonl" in path.suffixes else write_array
    return write(path, map(_sample_object, samples))


def _sample_object(sample: TrainingSample) -> dict[str, Any]:
    return {
        "question": sample.question,
        "answers": list(sample.answers),
        "positive_ctxs": [_passage_object(item) for item in sample.positives],
        "negative_ctxs": [_passage_object(item) for item in sample.negatives],
        "hard_negative_ctxs": [_passage_object(item) for item in sample.hard_negatives],
    }


def _passage_object(passage: TrainingPassage) -> dict[str, Any]:
    optional = {"passage_id": passage.id or None, "score": passage.score}
    known = {name: value for name, value in optional.items() if value is not None}
    return {"title": passage.title, "text": passage.text, **known}


def read_results(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Result]:
    """Read DPR's result file ``[{question, answers, ctxs: [{id, title, text, score, has_answer}]}]`` as a stream.

    Args:
        path: A JSON array or JSONL, plain or gzipped.
        on_bad: Takes the errors of bad results; None raises the first.

    Yields:
        The results; a hit's rank is its place in ``ctxs``, and its score minus that where no passage of the question has one,
        as in files of FiD.

    Raises:
        CorpusError: A bad result, with the file's name and the line where it starts.
    """
    return read_objects(place_of(path), lambda item, _: _result(item), on_bad)


def _result(item: dict[str, Any]) -> Result:
    entries = item.get("ctxs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CorpusError(f"ctxs is {entries!r:.60}, expected a list of objects with id, title, text and score")
    hits, answered = [], []
    scored = any("score" in entry for entry in entries)
    for rank, entry in enumerate(entries, 1):
        rest = dict(entry)
        # FiD's files have their passages in order, and some no scores
        score = number_of(rest.pop("score", None)) if scored else -float(rank)
        has_answer = rest.pop("has_answer", None)
        if not isinstance(has_answer, bool | None):
            raise CorpusError(f"has_answer is {has_answer!r:.60}, expected true or false")
        hits.append(Hit(passage_of(rest), score, rank))
        answered.append(has_answer)
    question = check_question(item.get("question"))
    return Result(question, strings(item.get("answers"), "answers"), tuple(hits), tuple(answered))


def write_results(path: str | Path, results: Iterable[Result]) -> int:
    """Write results as DPR does, scores as strings, which FiD, Pyserini and Tevatron read; return how many.

    Raises:
        CorpusError: The file cannot be written.
    """
    return write_array(place_of(path), map(_result_object, results))


def _result_object(result: Result) -> dict[str, Any]:
    entries = [
        {
            **object_of(hit.passage),
            "score": repr(float(hit.score)),
            **({} if has_answer is None else {"has_answer": has_answer}),
        }
        for hit, has_answer in zip(result.hits, result.has_answer, strict=True)
    ]
    return {"question": result.question, "answers": list(result.answers), "ctxs": entries}

"""Samples of training sets, and how JSON holds them: DPR's keys, Tevatron's, FlagEmbedding's and triplets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dpr_rag.corpora.lines import id_of
from dpr_rag.corpora.question import IDS, QUESTIONS, asked_of, key_of, strings, text_of, unknown
from dpr_rag.errors import CorpusError
from dpr_rag.passages import check_question

QUESTION_KEYS = ("anchor", "question", "query")
POSITIVES_KEYS = ("positive_ctxs", "positive_passages", "pos", "positive", "positives")
NEGATIVES_KEYS = (
    *("hard_negative_ctxs", "negative_ctxs", "negative_passages", "neg", "negative", "negatives"),
    *("hard_negative", "hard_negatives"),
)
_OF_DPR = ("positive_ctxs", "negative_ctxs", "hard_negative_ctxs")
_ANCHOR = "anchor"
_SCORES = {"pos": "pos_scores", "neg": "neg_scores"}
"""Where FlagEmbedding keeps a teacher's scores of the texts under a key."""
_KNOWN = {*QUESTIONS, *POSITIVES_KEYS, *NEGATIVES_KEYS, *_SCORES.values(), _ANCHOR, "answers"}
_NUMBERED = "negative_"


@dataclass(frozen=True, slots=True)
class TrainingPassage:
    """A passage of a training sample; unlike a stored passage it may lack an id.

    Attributes:
        text: Non-empty text, as it stands in the file.
        title: Title, possibly empty.
        id: ``passage_id`` (or ``psg_id``) of the file, possibly empty.
        score: Score of the retriever that found it, or None.
    """

    text: str
    title: str = ""
    id: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One question of a training set.

    Attributes:
        question: The question.
        answers: Its answers, possibly none.
        positives: Passages that answer it, at least one.
        negatives: ``negative_ctxs``: passages that do not.
        hard_negatives: ``hard_negative_ctxs``, or the negatives where the file has none.
    """

    question: str
    answers: tuple[str, ...]
    positives: tuple[TrainingPassage, ...]
    negatives: tuple[TrainingPassage, ...] = ()
    hard_negatives: tuple[TrainingPassage, ...] = ()


def is_sample(item: dict[str, Any]) -> bool:
    """Whether an object is a sample of a training set: it holds texts of positives."""
    return key_of(POSITIVES_KEYS, item) is not None


def sample_of(item: dict[str, Any]) -> TrainingSample:
    """Return the sample that a JSON object holds.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: The question is blank or no text.
    """
    item = _with_usual_keys(item)
    question = check_question(item[_ANCHOR]) if _ANCHOR in item else asked_of(item)
    answers = strings(item.get("answers"), "answers")
    if any(name in item for name in _OF_DPR):
        negatives = _passages(item, "negative_ctxs")
        hard = _passages(item, "hard_negative_ctxs") or negatives
        return TrainingSample(question, answers, _passages(item, "positive_ctxs"), negatives, hard)
    positive = key_of(POSITIVES_KEYS, item)
    if positive is None:
        raise CorpusError(
            f"{unknown('positives', POSITIVES_KEYS, item)}; of questions alone, dpr-rag mine makes samples"
        )
    negatives = tuple(passage for name in _negatives(item) for passage in _passages(item, name))
    return TrainingSample(question, answers, _passages(item, positive), negatives, negatives)


def _with_usual_keys(item: dict[str, Any]) -> dict[str, Any]:
    """The object with its known keys as they are written here, whatever their case, as those of questions are found."""
    usual = {name: name.strip().casefold() for name in item}
    return {plain if plain not in item and _is_known(plain) else name: item[name] for name, plain in usual.items()}


def _is_known(name: str) -> bool:
    return name in _KNOWN or is_numbered(name)


def unread_in(item: Iterable[str]) -> list[str]:
    """The keys of a sample's object that are not read."""
    return [name for name in item if not _is_known(plain := name.strip().casefold()) and plain not in IDS]


def _negatives(item: Iterable[str]) -> list[str]:
    """The keys of negatives; sentence-transformers numbers them, ``negative_1`` and so on."""
    return [name for name in item if name in NEGATIVES_KEYS or is_numbered(name)]


def is_numbered(name: str) -> bool:
    """Whether a key is one of sentence-transformers' for several negatives, such as ``negative_1``."""
    return name.startswith(_NUMBERED) and name.removeprefix(_NUMBERED).isdecimal()


def _passages(item: dict[str, Any], name: str) -> tuple[TrainingPassage, ...]:
    items = item.get(name) or []
    items = [items] if isinstance(items, str) else items
    if not isinstance(items, list) or not all(isinstance(entry, dict | str) for entry in items):
        raise CorpusError(f"{name} is {items!r:.60}, expected a list of texts, or of objects with title and text")
    passages = tuple(_passage({"text": entry} if isinstance(entry, str) else entry, name) for entry in items)
    scores = item.get(_SCORES.get(name, ""))
    if scores is None:
        return passages
    if not isinstance(scores, list) or len(scores) != len(passages):
        raise CorpusError(
            f"{_SCORES[name]} is {scores!r:.60}, expected a list of {len(passages)} numbers, one for each of {name}"
        )
    return tuple(replace(passage, score=number_of(score)) for passage, score in zip(passages, scores, strict=True))


def _passage(entry: dict[str, Any], name: str) -> TrainingPassage:
    text, title = entry.get("text"), entry.get("title") or ""
    if not isinstance(text, str) or not text or not isinstance(title, str):
        raise CorpusError(f"{name} holds text {text!r:.60} and title {title!r:.60}, expected strings and some text")
    known = next((entry[key] for key in ("passage_id", "psg_id", "docid") if key in entry), None)
    score = entry.get("score")
    return TrainingPassage(
        text_of(text, name),
        text_of(title, name),
        "" if known in (None, "") else text_of(id_of(known, "passage_id"), name),
        None if score is None else number_of(score),
    )


def number_of(value: object) -> float:
    """A score, possibly as a string.

    Raises:
        CorpusError: It is no finite number.
    """
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CorpusError(f"the score is {value!r:.60}, expected a finite number, possibly as a string")
    return number

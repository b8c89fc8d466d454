"""``Question``, and its forms in JSON files, ours and others'."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from dpr_rag.corpora.cells import list_in
from dpr_rag.corpora.columns import listed
from dpr_rag.corpora.lines import id_of
from dpr_rag.errors import CorpusError
from dpr_rag.passages import check_question, is_text

IDS = ("id", "_id", "qid", "query_id", "question_id", "questionid")
QUESTIONS = ("question", "query", "input", "text", "query_text", "query_txt", "title", "user_input")
# Where RAGAS and DeepEval give a right answer, ``answer`` is what a model said; ``reference`` is the right one in RAGAS alone.
_RIGHT = ("ground_truths", "ground_truth", "reference_answer", "expected_output")
ANSWERS = ("answers", *_RIGHT, "answer", "reference")
POSITIVES = ("positive_ids", "positive_document_ids")
_PASSAGES = "positive_passages"
_KILT = "output"
_TRAINING = {
    ("query", "pos", "neg"): "a training sample of FlagEmbedding",
    ("anchor", "positive", "negative"): "a triplet",
    ("query", "positive", "negative"): "a triplet",
    ("question", "positive", "negative"): "a triplet",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question of an evaluation set.

    Attributes:
        id: Its id in the file, or the line where it starts in files without ids; of several on one line the next numbers.
        question: The text of the question.
        answers: The answers; for CuratedTREC regular expressions.
        positive_ids: Ids of the passages that answer it, if known.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    positive_ids: tuple[str, ...] = ()


def question_of(item: dict[str, Any], number: int) -> Question:
    """Return the question that a JSON object holds.

    Known are the keys of this package, NQ-open, TriviaQA and SQuAD (``answer``, ``answers`` with ``aliases`` or ``text``),
    KILT (``input``, ``output``; its provenance names pages, not passages), Tevatron (``positive_passages``), BEIR, RAGAS
    (``user_input`` and ``reference``, or ``question`` and ``ground_truth``), DeepEval (``input``, ``expected_output``),
    LlamaIndex's ``LabelledRagDataset`` (``query``, ``reference_answer``) and LangSmith (``inputs``, ``outputs``). Contexts
    that these hold are texts without ids, and say nothing of a store's passages.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: The question is blank or no text.
    """
    item = _of_langsmith(item)
    _refuse_training(item)
    name, text = key_of(IDS, item), asked_of(item)
    ids = item.get(key_of(POSITIVES, item) or "") or []
    if isinstance(ids, str):
        ids = list_in(ids) or ids
    if not isinstance(ids, list | tuple):
        raise CorpusError(f"positive_ids is {ids!r:.60}, expected a list of ids")
    return Question(
        str(number) if name is None or item[name] is None else text_of(id_of(item[name]), "id"),
        text,
        _answers_of(item),
        tuple(text_of(id_of(entry, "positive id"), "positive_ids") for entry in [*ids, *_ids_of_passages(item)]),
    )


def _of_langsmith(item: dict[str, Any]) -> dict[str, Any]:
    """An example of LangSmith, whose question and answer lie in objects of their own, as one object."""
    inputs, outputs = item.get("inputs"), item.get("outputs") or {}
    if not isinstance(inputs, dict) or not isinstance(outputs, dict) or key_of(QUESTIONS, item) is not None:
        return item
    output = outputs.get("output")
    right = {"answer": output} if isinstance(output, str) and key_of(ANSWERS, outputs) is None else {}
    return {**{name: item[name] for name in IDS if name in item}, **outputs, **right, **inputs}


def asked_of(item: dict[str, Any]) -> str:
    """The question's text in a JSON object, under any of the usual keys.

    Raises:
        CorpusError: There is none.
        PassageError: It is blank or no text.
    """
    key = key_of(QUESTIONS, item)
    if key is None:
        raise unknown("question", QUESTIONS, item)
    return check_question(item[key])


def key_of(usual: Iterable[str], names: Collection[str]) -> str | None:
    """The first of the usual keys that an object has, whatever its case; None if it has none."""
    for key in usual:
        matching = [name for name in names if name == key] or [name for name in names if name.strip().casefold() == key]
        if matching:
            return matching[0]
    return None


def unknown(what: str, usual: Iterable[str], names: Collection[str]) -> CorpusError:
    """The error for an object without any of the expected keys."""
    return CorpusError(f"no key of {listed(names)} is known for the {what} ({', '.join(usual)}); rename one")


def _refuse_training(item: dict[str, Any]) -> None:
    for keys, what in _TRAINING.items():
        if all(key in item for key in keys[:2]) and key_of((*ANSWERS, *POSITIVES), item) is None:
            raise CorpusError(
                f"is {what} ({', '.join(keys)}), whose passages have no ids to judge by; train and mine on it, or give "
                "answers or positive_ids"
            )


def _answers_of(item: dict[str, Any]) -> tuple[str, ...]:
    key = key_of(ANSWERS, item)
    if key is not None:
        return _answers(item[key], key)
    outputs = item.get(_KILT)
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) for entry in outputs):
        return ()
    return tuple(answer for entry in outputs for answer in _answers(entry.get("answer"), "output.answer"))


def _answers(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        text_of(value, key)
        parts = list_in(value)
        return ((value,) if value else ()) if parts is None else parts
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "text" in entry for entry in value):
        value = [entry["text"] for entry in value]  # SQuAD's own files
    if isinstance(value, dict):  # data sets of SQuAD have texts with their places, TriviaQA a value with its aliases
        named = key_of(("text", "aliases"), value)
        known = None if named is None else value[named]
        if known is None:
            raise CorpusError(f"{key} is {value!r:.60}, expected a list of strings, or an object with text or aliases")
        first = value.get(key_of(("value",), value) or "")
        main = [text_of(first, key)] if isinstance(first, str) else []
        return tuple(dict.fromkeys([*main, *strings(known, key)])) if main else strings(known, key)
    return strings(value, key)


def _ids_of_passages(item: dict[str, Any]) -> list[Any]:
    passages = item.get(_PASSAGES) or []
    if not isinstance(passages, list) or not all(isinstance(entry, dict) for entry in passages):
        raise CorpusError(f"{_PASSAGES} is {passages!r:.60}, expected a list of objects with docid, title and text")
    return [entry["docid"] for entry in passages if "docid" in entry]


def question_object(question: Question) -> dict[str, Any]:
    """Return the JSON object that holds a question."""
    return {
        "id": question.id,
        "question": question.question,
        "answers": list(question.answers),
        "positive_ids": list(question.positive_ids),
    }


def strings(value: object, name: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple; None is the empty one.

    Raises:
        CorpusError: It is anything else, or a string is no text.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise CorpusError(f"{name} is {value!r:.60}, expected a list of strings")
    return tuple(text_of(entry, name) for entry in value)


def text_of(value: str, name: str) -> str:
    """Return a string that can be written as UTF-8.

    Raises:
        CorpusError: It holds a lone surrogate, as JSON can write it.
    """
    if not is_text(value):
        raise CorpusError(
            f"{name} holds {value!r:.60}, with a lone surrogate, which is not text; decode the source with its right encoding"
        )
    return value

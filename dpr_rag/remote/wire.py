"""The JSON form of passages, hits, rankings, vectors and errors, written by the service and read by its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from dpr_rag import errors
from dpr_rag.answer import Answer
from dpr_rag.encoder import Vectors
from dpr_rag.errors import DprRagError, ServiceError
from dpr_rag.faces import FACES, ByFace, message_of, on_face
from dpr_rag.fusion import Ranking
from dpr_rag.lexical import BM25
from dpr_rag.passages import PRIVATE_KEY, Hit, Passage

STATUS: Mapping[type[DprRagError], int] = {
    errors.ArgumentError: 422,
    errors.PassageError: 422,
    errors.BadTextError: 422,
    errors.RepeatedIdError: 422,
    errors.FilterError: 422,
    errors.VectorError: 422,
    errors.RequestError: 422,
    errors.AccessError: 401,
    errors.StoreReadOnlyError: 403,
    errors.StoreNotFoundError: 404,
    errors.EncoderMismatchError: 409,
    errors.ServiceBusyError: 429,
    errors.ModelError: 500,
    errors.MissingExtraError: 500,
    errors.ForkedProcessError: 500,
    errors.NotAStoreError: 500,
    errors.StoreFormatError: 500,
    errors.StoreCorrupted: 500,
    errors.StoreError: 500,
    errors.ServiceError: 500,
    errors.DprRagError: 500,
    errors.StoreLocked: 503,
    errors.StoreReplacedError: 503,
    errors.StoreClosedError: 503,
    errors.ServiceUnavailableError: 503,
    errors.ServiceTimeoutError: 504,
}
"""The error classes that are sent, with their HTTP status; any other is sent as its nearest base class."""

_Value = TypeVar("_Value", int, float, str)
_BY_NAME = {kind.__name__: kind for kind in STATUS}


def kind_of(error: DprRagError) -> type[DprRagError]:
    """The class in ``STATUS`` that an error is sent as."""
    return next(kind for kind in type(error).__mro__ if kind in STATUS)


def error_record(kind: type[DprRagError], message: str, passage_id: str | None = None) -> dict[str, Any]:
    """An error as a JSON object; a face's own message, where it differs from Python's, is stored under the face's name."""
    faces: dict[str, str] = {face: text for face in FACES if (text := on_face(message, face)) != message}
    record = {"error": kind.__name__, "message": str(message), **faces}
    return record if passage_id is None else {**record, "passage_id": passage_id}


def error_of(record: object, status: int) -> DprRagError:
    """The error that a response describes; a ``ServiceError`` where its class or form is unknown."""
    if not isinstance(record, Mapping) or not isinstance(record.get("message"), str):
        return ServiceError(f"the service answered with the status {status} and no error of dpr-rag; check its address")
    message, name = _message_of(record), record.get("error")
    kind = _BY_NAME.get(name) if isinstance(name, str) else None
    if kind is errors.RepeatedIdError:
        return errors.RepeatedIdError(message, str(record.get("passage_id", "")))
    return ServiceError(message + f" (status {status})") if kind is None else kind(message)


def _message_of(record: Mapping[str, Any]) -> str:
    message, faces = record["message"], {face: record.get(face) for face in FACES}
    messages = {face: text if isinstance(text, str) else message for face, text in faces.items()}
    return ByFace(message, **messages)


def passage_record(passage: Passage, *, private: bool = False) -> dict[str, Any]:
    """A passage as a JSON object with its visible metadata; with ``private``, also what an adapter keeps in it."""
    record = {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "metadata": passage.visible_metadata,
    }
    private_data = passage.metadata.get(PRIVATE_KEY) if private else None
    return record if private_data is None else {**record, "private": private_data}


def hit_record(hit: Hit, *, private: bool = False) -> dict[str, Any]:
    """A hit as a JSON object, here and of ``dpr-rag search --json``; numbers survive the round trip to the bit."""
    answer = None if hit.answer is None else asdict(hit.answer)
    parts = {"dense": hit.dense, "bm25": hit.bm25, "retrieved": hit.retrieved, "answer": answer}
    present = {name: value for name, value in parts.items() if value is not None}
    return {"rank": hit.rank, "score": hit.score, **present, **passage_record(hit.passage, private=private)}


def passage_of(record: Mapping[str, Any]) -> Passage:
    """The inverse of :func:`passage_record`."""
    private = {PRIVATE_KEY: record["private"]} if "private" in record else {}
    return Passage(record["id"], record["text"], record.get("title", ""), {**record.get("metadata", {}), **private})


def hit_of(record: Mapping[str, Any]) -> Hit:
    """The inverse of :func:`hit_record`."""
    answer = record.get("answer")
    return Hit(
        passage_of(record),
        of_type(float, record["score"]),
        of_type(int, record["rank"]),
        _leg(record.get("dense")),
        _leg(record.get("bm25")),
        _leg(record.get("retrieved")),
        None if answer is None else _answer_of(answer),
    )


def _answer_of(record: Mapping[str, Any]) -> Answer:
    start, end = (of_type(int, record[name]) for name in ("start", "end"))
    return Answer(of_type(str, record["text"]), start, end, of_type(float, record["probability"]))


def _leg(value: Any) -> float | None:
    return None if value is None else of_type(float, value)


def of_type(kind: type[_Value], value: Any) -> _Value:
    """A value of an answer that must be of one type; none is converted to it, but whole numbers are floats, too.

    Raises:
        TypeError: It is of another type, such as true where an integer must be.
        OverflowError: It is an integer too large for a float.
    """
    if type(value) is not kind and (kind is not float or type(value) is not int):
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    return kind(value)


@contextmanager
def understood(what: str) -> Iterator[None]:
    """What goes wrong while an answer is read, as an error of the service.

    Args:
        what: What the answer should hold.

    Raises:
        ServiceError: A field is missing, or its value is of another type or out of range.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError, errors.PassageError, errors.VectorError) as error:
        raise ServiceError(
            f"the service's answer holds no {what} (" + message_of(error) + "); is another version of dpr-rag there?"
        ) from error


def hits_of(answer: Mapping[str, Any], questions: int) -> list[list[Hit]]:
    """The hits in an answer of ``/v1/retrieve``, one list per question.

    Raises:
        ServiceError: The number of lists is wrong, or a hit cannot be read.
    """
    with understood("hits"):
        results = [[hit_of(record) for record in result["hits"]] for result in answer["results"]]
    if len(results) != questions:
        raise ServiceError(f"the service answered {len(results)} questions of {questions}; is dpr-rag there?")
    return results


def ranking_of(record: Mapping[str, Any]) -> Ranking:
    """Make a ``Ranking`` from its ``asdict`` form.

    Raises:
        TypeError: A field is missing or unknown.
        VectorError: A value is out of range.
    """
    return Ranking(**{**record, "bm25": BM25(**record["bm25"])})


def vectors_record(vectors: Vectors) -> list[list[float]]:
    """Vectors as lists of numbers; float32 values survive the round trip to the bit."""
    rows: list[list[float]] = vectors.tolist()
    return rows

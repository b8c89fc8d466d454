"""The questions of chains: checks, blank ones, and the search for several at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_core.documents import Document

from dpr_rag import Diversity, Hit, RemoteRetriever, Retriever, SearchRequest, Store, is_service
from dpr_rag.arguments import check_count, check_number, is_blank
from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError, VectorError
from langchain_dpr_rag.documents import document_of, scored_document
from langchain_dpr_rag.foreign import EmbeddingsEncoder

_USUAL = ("question", "query", "input")
_SHOWN = 5
_log = logging.getLogger(__name__)


def question_of(question: object) -> str:
    """Check that a question is a string, blank or not, and return it.

    Raises:
        PassageError: It is not; the message says how a chain passes the string inside it.
    """
    if isinstance(question, str):
        return question
    raise PassageError(
        f"the question is {type(question).__name__} {question!r:.80}, expected a string; {_remedy(question)}"
    )


def _remedy(question: object) -> str:
    if isinstance(question, Mapping):
        keys = [key for key in question if isinstance(key, str)]
        key = next((name for name in (*_USUAL, *keys) if name in keys), "question")
        shown = ", ".join(map(repr, keys[:_SHOWN])) or "none"
        return (
            f"pick it out of the dict (its keys: {shown}): itemgetter({key!r}) | retriever, or keep the rest of the dict too: "
            f"RunnablePassthrough.assign(context=itemgetter({key!r}) | retriever)"
        )
    if hasattr(question, "to_messages") or hasattr(question, "page_content"):
        return "take the text out of it: RunnableLambda(lambda given: given.to_string()), or .page_content, before | retriever"
    if hasattr(question, "content"):
        return "put StrOutputParser() between the model and the retriever, or pass message.content"
    if isinstance(question, list | tuple):
        return "call batch() for several questions, or pass messages[-1].content where these are messages"
    return "pass the text that is asked for"


def hits_for(core: Retriever | RemoteRetriever, questions: Sequence[object], request: SearchRequest) -> list[list[Hit]]:
    """Hits for each question, with one encoding pass and one search for all questions that are not blank.

    A blank question, as models send it in tool calls, has no nearest passages: it gets the passages that match the filter, in
    order of insertion and with the score 0; without a filter, none.

    Args:
        core: The retriever.
        questions: The questions.
        request: The rest of the request; its vectors are those of the questions that are not blank.

    Raises:
        PassageError: A question is not a string, or holds a lone surrogate.
    """
    strings, filled = _split(questions)
    return _with_blank(core, strings, core.execute(replace(request, questions=filled)), request)


async def ahits_for(core: RemoteRetriever, questions: Sequence[object], request: SearchRequest) -> list[list[Hit]]:
    """Like :func:`hits_for`, from a service, without blocking the event loop or a thread."""
    strings, filled = _split(questions)
    hits = await core.aexecute(replace(request, questions=filled))
    return await asyncio.to_thread(_with_blank, core, strings, hits, request)


def _split(questions: Sequence[object]) -> tuple[list[str], list[str]]:
    """The questions as strings, and those of them that are not blank."""
    strings = [question_of(question) for question in questions]
    return strings, [text for text in strings if not is_blank(text)]


def _with_blank(
    core: Retriever | RemoteRetriever, questions: Sequence[str], hits: Sequence[list[Hit]], request: SearchRequest
) -> list[list[Hit]]:
    """Hits in the places of the questions that have words, and what the filter keeps in those of the blank ones."""
    _tell_if_empty(core.store, hits)
    remaining, where = iter(hits), request.filter
    if len(hits) == len(questions):
        return list(remaining)
    filtered = (
        [] if where is None or where == {} else core.store.select(where, core.k if request.k is None else request.k)
    )
    blank = [Hit(passage, 0.0, rank) for rank, passage in enumerate(filtered, start=1)]
    return [blank if is_blank(text) else next(remaining) for text in questions]


def _tell_if_empty(store: Store, answers: Sequence[Sequence[Hit]]) -> None:
    """Warn if the store is empty: a mistyped path creates one, and its results look like those of a bad question."""
    if answers and not any(answers) and not store.count():
        remedy = (
            "fill it where its folder or collection is" if is_service(store.path) else "check the path: create=False"
        )
        _log.warning("%s is empty, so nothing is found; where it should not be, %s", store.path, remedy)


def plain_documents(
    core: Retriever | RemoteRetriever, questions: Sequence[str], hits: Sequence[Sequence[Hit]]
) -> list[list[Document]]:
    """The hits as documents."""
    return [[document_of(hit.passage) for hit in question_hits] for question_hits in hits]


def scored_documents(
    core: Retriever | RemoteRetriever, questions: Sequence[str], hits: Sequence[Sequence[Hit]], *, calibrated: bool
) -> list[list[Document]]:
    """The hits as documents with score and rank, and with their relevance if ``calibrated``."""
    calibration = core.calibration if calibrated else None
    pairs = zip(questions, hits, strict=True)
    return [
        [scored_document(hit, calibration, not is_blank(text)) for hit in question_hits]
        for text, question_hits in pairs
    ]


def diversity_of(fetch_k: int, lambda_mult: float) -> Diversity:
    """The parameters of maximal marginal relevance, checked under LangChain's names.

    Raises:
        VectorError: A value is out of range.
    """
    count = check_count("fetch_k", fetch_k, VectorError)
    return Diversity(count, check_number("lambda_mult", lambda_mult, VectorError, high=1.0))


async def vectors_for(core: Retriever | RemoteRetriever, questions: Sequence[object]) -> Vectors | None:
    """Vectors of the questions that are not blank, from asynchronous embeddings; None for other encoders."""
    encoder = core.store.encoder
    if not isinstance(encoder, EmbeddingsEncoder) or not core.ranking.needs_vectors:
        return None
    filled = [question for question in map(question_of, questions) if not is_blank(question)]
    return await encoder.aencode_questions(filled) if filled else None

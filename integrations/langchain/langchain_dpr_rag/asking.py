"""What chains ask: questions in words, blank ones, and what is no question at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from langchain_core.documents import Document

from dpr_rag import Diversity, Hit, RemoteRetriever, Retriever, Store
from dpr_rag.arguments import check_count, check_number, is_blank
from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError, VectorError
from langchain_dpr_rag.documents import Where, document_of, scored_document, where_of
from langchain_dpr_rag.foreign import EmbeddingsEncoder

_USUAL = ("question", "query", "input")
_SHOWN = 5
_log = logging.getLogger(__name__)


def question_of(given: object) -> str:
    """A question as it was asked, blank or not.

    Raises:
        PassageError: It is no string; the message says how a chain hands over the string inside it.
    """
    if isinstance(given, str):
        return given
    raise PassageError(f"the question is {type(given).__name__} {given!r:.80}, expected a string; {_remedy(given)}")


def _remedy(given: object) -> str:
    if isinstance(given, Mapping):
        keys = [key for key in given if isinstance(key, str)]
        key = next((one for one in (*_USUAL, *keys) if one in keys), "question")
        shown = ", ".join(map(repr, keys[:_SHOWN])) or "none"
        return (
            f"pick it out of the dict (its keys: {shown}): itemgetter({key!r}) | retriever, or keep the rest of the dict too: "
            f"RunnablePassthrough.assign(context=itemgetter({key!r}) | retriever)"
        )
    if hasattr(given, "to_messages") or hasattr(given, "page_content"):
        return "take the text out of it: RunnableLambda(lambda given: given.to_string()), or .page_content, before | retriever"
    if hasattr(given, "content"):
        return "put StrOutputParser() between the model and the retriever, or pass message.content"
    if isinstance(given, list | tuple):
        return "call batch() for several questions, or pass messages[-1].content where these are messages"
    return "pass the text that is asked for"


def hits_for(
    core: Retriever | RemoteRetriever,
    questions: Sequence[object],
    k: int | None,
    filter: Where,
    *,
    vectors: Vectors | None = None,
    diversity: Diversity | None = None,
    min_relevance: float | None = None,
) -> list[list[Hit]]:
    """Hits for each question, with one encoding pass and one search for all that have words.

    A blank question, as models that fill in tools ask it, has nothing to be near to: it gets what the filter keeps, in
    order of insertion and with the score 0, or nothing without a filter.

    Args:
        core: What is asked.
        questions: Strings.
        k: Hits per question, or None for the core's own number.
        filter: Selects before the top k.
        vectors: Of the questions that are not blank, where they are known already.
        diversity: Choose by maximal marginal relevance.
        min_relevance: Leave out hits of less relevance.

    Raises:
        PassageError: A question is no string, or holds what is no text.
    """
    asked, where = [question_of(one) for one in questions], where_of(filter)
    filled = [one for one in asked if not is_blank(one)]
    answers = core.retrieve_batch(filled, k, where, vectors=vectors, diversity=diversity, min_relevance=min_relevance)
    return _with_blank(core, asked, answers, k, where)


async def ahits_for(
    core: RemoteRetriever,
    questions: Sequence[object],
    k: int | None,
    filter: Where,
    *,
    diversity: Diversity | None = None,
    min_relevance: float | None = None,
) -> list[list[Hit]]:
    """The same from a service, which is waited for without a thread."""
    asked, where = [question_of(one) for one in questions], where_of(filter)
    filled = [one for one in asked if not is_blank(one)]
    answers = await core.aretrieve_batch(filled, k, where, diversity=diversity, min_relevance=min_relevance)
    return await asyncio.to_thread(_with_blank, core, asked, answers, k, where)


def _with_blank(
    core: Retriever | RemoteRetriever, asked: Sequence[str], answers: Sequence[list[Hit]], k: int | None, where: Where
) -> list[list[Hit]]:
    """The answers in the places of the questions that have words, and what the filter keeps in those of the others."""
    _tell_if_empty(core.store, answers)
    found = iter(answers)
    if len(answers) == len(asked):
        return list(found)
    kept = [] if where is None or where == {} else core.store.select(where, core.k if k is None else k)
    blank = [Hit(passage, 0.0, rank) for rank, passage in enumerate(kept, start=1)]
    return [blank if is_blank(one) else next(found) for one in asked]


def _tell_if_empty(store: Store, answers: Sequence[Sequence[Hit]]) -> None:
    """A path that was mistyped makes an empty store, whose answers look like those to a bad question."""
    if answers and not any(answers) and not store.count():
        _log.warning(
            "%s is empty, so nothing is found; where it should not be, check the path: create=False", store.path
        )


def plain_documents(
    core: Retriever | RemoteRetriever, questions: Sequence[str], hits: Sequence[Sequence[Hit]]
) -> list[list[Document]]:
    """The documents of hits."""
    return [[document_of(hit.passage) for hit in found] for found in hits]


def scored_documents(
    core: Retriever | RemoteRetriever, questions: Sequence[str], hits: Sequence[Sequence[Hit]], *, calibrated: bool
) -> list[list[Document]]:
    """The documents of hits with score and rank, and with their relevance where that is ``calibrated``."""
    calibration = core.calibration if calibrated else None
    pairs = zip(questions, hits, strict=True)
    return [[scored_document(hit, calibration, not is_blank(text)) for hit in found] for text, found in pairs]


def diversity_of(fetch_k: int, lambda_mult: float) -> Diversity:
    """How to choose by maximal marginal relevance, refused by LangChain's names.

    Raises:
        VectorError: A value is out of range.
    """
    count = check_count("fetch_k", fetch_k, VectorError)
    return Diversity(count, check_number("lambda_mult", lambda_mult, VectorError, high=1.0))


async def vectors_for(core: Retriever | RemoteRetriever, questions: Sequence[object]) -> Vectors | None:
    """Vectors of the questions that are not blank, where embeddings have an asynchronous side of their own; else None."""
    encoder = core.store.encoder
    if not isinstance(encoder, EmbeddingsEncoder) or not core.ranking.needs_vectors:
        return None
    filled = [one for one in map(question_of, questions) if not is_blank(one)]
    return await encoder.aencode_questions(filled) if filled else None

"""``DPRReranker``: a second stage behind any retriever, as LangChain's document compressor."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Annotated, Any, Self, cast

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import BeforeValidator, ConfigDict, Field, SkipValidation, model_validator

from dpr_rag import Hit, Passage, Reader, SecondStage
from dpr_rag.arguments import is_blank
from dpr_rag.errors import ArgumentError
from langchain_dpr_rag.checks import documents_given
from langchain_dpr_rag.documents import ANSWER_KEY, SCORE_KEY, answer_record
from langchain_dpr_rag.queries import question_of
from langchain_dpr_rag.settings import Count, Share

RELEVANCE_SCORE = "relevance_score"
"""Metadata key under which LangChain's rerankers put what they order by."""
_OTHER_WORDS = {
    **dict.fromkeys(("model", "model_name", "cross_encoder", "client", "reader", "encoder"), "reranker"),
    **dict.fromkeys(("k", "top_k", "n"), "top_n"),
    **dict.fromkeys(("weight", "alpha"), "rerank_weight"),
}


def _a_reranker(reranker: object) -> object:
    if isinstance(reranker, str | os.PathLike):
        return Reader.from_pretrained(cast(str, reranker))
    SecondStage(reranker)  # it refuses what is none
    return reranker


class DPRReranker(BaseDocumentCompressor):
    """Reranks the documents of any retriever by reading question and document together, and marks answers.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[langchain]'``

    Key arguments:
        reranker: A ``dpr_rag.Reader``, the folder or hub name of one, or a ``CrossEncoder`` of sentence-transformers; without
            it, the built-in reader.
        top_n: Documents that are kept.
        rerank_weight: Share of the reranker in the order, from 0 to 1, beside the order in which the documents come (or their
            ``dpr_score``, where each has one); None for what it is by default, 1 for the reranker alone.

    Instantiate:
        .. code-block:: python

            from langchain_dpr_rag import DPRReranker

            compressor = DPRReranker(top_n=3)  # or with reranker="my-reader"

    Rerank:
        .. code-block:: python

            document = compressor.compress_documents(documents, "who wrote Hamlet?")[0]
            document.metadata["relevance_score"]  # what they are ordered by; higher is better
            document.metadata["dpr_answer"]  # of a Reader that finds one: text, start, end, probability

    Behind a retriever:
        .. code-block:: python

            from langchain_classic.retrievers import ContextualCompressionRetriever

            ContextualCompressionRetriever(base_compressor=compressor, base_retriever=retriever).invoke("who wrote Hamlet?")

    Documents are copied, not changed. Blank ones cannot be read and come last, with the score of the last one that was read;
    for a blank question all keep their order.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", validate_assignment=True)

    reranker: Annotated[SkipValidation[Any], BeforeValidator(_a_reranker)] = Field(default_factory=Reader.default)
    top_n: Count = 3
    rerank_weight: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_fields(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name in _OTHER_WORDS:
                raise ValueError(f"{name}: there is no such field; here it is {_OTHER_WORDS[name]}")
        return values

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are checked; what is loaded is shared.

        Args:
            update: Fields and their new values.
            deep: As pydantic's; a loaded reader is shared in any case.

        Raises:
            ValidationError: A value does not fit.
        """
        copied = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            setattr(copied, name, value)
        return copied

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """The best of the documents for a question, best first.

        Args:
            documents: What was retrieved, best first.
            query: What was asked.
            callbacks: Not needed.

        Raises:
            ArgumentError: The documents are none.
            PassageError: The question is no string.
        """
        listed, question = documents_given(documents), question_of(query)
        hits = [] if is_blank(question) else _hits_of(listed)
        if not hits:
            return listed[: self.top_n]
        stage = SecondStage(self.reranker, rerank=len(hits), rerank_weight=self.rerank_weight)
        ranked = stage.ranked(question, hits, self.top_n)
        read = {int(hit.passage.id) for hit in hits}
        last = replace(ranked[-1], answer=None)
        unread = [_judged(document, last) for at, document in enumerate(listed) if at not in read]
        return [*(_judged(listed[int(hit.passage.id)], hit) for hit in ranked), *unread][: self.top_n]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """Like :meth:`compress_documents`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.compress_documents, documents, query, callbacks)


def _is_score(value: object) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _hits_of(documents: Sequence[Document]) -> list[Hit]:
    """Hits of the documents that are not blank, by position; scored by the store if all have a finite score, else by position."""
    filled = [(at, document) for at, document in enumerate(documents) if not is_blank(document.page_content)]
    scores: list[Any] = [document.metadata.get(SCORE_KEY) for _, document in filled]
    if not all(map(_is_score, scores)):
        scores = [-math.log(rank) for rank in range(1, len(filled) + 1)]
    return [
        Hit(_passage_of(at, document), float(score), rank)
        for rank, ((at, document), score) in enumerate(zip(filled, scores, strict=True), 1)
    ]


def _passage_of(at: int, document: Document) -> Passage:
    title = document.metadata.get("title")
    passage = Passage.made(
        str(at), document.page_content, title if isinstance(title, str) else "", on_bad_text="replace"
    )
    if passage is None:
        raise ArgumentError(f"document {at + 1} holds no text; leave it out")
    return passage


def _judged(document: Document, hit: Hit) -> Document:
    metadata = {key: value for key, value in document.metadata.items() if key != ANSWER_KEY}
    metadata[RELEVANCE_SCORE] = hit.score
    return document.model_copy(update={"metadata": metadata | answer_record(hit)})

"""The searches of a LangChain vector store, in words and by vector, with and without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document

from dpr_rag import Diversity, Hit, Retriever, check_question
from langchain_dpr_rag.adjusting import AdjustableStore
from langchain_dpr_rag.documents import Where, document_of, where_of
from langchain_dpr_rag.foreign import EmbeddingsEncoder

Scored = list[tuple[Document, float]]


class SearchableStore(AdjustableStore):
    """What a :class:`DPRVectorStore` can be asked."""

    def similarity_search(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> list[Document]:
        """The k best documents, best first; ``filter`` selects before the top k."""
        return _plain(self.similarity_search_with_score(query, k, filter, **kwargs))

    def similarity_search_with_score(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> Scored:
        """The k best documents with what the mode ranks by, exact inner products for ``dense``; higher is better."""
        refuse_unknown(kwargs, "k, filter")
        return _scored(self.retriever.retrieve(query, k, where_of(filter)))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where = None, **kwargs: Any
    ) -> list[Document]:
        """The k best documents for a question vector."""
        return _plain(self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where = None, **kwargs: Any
    ) -> Scored:
        """The k best documents for a question vector, with their exact inner products."""
        refuse_unknown(kwargs, "k, filter")
        return _scored(Retriever(self.store).retrieve_by_vectors([embedding], k, where_of(filter))[0])

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> list[Document]:
        """K documents of the ``fetch_k`` best, relevant and unlike each other.

        Args:
            query: The question.
            k: Documents to return.
            fetch_k: Documents to choose from, after the filter.
            lambda_mult: 1 for relevance alone, 0 for difference alone.
            filter: Selects before the ``fetch_k`` best.
            **kwargs: None are known.
        """
        refuse_unknown(kwargs, "k, fetch_k, lambda_mult, filter")
        diversity = Diversity(fetch_k, lambda_mult)
        return _plain(_scored(self.retriever.retrieve(query, k, where_of(filter), diversity=diversity)))

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Like :meth:`max_marginal_relevance_search`, for a question vector."""
        found = self.max_marginal_relevance_search_with_score_by_vector(
            embedding, k, fetch_k, lambda_mult, filter, **kwargs
        )
        return _plain(found)

    def max_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> Scored:
        """Like :meth:`max_marginal_relevance_search_by_vector`, with each document's own exact inner product."""
        refuse_unknown(kwargs, "k, fetch_k, lambda_mult, filter")
        diversity = Diversity(fetch_k, lambda_mult)
        return _scored(
            Retriever(self.store).retrieve_by_vectors([embedding], k, where_of(filter), diversity=diversity)[0]
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self.retriever.calibration.relevance

    async def _encoded(self, query: str) -> list[float] | None:
        """The question's vector, where embeddings have an asynchronous side of their own and vectors are enough."""
        encoder = self.store.encoder
        if isinstance(encoder, EmbeddingsEncoder) and self.retriever.ranking.mode == "dense":
            return await encoder.embeddings.aembed_query(check_question(query))
        return None

    async def asimilarity_search(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> list[Document]:
        """Like :meth:`similarity_search`, without blocking the event loop."""
        return _plain(await self.asimilarity_search_with_score(query, k, filter, **kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Where = None, **kwargs: Any
    ) -> Scored:
        """Like :meth:`similarity_search_with_score`, without blocking the event loop."""
        vector = await self._encoded(query)
        if vector is None:
            return await asyncio.to_thread(self.similarity_search_with_score, query, k, filter, **kwargs)
        return await asyncio.to_thread(self.similarity_search_with_score_by_vector, vector, k, filter, **kwargs)

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where = None, **kwargs: Any
    ) -> list[Document]:
        """Like :meth:`similarity_search_by_vector`, in a thread."""
        return await asyncio.to_thread(self.similarity_search_by_vector, embedding, k, filter, **kwargs)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Like :meth:`max_marginal_relevance_search`, without blocking the event loop."""
        vector = await self._encoded(query)
        if vector is None:
            search = self.max_marginal_relevance_search
            return await asyncio.to_thread(search, query, k, fetch_k, lambda_mult, filter, **kwargs)
        return await self.amax_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Like :meth:`max_marginal_relevance_search_by_vector`, in a thread."""
        search = self.max_marginal_relevance_search_by_vector
        return await asyncio.to_thread(search, embedding, k, fetch_k, lambda_mult, filter, **kwargs)

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        found = await self.asimilarity_search_with_score(query, k, **kwargs)
        # the first relevance fits the calibration, which encodes
        calibration = await asyncio.to_thread(lambda: self.retriever.calibration)
        return [(document, calibration.relevance(score)) for document, score in found]


def refuse_unknown(given: dict[str, Any], known: str) -> None:
    """Refuse arguments that would otherwise be ignored in silence.

    Raises:
        TypeError: There are some.
    """
    if given:
        raise TypeError(f"unknown argument {next(iter(given))!r}, expected one of {known}")


def _scored(hits: list[Hit]) -> Scored:
    return [(document_of(hit.passage), hit.score) for hit in hits]


def _plain(found: Scored) -> list[Document]:
    return [document for document, _ in found]

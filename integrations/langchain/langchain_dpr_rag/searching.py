"""The search methods of a LangChain vector store: by question and by vector, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document

from dpr_rag import Diversity, Hit, Retriever, SearchRequest
from dpr_rag.arguments import is_blank
from dpr_rag.encoder import Vectors
from langchain_dpr_rag.adjusting import AdjustableStore
from langchain_dpr_rag.argument_names import OF_A_STORE, check_search_type, refuse_unknown
from langchain_dpr_rag.checks import check_threshold
from langchain_dpr_rag.documents import Where, document_of, where_of
from langchain_dpr_rag.queries import diversity_of, hits_for, question_of, vectors_for

Scored = list[tuple[Document, float]]


class SearchableStore(AdjustableStore):
    """The search methods of :class:`DPRVectorStore`."""

    def search(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """One of the searches by its name: ``similarity``, ``mmr`` or ``similarity_score_threshold``."""
        check_search_type(search_type, OF_A_STORE)
        return super().search(query, search_type, **kwargs)

    async def asearch(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """Like :meth:`search`, without blocking the event loop."""
        check_search_type(search_type, OF_A_STORE)
        return await super().asearch(query, search_type, **kwargs)

    def similarity_search(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> list[Document]:
        """The k best documents, best first; ``filter`` selects before the top k."""
        return _plain(self.similarity_search_with_score(query, k, filter, **kwargs))

    def similarity_search_with_score(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> Scored:
        """The k best documents with the score of the mode, for ``dense`` the exact inner product; higher is better.

        A blank question gets the documents that match the filter, in order of insertion and with the score 0; without a
        filter, none.
        """
        refuse_unknown(kwargs, "k, filter")
        return self._found(query, k, filter)

    def _found(
        self,
        query: str,
        k: int,
        filter: Where,
        diversity: Diversity | None = None,
        vectors: Vectors | None = None,
    ) -> Scored:
        request = SearchRequest(None, k, where_of(filter), vectors, diversity=diversity)
        return _scored(hits_for(self.retriever, [query], request)[0])

    async def _afound(self, query: str, k: int, filter: Where, diversity: Diversity | None = None) -> Scored:
        """Like :meth:`_found`; embeds the question with the embeddings' asynchronous method if they have one."""
        core = await asyncio.to_thread(lambda: self.retriever)
        vectors = await vectors_for(core, [query])
        return await asyncio.to_thread(self._found, query, k, filter, diversity, vectors)

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
        return _plain(self._found(query, k, filter, diversity_of(fetch_k, lambda_mult)))

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
        scored = self.max_marginal_relevance_search_with_score_by_vector(
            embedding, k, fetch_k, lambda_mult, filter, **kwargs
        )
        return _plain(scored)

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
        diversity = diversity_of(fetch_k, lambda_mult)
        return _scored(
            Retriever(self.store).retrieve_by_vectors([embedding], k, where_of(filter), diversity=diversity)[0]
        )

    def similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """The k best documents with their relevances in [0, 1]; ``score_threshold`` is the least of them."""
        check_threshold(kwargs.get("score_threshold"))
        return super().similarity_search_with_relevance_scores(query, k, **kwargs)

    async def asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """Like :meth:`similarity_search_with_relevance_scores`, without blocking the event loop."""
        check_threshold(kwargs.get("score_threshold"))
        return await super().asimilarity_search_with_relevance_scores(query, k, **kwargs)

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        scored = self.similarity_search_with_score(query, k, **kwargs)
        if is_blank(question_of(query)):
            return _wholly_relevant(scored)
        relevance = self._select_relevance_score_fn()
        return [(document, relevance(score)) for document, score in scored]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self.retriever.calibration.relevance

    async def asimilarity_search(self, query: str, k: int = 4, filter: Where = None, **kwargs: Any) -> list[Document]:
        """Like :meth:`similarity_search`, without blocking the event loop."""
        return _plain(await self.asimilarity_search_with_score(query, k, filter, **kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Where = None, **kwargs: Any
    ) -> Scored:
        """Like :meth:`similarity_search_with_score`, without blocking the event loop."""
        refuse_unknown(kwargs, "k, filter")
        return await self._afound(query, k, filter)

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where = None, **kwargs: Any
    ) -> list[Document]:
        """Like :meth:`similarity_search_by_vector`, in a thread."""
        return await asyncio.to_thread(self.similarity_search_by_vector, embedding, k, filter, **kwargs)

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where = None, **kwargs: Any
    ) -> Scored:
        """Like :meth:`similarity_search_with_score_by_vector`, in a thread."""
        return await asyncio.to_thread(self.similarity_search_with_score_by_vector, embedding, k, filter, **kwargs)

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
        refuse_unknown(kwargs, "k, fetch_k, lambda_mult, filter")
        return _plain(await self._afound(query, k, filter, diversity_of(fetch_k, lambda_mult)))

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

    async def amax_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where = None,
        **kwargs: Any,
    ) -> Scored:
        """Like :meth:`max_marginal_relevance_search_with_score_by_vector`, in a thread."""
        search = self.max_marginal_relevance_search_with_score_by_vector
        return await asyncio.to_thread(search, embedding, k, fetch_k, lambda_mult, filter, **kwargs)

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        scored = await self.asimilarity_search_with_score(query, k, **kwargs)
        if is_blank(question_of(query)):
            return _wholly_relevant(scored)
        # the first relevance fits the calibration, which encodes
        relevance = await asyncio.to_thread(self._select_relevance_score_fn)
        return [(document, relevance(score)) for document, score in scored]


def _wholly_relevant(scored: Scored) -> Scored:
    """The documents of a blank question, with the relevance 1."""
    return [(document, 1.0) for document, _ in scored]


def _scored(hits: list[Hit]) -> Scored:
    return [(document_of(hit.passage), hit.score) for hit in hits]


def _plain(scored: Scored) -> list[Document]:
    return [document for document, _ in scored]

"""``Retriever``: retrieves passages for questions from a store, by vectors, by BM25, or by both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dpr_rag.arguments import check_count, kind, names_known
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.filters import Where
from dpr_rag.fusion import Calibration, Diversity, Fusion, Mode, Ranking, RankingOptions, SearchRequest, ranking_given
from dpr_rag.fusion.options import OF_RETRIEVE
from dpr_rag.passages import Hit
from dpr_rag.reading.second_stage import SecondStage
from dpr_rag.stores import Store, execute, is_store

_OTHER_PLACES = {
    **OF_RETRIEVE,
    **dict.fromkeys(
        ("encoder", "embedding", "embeddings", "embed_model"), "encoder, an argument of PassageStore.open()"
    ),
}


class Retriever:
    """Retrieves passages from a store for questions.

    Args:
        store: An open store of any kind, see ``open_store``. It needs an encoder, unless the mode is ``bm25`` or it is a
            service, which encodes itself.
        k: Hits per question, the default of all methods.
        mode: ``dense`` ranks by inner product, ``bm25`` by BM25, ``hybrid`` by both; None for the mode that the store was
            tuned to, or else ``dense``.
        weight: For ``hybrid``: λ in BM25 + λ · inner product; None for the tuned λ, or else one computed for each question.
        fusion: For ``hybrid``: ``weighted``, or ``rrf`` for reciprocal rank fusion.
        candidates: For ``hybrid``: how many passages each of the two lists has, at least 1; None for the tuned number, or 200.
        k1: For ``bm25`` and ``hybrid``: weight of repeated terms, at least 0; None for the tuned value, or 0.9. See ``BM25``
            for this and the next two.
        b: Length normalisation, from 0 to 1; None for the tuned value, or 0.4.
        phrases: Weight of words that are adjacent in question and passage, at least 0; None for the default of the mode.
        ranking: A complete ``Ranking`` instead of the arguments from ``mode`` to ``phrases``.
        reranker: Reranks the hits by reading question and passage together: a ``Reader``, an object with
            ``rerank(question, hits, k)``, a ``CrossEncoder`` of sentence-transformers, or a ``SecondStage``, which includes
            the next two arguments. ``hit.retrieved`` is then the store's score, and ``hit.answer`` a reader's answer.
        rerank: How many of the first hits are reranked; the others follow in their order, with lower scores.
        rerank_weight: Weight of the reranker's score against the store's, from 0 to 1, see ``SecondStage``; with 1, hits have
            the reranker's score.

    Raises:
        ArgumentError: The store is not a store, or the reranker not a reranker.
        VectorError: ``k`` is below 1, or an option is out of range or belongs to another mode.
    """

    @names_known(**_OTHER_PLACES)
    def __init__(
        self,
        store: Store,
        *,
        k: int = 10,
        mode: Mode | None = None,
        weight: float | None = None,
        fusion: Fusion | None = None,
        candidates: int | None = None,
        k1: float | None = None,
        b: float | None = None,
        phrases: float | None = None,
        ranking: Ranking | None = None,
        reranker: Any = None,
        rerank: int = 20,
        rerank_weight: float | None = None,
    ) -> None:
        if not is_store(store):
            raise ArgumentError(
                f"store is {kind(store)}, expected an open PassageStore; open one with PassageStore.open(path, encoder=…)"
            )
        options = RankingOptions(mode, weight, fusion, candidates, k1, b, phrases)
        self.store, self.k = store, check_count("k", k, VectorError)
        self._ranking = ranking_given(ranking, options)
        self.second = reranker if isinstance(reranker, SecondStage) else None
        if reranker is not None and self.second is None:
            self.second = SecondStage(reranker, rerank=rerank, rerank_weight=rerank_weight)

    @property
    def ranking(self) -> Ranking:
        """The ranking; options that were left out are the store's."""
        return self._completed(self._ranking) or self.store.ranking

    def _completed(self, ranking: Ranking | RankingOptions | None) -> Ranking | None:
        """The complete ranking; None for the store's own."""
        return self.store.ranking_of(ranking) if isinstance(ranking, RankingOptions) else ranking

    def execute(self, request: SearchRequest) -> list[list[Hit]]:
        """Hits for each question or vector of a request; all other methods that retrieve call this one.

        Args:
            request: ``k`` and ``ranking`` default to the retriever's. Vectors without questions are ranked by inner product.

        Raises:
            EncoderMismatchError: The store has no encoder, or was filled with another one.
            FilterError: The filter cannot be understood.
            VectorError: There are vectors but no questions, and the reranker or the ranking needs words; or the vectors have
                the wrong shape.
        """
        k, questions = self.k if request.k is None else request.k, request.questions
        if questions is not None and not questions:
            return []
        if questions is None and self.second is not None:
            raise VectorError("a reranker reads questions in words; call retrieve() or retrieve_batch()")
        ranking = self._completed(self._ranking if request.ranking is None else request.ranking)
        if questions is None and ranking is not None and ranking.needs_words:
            raise VectorError(f"mode={ranking.mode!r} needs questions in words; call retrieve() or retrieve_batch()")
        if questions is None or self.second is None:
            return execute(self.store, replace(request, k=k, ranking=ranking))
        candidates = execute(self.store, replace(request, k=self.second.wanted(k), ranking=ranking))
        return [self.second.ranked(question, hits, k) for question, hits in zip(questions, candidates, strict=True)]

    @names_known()
    def retrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Passages for one question, best first.

        Args:
            question: The question.
            k: Number of hits; None for the retriever's ``k``.
            filter: Selects passages before the top k, see ``PassageStore.search``.
            diversity: Choose by maximal marginal relevance; None keeps the order of the scores.
            min_relevance: Leave out hits of lower relevance, in [0, 1]; see :meth:`relevance`.

        Raises:
            PassageError: The question is not a string, or is blank.
            EncoderMismatchError: The store has no encoder, or was filled with another one.
            FilterError: The filter cannot be understood.
            VectorError: k is below 1, or an option is out of range.
        """
        request = SearchRequest([question], k, filter, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)[0]

    @names_known()
    def retrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        vectors: Any = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Passages for many questions, with one encoding pass and one search.

        With a reranker, ``diversity`` and ``min_relevance`` select the hits that it reads.

        Args:
            questions: The questions.
            k: Hits per question; None for the retriever's ``k``.
            filter: Selects passages before the top k, see ``PassageStore.search``.
            vectors: The questions' vectors, float [n, dim]; None to encode the questions.
            diversity: Choose by maximal marginal relevance; None keeps the order of the scores.
            min_relevance: Leave out hits of lower relevance, in [0, 1]; see :meth:`relevance`.
        """
        request = SearchRequest(questions, k, filter, vectors, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)

    @names_known()
    def retrieve_by_vectors(
        self,
        vectors: Any,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Passages for question vectors, float [n, dim], ranked by inner product whatever the store was tuned to.

        Raises:
            VectorError: The retriever has a reranker, or a mode that needs the question's words.
        """
        request = SearchRequest(None, k, filter, vectors, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)

    def relevance(self, score: float) -> float:
        """The relevance of a score, in [0, 1]; it rises with the score, see :attr:`calibration`.

        For a reranked hit, pass ``hit.retrieved``. For hits of :meth:`retrieve_by_vectors` from a store that was tuned to
        another mode, use ``store.calibration`` instead.
        """
        return self.calibration.relevance(score)

    @property
    def calibration(self) -> Calibration:
        """The calibration of this retriever's scores, see ``PassageStore.calibration_of``."""
        return self.store.calibration_of(self.ranking)

    @names_known()
    async def aretrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Like :meth:`retrieve`, in a thread, without blocking the event loop."""
        request = SearchRequest([question], k, filter, diversity=diversity, min_relevance=min_relevance)
        return (await asyncio.to_thread(self.execute, request))[0]

    @names_known()
    async def aretrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, in a thread, without blocking the event loop."""
        request = SearchRequest(questions, k, filter, diversity=diversity, min_relevance=min_relevance)
        return await asyncio.to_thread(self.execute, request)

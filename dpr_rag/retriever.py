"""``Retriever``: questions in, passages out, ranked by vectors, by words, or by both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dpr_rag.arguments import check_count, check_instance, kind, names_known
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.fusion import Calibration, Diversity, Fusion, Mode, Ranking, Wishes
from dpr_rag.passages import Hit, check_questions
from dpr_rag.reading.second_stage import SecondStage
from dpr_rag.stores import Store, Where, is_store

_OF_CALLS = {
    **dict.fromkeys(
        ("min_relevance", "score_threshold", "similarity_cutoff"), "min_relevance, an argument of retrieve()"
    ),
    **dict.fromkeys(("filter", "filters", "where"), "filter, an argument of retrieve()"),
    **dict.fromkeys(
        ("encoder", "embedding", "embeddings", "embed_model"), "encoder, an argument of PassageStore.open()"
    ),
}


class Retriever:
    """Retrieves passages from a store for questions.

    Args:
        store: An open store of any kind, see ``open_store``; it needs an encoder for questions in words, unless they are ranked
            by BM25 alone, or a service encodes.
        k: Hits per question, unless a call asks otherwise.
        mode: ``dense`` by inner product, ``bm25`` by words, ``hybrid`` by both; None for what the store was tuned to,
            or else ``dense``.
        weight: For ``hybrid``: λ of BM25 + λ · inner product; None for the tuned one, or one for each question.
        fusion: For ``hybrid``: ``weighted``, or ``rrf`` for reciprocal rank fusion.
        candidates: For ``hybrid``: how many passages each leg brings, at least 1; None for 200, or what the store was tuned with.
        k1: For ``bm25`` and ``hybrid``: how much it counts that a word stands in a passage often, at least 0; None for 0.9, or
            what the store was tuned with. See ``BM25`` for this and the next two.
        b: How much long passages are held back, from 0 to 1; None for 0.4, or what the store was tuned with.
        phrases: How much words count that follow each other as in the question, at least 0; None for what goes with the mode.
        ranking: All of that as a ``Ranking``, instead of what stands between ``k`` and this.
        reranker: Ranks anew what the store finds, by reading question and passage together: a ``Reader``, anything else with
            ``rerank(question, hits, k)``, or a ``CrossEncoder`` of sentence-transformers; or a ``SecondStage``, which says the
            next two as well. ``hit.retrieved`` is then the store's score, and ``hit.answer`` where a reader found the answer.
        rerank: So many of the first hits are reranked; others follow in their order, with scores below.
        rerank_weight: Share of the reranker in the order, from 0 to 1, see ``SecondStage``; with 1 a hit's score is the
            reranker's own.

    Raises:
        ArgumentError: The store is none, or the reranker.
        VectorError: k is below 1, or an option is out of range or goes with another mode.
    """

    @names_known(**_OF_CALLS)
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
        k = check_count("k", k, VectorError)
        if ranking is not None:
            check_instance("ranking", ranking, Ranking, VectorError, advice="; or say mode=")
        self._wishes = Wishes(mode, weight, fusion, candidates, k1, b, phrases)
        if ranking is not None and self._wishes:
            raise VectorError(
                "ranking was given together with mode, weight, fusion, candidates, k1, b or phrases; it says all of them already"
            )
        self.store, self.k, self._given = store, k, ranking
        self.second = reranker if isinstance(reranker, SecondStage) else None
        if reranker is not None and self.second is None:
            self.second = SecondStage(reranker, rerank=rerank, rerank_weight=rerank_weight)

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked; what was not said is as the store was tuned."""
        return self._asked or self.store.ranking

    @property
    def _asked(self) -> Ranking | None:
        """What was said, or None where all is left to the store."""
        return self.store.ranking_of(self._wishes) if self._wishes else self._given

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
            question: What to look for, in words.
            k: Hits, or None for the retriever's own number.
            filter: Selects passages before the top k, see ``PassageStore.search``.
            diversity: Choose by maximal marginal relevance; None keeps the order of the scores.
            min_relevance: Leave out hits of less relevance, in [0, 1]; see :meth:`relevance`.

        Raises:
            PassageError: The question is no string, or blank.
            EncoderMismatchError: The store has no encoder, or another one filled it.
            FilterError: The filter cannot be understood.
            VectorError: k is below 1, or an option is out of range.
        """
        return self.retrieve_batch([question], k, filter, diversity=diversity, min_relevance=min_relevance)[0]

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

        Args:
            questions: What to look for, in words.
            k: Hits per question, or None for the retriever's own number.
            filter: Selects passages before the top k, see ``PassageStore.search``.
            vectors: The questions' vectors, float [n, dim], where they are known already.
            diversity: Choose by maximal marginal relevance; None keeps the order of the scores.
            min_relevance: Leave out hits of less relevance, in [0, 1]; see :meth:`relevance`.

        With a reranker, ``diversity`` and ``min_relevance`` choose what it reads.
        """
        asked = check_questions(questions)
        wanted = self.k if k is None else check_count("k", k, VectorError)
        if not asked:
            return []
        found = self.store.rank(
            asked,
            wanted if self.second is None else self.second.wanted(wanted),
            filter,
            ranking=self._asked,
            vectors=vectors,
            diversity=diversity,
            min_relevance=min_relevance,
        )
        if self.second is None:
            return found
        return [self.second.ranked(one, hits, wanted) for one, hits in zip(asked, found, strict=True)]

    def retrieve_by_vectors(
        self,
        vectors: Any,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Passages for questions that are encoded already, float [n, dim], by inner product whatever the store was tuned to.

        Raises:
            VectorError: A mode or a reranker was given, which need the question's words.
        """
        if self.second is not None:
            raise VectorError("a reranker reads questions in words; call retrieve() or retrieve_batch()")
        asked = self._asked
        if asked is not None and asked.needs_words:
            raise VectorError(f"mode={asked.mode!r} needs questions in words; call retrieve() or retrieve_batch()")
        wanted = self.k if k is None else k
        return self.store.search(vectors, wanted, filter, diversity=diversity, min_relevance=min_relevance)

    def relevance(self, score: float) -> float:
        """How relevant a passage with this score is, in [0, 1]; it rises with the score, see :attr:`calibration`.

        Of a reranked hit ask about ``hit.retrieved``. For hits by vectors alone, of a store that was tuned to something else,
        ask ``store.calibration``.
        """
        return self.calibration.relevance(score)

    @property
    def calibration(self) -> Calibration:
        """What turns this retriever's scores into relevances, see ``PassageStore.calibration_of``."""
        return self.store.calibration_of(self.ranking)

    async def aretrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Like :meth:`retrieve`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(
            self.retrieve, question, k, filter, diversity=diversity, min_relevance=min_relevance
        )

    async def aretrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(
            self.retrieve_batch, questions, k, filter, diversity=diversity, min_relevance=min_relevance
        )

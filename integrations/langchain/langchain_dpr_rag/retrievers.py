"""``DPRRetriever``: dense passage retrieval as a LangChain retriever."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Self, cast

import numpy as np
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import LangSmithRetrieverParams
from pydantic import BeforeValidator, PrivateAttr, SkipValidation, model_validator

from dpr_rag import (
    Diversity,
    DualEncoder,
    Encoder,
    Filter,
    RemoteRetriever,
    RemoteStore,
    Retriever,
    SearchRequest,
    SecondStage,
    Store,
    is_address,
    is_service,
)
from dpr_rag.arguments import check_flag
from dpr_rag.encoder import Vectors
from dpr_rag.errors import ArgumentError
from dpr_rag.stores import is_store
from langchain_dpr_rag.argument_names import refuse_unknown
from langchain_dpr_rag.batches import OnePassRetriever
from langchain_dpr_rag.checks import check_threshold
from langchain_dpr_rag.closing import Closable, Closing, closed_on_error
from langchain_dpr_rag.documents import Where, where_of
from langchain_dpr_rag.filling import Filling
from langchain_dpr_rag.foreign import embeddings_of, encoder_of
from langchain_dpr_rag.opening import open_at
from langchain_dpr_rag.queries import ahits_for, hits_for, plain_documents, scored_documents
from langchain_dpr_rag.settings import Condition, Count, Fusion, Mode, SearchType, Share, Weight
from langchain_dpr_rag.vectorstores import DPRVectorStore


def _a_store(store: object) -> object:
    if not is_store(store):
        raise ValueError(
            f"store is {type(store).__name__}, expected an open dpr_rag.PassageStore; from_store opens folders and addresses, "
            "and shares that of a DPRVectorStore"
        )
    return store


def _a_reranker(reranker: object) -> object:
    if reranker is not None:
        SecondStage(reranker)  # it refuses what is none
    return reranker


class DPRRetriever(Closing, Filling, OnePassRetriever):
    """Dense passage retrieval for LangChain chains.

    A passage always becomes the same document, so that code which merges documents by equality sees it once; scores are added
    on request. A field that is set applies from the next call on, and is checked together with the others.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[langchain]'``

    Key arguments:
        store: An open store, see ``dpr_rag.open_store``, with an encoder where it does not encode by itself.
        k: Documents per question.
        filter: A dict, or a callable on documents; selects before the top k.
        score_threshold: Least relevance in [0, 1]; less relevant documents are left out.
        search_type: ``similarity``, or ``mmr`` for maximal marginal relevance.
        fetch_k: With ``mmr``: number of documents to choose from.
        lambda_mult: With ``mmr``: 1 counts relevance only, 0 only the difference between documents.
        mode: ``dense`` ranks by inner product, ``bm25`` by BM25, ``hybrid`` by both; None for the mode that the store was tuned
            to, or else ``dense``.
        weight: With ``hybrid``: λ in BM25 + λ · inner product; None for the tuned λ, or else one that is found per question.
        fusion: With ``hybrid``: ``weighted``, or ``rrf`` for reciprocal rank fusion.
        candidates: With ``hybrid``: how many passages each of the two lists has; None for the tuned number, or 200.
        k1, b, phrases: With ``bm25`` and ``hybrid``: parameters of BM25, see ``dpr_rag.BM25``; None for the tuned values, or the
            defaults.
        reranker: Reranks the hits: a ``dpr_rag.Reader``, or a ``CrossEncoder`` of sentence-transformers.
        rerank: With a reranker: how many of the first documents it reads.
        rerank_weight: With a reranker: its weight, from 0 to 1; see ``dpr_rag.SecondStage``.
        include_scores: Put score and rank into the metadata of the documents; for reranked ones also the score of the search,
            and a reader's answer.

    Instantiate:
        .. code-block:: python

            from langchain_dpr_rag import DPRRetriever

            retriever = DPRRetriever.from_store("plays.dpr", k=4)
            retriever = DPRRetriever.from_texts(["Hamlet is a tragedy by Shakespeare."])

    Search:
        .. code-block:: python

            retriever.invoke("a tragedy")
            retriever.invoke("a tragedy", k=2, filter={"year": {"$gte": 1700}}, score_threshold=0.5)
            retriever.batch(["a tragedy", "a comedy"])  # one encoding pass, one search

    Search with score:
        .. code-block:: python

            document = retriever.invoke("a tragedy", include_scores=True)[0]
            document.metadata["dpr_score"]  # exact inner product, or what the mode ranks by
            document.metadata["dpr_rank"]  # from 1
            document.metadata["dpr_relevance"]  # in [0, 1], with a score_threshold (0 keeps all)

    Async:
        .. code-block:: python

            await retriever.ainvoke("a tragedy")

    Use in a chain:
        .. code-block:: python

            from langchain_dpr_rag import format_documents

            chain = {"context": retriever | format_documents, "question": RunnablePassthrough()} | prompt | model
    """

    store: Annotated[SkipValidation[Store], BeforeValidator(_a_store)]
    k: Count = 4
    filter: Condition = None
    score_threshold: Share | None = None
    search_type: SearchType = "similarity"
    fetch_k: Count = 20
    lambda_mult: Share = 0.5
    mode: Mode | None = None
    weight: Weight | None = None
    fusion: Fusion | None = None
    candidates: Count | None = None
    k1: Weight | None = None
    b: Share | None = None
    phrases: Weight | None = None
    reranker: Annotated[SkipValidation[Any], BeforeValidator(_a_reranker)] = None
    rerank: Count = 20
    rerank_weight: Share | None = None
    include_scores: bool = False
    _opened: Closable | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_ranking(self) -> Self:
        _ = self._core  # it refuses what does not go together
        return self

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._opened = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo[id(self.store)] = self.store  # what is open cannot be opened twice
        memo[id(self.reranker)] = self.reranker
        copied = self.__copy__()
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    @classmethod
    def from_store(
        cls,
        store: Store | DPRVectorStore | str | os.PathLike[str],
        embedding: Embeddings | Encoder | None = None,
        *,
        fingerprint: str | None = None,
        read_only: bool = False,
        token: str | None = None,
        fixed_filter: Mapping[str, Any] | Filter | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a retriever on an existing store.

        Args:
            store: An open store, the folder of one, or an address: of a service, such as ``http://127.0.0.1:8000``, where
                ``?store=NAME`` names one of several, or of a Milvus, such as ``milvus://127.0.0.1:19530/wiki``.
            embedding: What embeds, where a folder or a Milvus is given; None for the default encoder, or none
                with ``mode="bm25"``.
            fingerprint: What identifies foreign embeddings; see :class:`DPRVectorStore`.
            read_only: Refuse every change, where a folder or a Milvus is given.
            token: What opens an address; None takes ``DPR_RAG_TOKEN``, or ``MILVUS_TOKEN``, of the environment.
            fixed_filter: What every search is restricted to, where a folder or a Milvus is given; see :class:`DPRVectorStore`.
            **kwargs: Those of the constructor.

        Raises:
            StoreNotFoundError: There is no store in the folder.
            EncoderMismatchError: Something else embedded its passages.
        """
        service, target = is_service(store), store.store if isinstance(store, DPRVectorStore) else store
        if service or is_store(target):
            if embedding is not None or fingerprint is not None or read_only or fixed_filter is not None:
                raise ArgumentError(
                    "embedding goes with a folder, and so do fingerprint, read_only and fixed_filter; the store was opened with "
                    "its own"
                )
        if token is not None and not is_address(store):
            raise ArgumentError("token goes with the address of a service, and this is none; leave it out")
        if isinstance(store, str) and service:
            remote = RemoteStore(store, token=token)
            return cls._over(remote, remote, **kwargs)
        if is_store(target):
            return cls(store=target, **kwargs)
        encoder = encoder_of(embedding, fingerprint)
        if encoder is None and kwargs.get("mode") != "bm25":  # words alone need no model
            encoder = DualEncoder.default()
        with closed_on_error(
            open_at(cast(str, target), encoder, create=False, read_only=read_only, token=token)
        ) as opened:
            return cls._over(opened, opened if fixed_filter is None else opened.restricted(fixed_filter), **kwargs)

    @classmethod
    def _over(cls, opened: Closable, store: Store, **kwargs: Any) -> Self:
        """Make a retriever on a store, or on a view of it; it closes a store that was opened for it."""
        with closed_on_error(opened):
            retriever = cls(store=store, **kwargs)
        retriever._opened = opened
        return retriever

    @property
    def _core(self) -> Retriever | RemoteRetriever:
        ranked = ("mode", "weight", "fusion", "candidates", "k1", "b", "phrases")
        settings = {"k": self.k, **{name: getattr(self, name) for name in ranked}}
        if isinstance(self.store, RemoteStore) and self.reranker is None:
            return RemoteRetriever(self.store, **settings)
        second = {name: getattr(self, name) for name in ("reranker", "rerank", "rerank_weight")}
        return Retriever(self.store, **settings, **second)

    def _retrieve_all(
        self, queries: Sequence[str], vectors: Vectors | None = None, /, **kwargs: Any
    ) -> list[list[Document]]:
        core, (request, written) = self._core, self._request(vectors, **kwargs)
        return written(core, queries, hits_for(core, queries, request))

    async def _aretrieve_all(self, queries: Sequence[str], **kwargs: Any) -> list[list[Document]]:
        if not isinstance(self.store, RemoteStore) or self.reranker is not None:
            return await super()._aretrieve_all(queries, **kwargs)
        core, (request, written) = self._core, self._request(**kwargs)
        hits = await ahits_for(cast(RemoteRetriever, core), queries, request)
        return await asyncio.to_thread(written, core, queries, hits)

    def _request(
        self,
        vectors: Vectors | None = None,
        *,
        k: int | None = None,
        filter: Where = None,
        score_threshold: float | None = None,
        include_scores: bool | None = None,
        **kwargs: Any,
    ) -> tuple[SearchRequest, Callable[..., list[list[Document]]]]:
        """All but the questions, from a call's arguments or else the fields; and what makes documents of the hits."""
        refuse_unknown(kwargs, "k, filter, score_threshold, include_scores")
        check_threshold(score_threshold)
        if include_scores is not None and not isinstance(include_scores, np.bool_):
            check_flag("include_scores", include_scores)
        least = self.score_threshold if score_threshold is None else score_threshold
        diversity = Diversity(self.fetch_k, self.lambda_mult) if self.search_type == "mmr" else None
        where = where_of(self.filter if filter is None else filter)
        with_scores = self.include_scores if include_scores is None else include_scores
        written = partial(scored_documents, calibrated=least is not None) if with_scores else plain_documents
        return SearchRequest(None, k, where, vectors, diversity=diversity, min_relevance=least), written

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self._retrieve_all([query], **kwargs)[0]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return (await self._aretrieve_all([query], **kwargs))[0]

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = type(self.store).__name__
        embeddings = embeddings_of(self.store.encoder)
        if embeddings is not None:
            params["ls_embedding_provider"] = type(embeddings).__name__
        return params

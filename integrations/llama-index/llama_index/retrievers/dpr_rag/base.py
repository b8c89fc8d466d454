"""``DPRRetriever``: dense retrieval as LlamaIndex's retriever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import mean_agg
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQueryMode
from llama_index.embeddings.dpr_rag.foreign import EmbeddingEncoder
from llama_index.retrievers.dpr_rag.opening import as_vector_store, parted, refuse_other_words
from llama_index.retrievers.dpr_rag.queries import CheckedQuestions, strings_of
from llama_index.retrievers.dpr_rag.searching import ranking_for, scored, searched
from llama_index.retrievers.dpr_rag.services import ahits_at_once, hits_at_once
from llama_index.retrievers.dpr_rag.settings import NAMES, Settings
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.opening import AnyEncoder
from llama_index.vector_stores.dpr_rag.querying import WORDS

from dpr_rag import Diversity, DualEncoder, Ranking, Store
from dpr_rag.errors import ArgumentError

_OF_THE_FRAMEWORK = ("object_map", "callback_manager")


class DPRRetriever(CheckedQuestions, BaseRetriever):
    """Retrieves nodes by the inner product of question and passage, by words, or by both.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[llama-index]'``

    Key arguments:
        store: A ``DPRVectorStore``, an open store (whoever filled it, LangChain for example), the path of a store, or the
            address of a service (``http://…``) or a Milvus (``milvus://…``), closed on ``close``.
        encoder: With a path or a Milvus: the encoder that filled the store, None for the default one, or an embedding.
        read_only: With a path: refuse every change.
        token: With an address: what opens it; None takes ``DPR_RAG_TOKEN``, or ``MILVUS_TOKEN``, of the environment.
        similarity_top_k: Nodes per question; 2 as everywhere in LlamaIndex.
        filters: Select nodes before the top k.
        mode: ``default`` for what the store was tuned to, or else inner products; ``mmr`` for maximal marginal relevance among
            four times as many candidates; ``text_search`` or ``sparse`` for BM25, ``hybrid`` for both.
        alpha: With ``hybrid``: 0 is BM25 alone, 1 inner products alone.
        ranking: All of that and more as a ``dpr_rag.Ranking``, instead of mode and alpha.
        diversity: As ``mmr``, with candidates and balance of your own, as a ``dpr_rag.Diversity``.
        min_relevance: Leave out nodes of less relevance, from 0 to 1: one half is where passages that answer part from
            those that do not, as fitted to the store itself (``dpr_rag.Retriever.relevance``).
        reranker: Orders what the store finds anew: a ``dpr_rag.Reader``, or a ``CrossEncoder`` of sentence-transformers. For the
            answers that a reader finds, use ``llama_index.postprocessor.dpr_rag.DPRReranker`` instead.
        rerank: With a reranker: so many of the first nodes are read.
        rerank_weight: With a reranker: its share in the order, from 0 to 1; see ``dpr_rag.SecondStage``.
        node_ids: Restrict the search to these nodes; an empty list to none.
        doc_ids: Restrict the search to the nodes of these source documents; an empty list to none.
        callback_manager: As in every retriever; so are ``object_map``, ``objects`` and ``verbose``.

    From ``similarity_top_k`` on, all but the last are attributes too: set, they count from then on, and are checked together
    as by the constructor. What is no setting cannot be set.

    Instantiate:
        .. code-block:: python

            from llama_index.retrievers.dpr_rag import DPRRetriever

            retriever = DPRRetriever("notes.dpr", encoder=encoder, similarity_top_k=5)
            retriever = DPRRetriever.from_defaults(nodes)      # the default encoder, a temporary store

    Add:
        .. code-block:: python

            retriever.vector_store.add(nodes)                  # encoded as (title, text) pairs

    Delete:
        .. code-block:: python

            retriever.vector_store.delete("a-document")

    Search:
        A blank question gets the nodes that the filters keep, in order of insertion and with the score 0; without filters, none.

        .. code-block:: python

            for found in retriever.retrieve("Who wrote Hamlet?"):
                print(found.score, found.node.metadata["title"])

    Filter:
        .. code-block:: python

            filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1600)])
            DPRRetriever(vector_store, filters=filters).retrieve("a tragedy")

    Score:
        The exact inner product, or what the mode ranks by; higher is better, neither a cosine nor bounded by 1.
        ``min_relevance`` is the threshold that means the same for every encoder.

    Async:
        ``aretrieve`` encodes and searches in a thread, so that the event loop goes on.

    As retriever:
        It goes wherever LlamaIndex takes one: ``QueryFusionRetriever``, ``RouterRetriever``, ``ContextChatEngine``.

    In a query engine:
        .. code-block:: python

            RetrieverQueryEngine.from_args(retriever, llm=llm).query("Who wrote Hamlet?")

    Raises:
        ValueError: The mode is not supported, or two options say the same thing.
        VectorError: ``similarity_top_k`` is below 1, ``alpha`` out of range, or ``min_relevance`` not between 0 and 1.
        FilterError: A filter cannot be understood.
        AttributeError: Something was set that is no setting.
    """

    similarity_top_k: int
    filters: MetadataFilters | None
    mode: VectorStoreQueryMode | str
    alpha: float | None
    ranking: Ranking | None
    diversity: Diversity | None
    min_relevance: float | None
    reranker: Any
    rerank: int
    rerank_weight: float | None
    node_ids: list[str] | None
    doc_ids: list[str] | None

    def __init__(
        self,
        store: DPRVectorStore | Store | str | os.PathLike[str] | None = None,
        *,
        encoder: AnyEncoder | None = None,
        read_only: bool = False,
        token: str | None = None,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        mode: VectorStoreQueryMode | str = VectorStoreQueryMode.DEFAULT,
        alpha: float | None = None,
        ranking: Ranking | None = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
        reranker: Any = None,
        rerank: int = 20,
        rerank_weight: float | None = None,
        node_ids: list[str] | None = None,
        doc_ids: list[str] | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **unknown: Any,
    ) -> None:
        refuse_other_words(unknown)
        arguments = locals()
        settings = Settings(**{name: arguments[name] for name in NAMES})
        self.__dict__.update({name: getattr(settings, name) for name in NAMES})
        super().__init__(callback_manager, object_map, objects, verbose)
        self._owned = isinstance(store, str | os.PathLike)
        self._vector_store = as_vector_store(store, encoder, read_only, words_only=mode in WORDS, token=token)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a setting, checked together with the others."""
        if name in NAMES:
            Settings(**{**self._current(), name: value})
        elif not (name.startswith("_") or hasattr(self, name) or name in _OF_THE_FRAMEWORK):
            raise AttributeError(f"DPRRetriever has no setting {name!r}; there are {', '.join(NAMES)}")
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        """A copy on the same open store, which leaves closing to the first."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__, _owned=False)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # what is open cannot be opened twice, and settings are not changed in place

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be pickled, at once and not where the copy is used."""
        folder = str(self._vector_store.client.path)
        raise TypeError(
            f"a retriever on {folder!r} is open and cannot be pickled; open it where it is used, from its path"
        )

    def _current(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in NAMES}

    @classmethod
    def from_defaults(
        cls,
        nodes: Sequence[BaseNode] | None = None,
        *,
        encoder: AnyEncoder | None = None,
        path: str | os.PathLike[str] | None = None,
        vector_store: DPRVectorStore | None = None,
        store: Store | None = None,
        **kwargs: Any,
    ) -> DPRRetriever:
        """Make a retriever, and the store under it where none is given, and add nodes to it.

        Args:
            nodes: Added to the store; those without an embedding are encoded as (title, text) pairs.
            encoder: None loads ``DualEncoder.default()`` where a store is to be opened.
            path: The store's folder, or the address of a Milvus; None makes a temporary store.
            vector_store: Use this one instead.
            store: Use this open store instead.
            **kwargs: Arguments of the class; where a store is opened, also those of ``DPRVectorStore``, such as ``fixed_filter``.

        Raises:
            ValueError: More than one store was given, or an encoder for one that is open already.
            EncoderMismatchError: Another encoder filled the store.
        """
        sources = [source for source in (vector_store, store, path) if source is not None]
        if len(sources) > 1:
            raise ArgumentError("path, vector_store and store were given together; give one of them")
        if sources and path is None:
            retriever = cls(sources[0], encoder=encoder, **kwargs)
        else:
            of_store, kwargs = parted(kwargs)
            opened = DPRVectorStore(path, encoder=DualEncoder.default() if encoder is None else encoder, **of_store)
            with ExitStack() as on_error:
                on_error.callback(opened.close)
                retriever = cls(opened, **kwargs)
                on_error.pop_all()
            retriever._owned = True
        with ExitStack() as on_error:
            on_error.callback(retriever.close)
            if nodes is not None:
                retriever.vector_store.add(nodes)
            on_error.pop_all()
        return retriever

    @property
    def vector_store(self) -> DPRVectorStore:
        """The store behind it, to add to and to delete from."""
        return held if isinstance(held := self._vector_store, DPRVectorStore) else held.refuse()

    def close(self) -> None:
        """Close the store, unless it was given open."""
        if self._owned:
            self._vector_store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        settings, client = Settings(**self._current()), self._vector_store.client
        hits = hits_at_once(client, settings, query_bundle)
        return scored(settings, query_bundle, searched(client, settings, query_bundle) if hits is None else hits)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        client, settings = self._vector_store.client, Settings(**self._current())
        if (hits := await ahits_at_once(client, settings, query_bundle)) is not None:
            return await asyncio.to_thread(scored, settings, query_bundle, hits)
        return await asyncio.to_thread(self._retrieve, await self._embedded(query_bundle))

    async def _embedded(self, bundle: QueryBundle) -> QueryBundle:
        """The bundle with its embedding, where another embedding can be waited for."""
        encoder, strings = self._vector_store.encoder, strings_of(bundle)
        if not isinstance(encoder, EmbeddingEncoder) or bundle.embedding is not None or not strings:
            return bundle
        ranking = await asyncio.to_thread(ranking_for, self._vector_store.client, Settings(**self._current()), bundle)
        if not ranking.needs_vectors:
            return bundle
        return replace(bundle, embedding=mean_agg((await encoder.aencode_questions(strings)).tolist()))

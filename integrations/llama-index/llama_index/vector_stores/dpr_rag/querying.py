"""Executes a ``VectorStoreQuery``: its mode as a ranking, its filters and ids as a filter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.dpr_rag.filters import to_filter
from llama_index.vector_stores.dpr_rag.nodes import of_nodes, of_sources

from dpr_rag import Diversity, Filter, Hit, Ranking, Retriever, SearchRequest, Store, is_service
from dpr_rag.arguments import check_count, check_number, is_blank
from dpr_rag.errors import ArgumentError, VectorError, nearest
from dpr_rag.filters import And
from dpr_rag.stores import execute

_log = logging.getLogger(__name__)
_BALANCE = 0.5
LEFT_TO_THE_STORE = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR)
WORDS = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)
_PREFETCH_FACTOR = 4.0
_OPTIONS = ("mmr_threshold", "mmr_prefetch_factor", "mmr_prefetch_k", "min_relevance")
_OTHER_WORDS = {
    "k": "VectorStoreQuery.similarity_top_k",
    "top_k": "VectorStoreQuery.similarity_top_k",
    "similarity_top_k": "VectorStoreQuery.similarity_top_k",
    "score_threshold": "min_relevance, from 0 to 1",
    "similarity_cutoff": "min_relevance, from 0 to 1",
    "similarity_threshold": "min_relevance, from 0 to 1",
    "lambda_mult": "mmr_threshold",
    "mmr_lambda": "mmr_threshold",
    "fetch_k": "mmr_prefetch_k",
    "filter": "VectorStoreQuery.filters",
    "filters": "VectorStoreQuery.filters",
    "where": "VectorStoreQuery.filters",
    "mode": "VectorStoreQuery.mode; of an index, vector_store_query_mode=",
    "alpha": "VectorStoreQuery.alpha",
    "embed_model": "encoder= of DPRVectorStore(path, ...)",
    **dict.fromkeys(("node_ids", "doc_ids"), "VectorStoreQuery.node_ids and VectorStoreQuery.doc_ids"),
    **dict.fromkeys(("query_str", "query_embedding"), "VectorStoreQuery(query_str=..., query_embedding=...)"),
    "sparse_top_k": "VectorStoreQuery.sparse_top_k",
    "hybrid_top_k": "VectorStoreQuery.hybrid_top_k",
}


_MODES = ("default", "mmr", "text_search", "sparse", "hybrid")
_OTHER_MODES = {
    **dict.fromkeys(("dense", "vector", "similarity", "semantic", "embedding"), "default"),
    **dict.fromkeys(("bm25", "fts", "fulltext", "keyword", "keywords", "lexical", "text", "words"), "text_search"),
    **dict.fromkeys(("semantic_hybrid", "both", "rrf"), "hybrid"),
}


def hits_for(store: Store, query: VectorStoreQuery, options: Mapping[str, Any]) -> list[Hit]:
    """Hits for a query; see ``DPRVectorStore.query``."""
    check_mode(query.mode, query.alpha)
    k, words = _wanted(query), words_of(query.query_str)
    diversity = diversity_for(query.mode, max(k, 1), threshold=query.mmr_threshold, options=options)
    where = selection_of(node_ids=query.node_ids, doc_ids=query.doc_ids, filters=query.filters)
    ranking = ranking_of(store, query)
    if k == 0:
        return []
    vectors, threshold = vectors_of(query), options.get("min_relevance")
    request = SearchRequest(None, k, where, vectors, diversity=diversity, min_relevance=threshold)
    if vectors is not None and (not ranking.needs_words or (words == "" and ranking.needs_vectors)):
        return execute(store, request)[0]
    if words:
        return execute(store, replace(request, questions=[words], ranking=ranking))[0]
    if words is None and vectors is not None:
        raise ArgumentError(f"the mode {VectorStoreQueryMode(query.mode).value!r} looks for words; give query_str")
    if words is None and where is None:
        raise ArgumentError("the query has neither query_embedding nor query_str nor filters; give one of them")
    return without_question(store, where, k)


def without_question(store: Store, where: Filter | None, k: int) -> list[Hit]:
    """Hits without a question: the passages that match a filter, in order of insertion, with the score 0; else none."""
    passages = [] if where is None else store.select(where, k)
    return [Hit(passage, 0.0, rank) for rank, passage in enumerate(passages, start=1)]


def tell_if_empty(store: Store, hits: Sequence[Hit]) -> None:
    """Warn if the store is empty: a mistyped path creates one, and its results look like those of a bad question."""
    if not hits and not store.count():
        remedy = (
            "fill it where its folder or collection is" if is_service(store.path) else "check the path: create=False"
        )
        _log.warning("%s is empty, so nothing is found; where it should not be, %s", store.path, remedy)


def words_of(query: object) -> str | None:
    """The question of a query; empty if it is blank, None if there is none.

    Raises:
        TypeError: It is not a string.
    """
    if query is None:
        return None
    if not isinstance(query, str):
        raise ArgumentError(f"query_str is {type(query).__name__} {query!r:.80}, expected the question as a string")
    return "" if is_blank(query) else query


def vectors_of(query: VectorStoreQuery) -> list[Any] | None:
    """The query's embedding as a matrix of one row; None if there is none, or if it is the zero vector of a blank text."""
    if query.query_embedding is None or (words_of(query.query_str) == "" and not any(query.query_embedding)):
        return None
    return [query.query_embedding]


def ranking_of(store: Store, query: VectorStoreQuery) -> Ranking:
    """The ranking of a query; without a question, and in a mode that leaves it open, by inner product."""
    if query.query_str is None and query.mode in LEFT_TO_THE_STORE:
        check_mode(query.mode, query.alpha)
        return Ranking()
    return ranking_for(store, query.mode, alpha=query.alpha, candidates=query.sparse_top_k)


def _wanted(query: VectorStoreQuery) -> int:
    of_modes = {
        VectorStoreQueryMode.HYBRID: query.hybrid_top_k,
        VectorStoreQueryMode.SPARSE: query.sparse_top_k,
        VectorStoreQueryMode.TEXT_SEARCH: query.sparse_top_k,
    }.get(VectorStoreQueryMode(query.mode) if query.mode in list(VectorStoreQueryMode) else query.mode)
    return query.similarity_top_k if of_modes is None else of_modes


def diversity_for(
    mode: VectorStoreQueryMode | str,
    k: int,
    *,
    threshold: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Diversity | None:
    """The parameters of maximal marginal relevance for the mode ``mmr``; None for other modes.

    Args:
        mode: A mode of LlamaIndex.
        k: How many nodes are wanted.
        threshold: ``VectorStoreQuery.mmr_threshold``: 1 looks at relevance alone, 0 at difference alone.
        options: ``mmr_threshold``, which wins over ``threshold``, ``mmr_prefetch_k`` (candidates) or
            ``mmr_prefetch_factor`` (candidates per node).

    Raises:
        ValueError: The mode is not supported, or both prefetch options are given.
        TypeError: An option is unknown.
        VectorError: A value is out of range.
    """
    arguments = dict(options or {})
    check_options(arguments)
    if mode != VectorStoreQueryMode.MMR:
        return None
    chosen = arguments.get("mmr_threshold", threshold)
    balance = _BALANCE if chosen is None else check_number("mmr_threshold", chosen, VectorError, high=1.0)
    return Diversity(max(k, _candidates(k, arguments)), balance)


def ranking_for(
    store: Store,
    mode: VectorStoreQueryMode | str,
    *,
    alpha: float | None = None,
    candidates: int | None = None,
) -> Ranking:
    """The ranking of a mode of LlamaIndex: BM25 (``text_search``, ``sparse``), ``hybrid``, or the store's own.

    Args:
        store: Its tuning counts for ``default`` and ``mmr``, which are inner products otherwise, and for what the others
            leave open; it suggests λ for ``hybrid``.
        mode: A mode of LlamaIndex.
        alpha: For ``hybrid``: 0 is BM25 alone, 1 inner products alone; between them λ is the store's, tuned or found
            for each question, times alpha / (1 - alpha), so that one half is as without it. The other modes have no use
            for it.
        candidates: For ``hybrid``: how many nodes each leg brings, as ``sparse_top_k``.

    Raises:
        ValueError: The mode is not supported.
        VectorError: A value is out of range.
    """
    check_mode(mode, alpha)
    if mode in LEFT_TO_THE_STORE:
        return store.ranking
    if mode in WORDS:
        return Retriever(store, mode="bm25").ranking
    if alpha is not None and alpha in (0, 1):
        return Retriever(store, mode="dense" if alpha else "bm25").ranking
    hybrid = Retriever(store, mode="hybrid").ranking
    if alpha is not None:
        hybrid = _times(store.settled(replace(hybrid, fusion="weighted")), alpha / (1 - alpha))
    if candidates is None:
        return hybrid
    return replace(hybrid, candidates=check_count("sparse_top_k", candidates, VectorError))


def _times(ranking: Ranking, factor: float) -> Ranking:
    """A hybrid ranking with its λ multiplied by a factor."""
    if ranking.weight is None:
        return replace(ranking, balance=factor)
    return replace(ranking, weight=ranking.weight * factor)


def check_mode(mode: VectorStoreQueryMode | str, alpha: float | None) -> None:
    """Refuse modes that are not supported, and an alpha out of range.

    Raises:
        ValueError: The mode is not supported.
        VectorError: ``alpha`` is not in [0, 1].
    """
    if not isinstance(mode, str) or mode not in (*LEFT_TO_THE_STORE, *WORDS, VectorStoreQueryMode.HYBRID):
        name = mode.value if isinstance(mode, VectorStoreQueryMode) else mode
        raise ArgumentError(
            f"the query mode {name!r:.80} is not supported; there are 'default', 'mmr', 'text_search', 'sparse' and 'hybrid'"
            f"{nearest(name, _MODES, _OTHER_MODES)}"
        )
    if alpha is not None:
        check_number("alpha", alpha, VectorError, high=1.0)


def check_options(arguments: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that a query does not know.

    Raises:
        ArgumentError: There is one.
    """
    unknown = sorted(set(arguments) - set(_OPTIONS))
    if unknown:
        right = _OTHER_WORDS.get(unknown[0])
        hint = f"; it is called {right} here" if right else nearest(unknown[0], _OPTIONS)
        raise ArgumentError(f"{unknown[0]!r:.80} is no option of a query{hint}; there are {', '.join(_OPTIONS)}")


def _candidates(k: int, options: Mapping[str, Any]) -> int:
    fixed, factor = options.get("mmr_prefetch_k"), options.get("mmr_prefetch_factor")
    if fixed is not None and factor is not None:
        raise ArgumentError("mmr_prefetch_k and mmr_prefetch_factor were both given; give one of them")
    if fixed is not None:
        return check_count("mmr_prefetch_k", fixed, VectorError, least=0)
    return int(k * (_PREFETCH_FACTOR if factor is None else check_number("mmr_prefetch_factor", factor, VectorError)))


def selection_of(
    *, node_ids: list[str] | None = None, doc_ids: list[str] | None = None, filters: MetadataFilters | None = None
) -> Filter | None:
    """The filter that combines node ids, source documents and metadata filters; None if there is none of them.

    Empty node ids and filters restrict nothing, since an index passes empty ones by default. An empty list of documents, as for
    a user who may read none, matches nothing; an index never passes one by itself.

    Raises:
        FilterError: A filter cannot be understood.
    """
    sources = None if doc_ids is None else of_sources(doc_ids)
    parts = [to_filter(filters), sources, of_nodes(node_ids) if node_ids else None]
    present = tuple(part for part in parts if part is not None)
    return And(present) if present else None

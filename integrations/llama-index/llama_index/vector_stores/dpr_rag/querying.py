"""What a ``VectorStoreQuery`` asks for, in the words of dpr-rag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.dpr_rag.filters import to_filter
from llama_index.vector_stores.dpr_rag.nodes import of_nodes, of_sources

from dpr_rag import Diversity, Filter, Hit, PassageStore, Ranking
from dpr_rag.errors import VectorError
from dpr_rag.filters import And

_BALANCE = 0.5
LEFT_TO_THE_STORE = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR)
WORDS = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)
_PREFETCH_FACTOR = 4.0
_OPTIONS = ("mmr_threshold", "mmr_prefetch_factor", "mmr_prefetch_k")


def hits_for(store: PassageStore, query: VectorStoreQuery, options: Mapping[str, Any]) -> list[Hit]:
    """What a query finds; see ``DPRVectorStore.query``."""
    ranking = ranking_for(store, query.mode, alpha=query.alpha, candidates=query.sparse_top_k)
    is_hybrid = query.mode == VectorStoreQueryMode.HYBRID
    k = query.hybrid_top_k if is_hybrid and query.hybrid_top_k is not None else query.similarity_top_k
    diversity = diversity_for(query.mode, k, threshold=query.mmr_threshold, options=options)
    where = selection_of(node_ids=query.node_ids, doc_ids=query.doc_ids, filters=query.filters)
    if query.query_str is None and query.mode in LEFT_TO_THE_STORE:
        ranking = Ranking()
    vectors = None if query.query_embedding is None else [query.query_embedding]
    if vectors is not None and not ranking.needs_words:
        return store.search(vectors, k, where, diversity=diversity)[0]
    if query.query_str is None:
        if ranking.needs_words:
            raise ValueError(f"the mode {query.mode!r} looks for words; give query_str")
        raise ValueError("the query has neither query_embedding nor query_str; give one of them")
    return store.rank([query.query_str], k, where, ranking=ranking, vectors=vectors, diversity=diversity)[0]


def diversity_for(
    mode: VectorStoreQueryMode | str,
    k: int,
    *,
    threshold: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Diversity | None:
    """How to choose among the candidates: by diversity in the mode ``mmr``, in the others not at all.

    Args:
        mode: A mode of LlamaIndex.
        k: How many nodes are wanted.
        threshold: ``VectorStoreQuery.mmr_threshold``: 1 looks at relevance alone, 0 at difference alone.
        options: ``mmr_threshold``, ``mmr_prefetch_k`` (candidates) or ``mmr_prefetch_factor`` (candidates per node).

    Raises:
        ValueError: The mode is not supported, or both prefetch options are given.
        TypeError: An option is unknown.
        VectorError: A value is out of range.
    """
    given = dict(options or {})
    unknown = sorted(set(given) - set(_OPTIONS))
    if unknown:
        raise TypeError(f"{unknown[0]!r} is no option of a query; there are {', '.join(_OPTIONS)}")
    if mode != VectorStoreQueryMode.MMR:
        return None
    chosen = threshold if threshold is not None else given.get("mmr_threshold")
    return Diversity(max(k, _candidates(k, given)), _BALANCE if chosen is None else chosen)


def ranking_for(
    store: PassageStore, mode: VectorStoreQueryMode | str, *, alpha: float | None = None, candidates: int | None = None
) -> Ranking:
    """How a mode of LlamaIndex ranks: by BM25 (``text_search``, ``sparse``), by both legs (``hybrid``), or as the store does.

    Args:
        store: Its tuning counts for ``default`` and ``mmr``, which are inner products otherwise, and for what the others
            leave open; it suggests λ for ``hybrid``.
        mode: A mode of LlamaIndex.
        alpha: For ``hybrid``: 0 is BM25 alone, 1 inner products alone; between them λ is the store's, tuned or suggested,
            times alpha / (1 - alpha), so that one half weighs both legs alike. The other modes have no use for it.
        candidates: For ``hybrid``: how many nodes each leg brings, as ``sparse_top_k``.

    Raises:
        ValueError: The mode is not supported.
        VectorError: A value is out of range.
    """
    check_mode(mode, alpha)
    if mode in LEFT_TO_THE_STORE:
        return store.ranking
    if mode in WORDS:
        return store.ranking_for("bm25")
    if alpha is not None and alpha in (0, 1):
        return store.ranking_for("dense" if alpha else "bm25")
    both = store.ranking_for("hybrid")
    if alpha is not None:
        settled = store.settled(replace(both, fusion="weighted"))
        both = replace(settled, weight=(settled.weight or 0.0) * alpha / (1 - alpha))
    return both if candidates is None else replace(both, candidates=candidates)


def check_mode(mode: VectorStoreQueryMode | str, alpha: float | None) -> None:
    """Refuse modes that are not supported, and an alpha out of range.

    Raises:
        ValueError: The mode is not supported.
        VectorError: ``alpha`` is not in [0, 1].
    """
    if mode not in (*LEFT_TO_THE_STORE, *WORDS, VectorStoreQueryMode.HYBRID):
        name = mode.value if isinstance(mode, VectorStoreQueryMode) else mode
        raise ValueError(
            f"the query mode {name!r} is not supported; there are 'default', 'mmr', 'text_search', 'sparse' and 'hybrid'"
        )
    if alpha is not None and not 0 <= alpha <= 1:
        raise VectorError(f"alpha is {alpha!r}, expected a number from 0 to 1")


def _candidates(k: int, options: Mapping[str, Any]) -> int:
    fixed, factor = options.get("mmr_prefetch_k"), options.get("mmr_prefetch_factor")
    if fixed is not None and factor is not None:
        raise ValueError("mmr_prefetch_k and mmr_prefetch_factor were both given; give one of them")
    return int(fixed) if fixed is not None else int(k * (_PREFETCH_FACTOR if factor is None else factor))


def selection_of(
    *, node_ids: list[str] | None = None, doc_ids: list[str] | None = None, filters: MetadataFilters | None = None
) -> Filter | None:
    """The passages that all of ids, documents and filters keep; empty ones restrict nothing, as LlamaIndex gives them.

    Raises:
        FilterError: A filter cannot be understood.
    """
    parts = [to_filter(filters), of_sources(doc_ids) if doc_ids else None, of_nodes(node_ids) if node_ids else None]
    kept = tuple(part for part in parts if part is not None)
    return And(kept) if kept else None

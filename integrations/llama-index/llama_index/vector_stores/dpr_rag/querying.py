"""What a ``VectorStoreQuery`` asks for, in the words of dpr-rag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQueryMode
from llama_index.vector_stores.dpr_rag.filters import to_filter
from llama_index.vector_stores.dpr_rag.nodes import is_from_node, of_nodes, of_sources

from dpr_rag import Diversity, Filter, Passage, PassageStore
from dpr_rag.filters import And

Selection = Filter | Callable[[Passage], bool] | None
_BALANCE = 0.5
_PREFETCH_FACTOR = 4.0
_OPTIONS = ("mmr_threshold", "mmr_prefetch_factor", "mmr_prefetch_k")


def diversity_for(
    mode: VectorStoreQueryMode | str,
    k: int,
    *,
    threshold: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Diversity | None:
    """How to choose among the candidates: not at all in the mode ``default``, by diversity in the mode ``mmr``.

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
    if mode == VectorStoreQueryMode.DEFAULT:
        return None
    if mode != VectorStoreQueryMode.MMR:
        name = mode.value if isinstance(mode, VectorStoreQueryMode) else mode
        raise ValueError(f"the query mode {name!r} is not supported; there are 'default' and 'mmr'")
    chosen = threshold if threshold is not None else given.get("mmr_threshold")
    return Diversity(max(k, _candidates(k, given)), _BALANCE if chosen is None else chosen)


def _candidates(k: int, options: Mapping[str, Any]) -> int:
    fixed, factor = options.get("mmr_prefetch_k"), options.get("mmr_prefetch_factor")
    if fixed is not None and factor is not None:
        raise ValueError("mmr_prefetch_k and mmr_prefetch_factor were both given; give one of them")
    return int(fixed) if fixed is not None else int(k * (_PREFETCH_FACTOR if factor is None else factor))


def selection_of(
    store: PassageStore,
    *,
    node_ids: list[str] | None = None,
    doc_ids: list[str] | None = None,
    filters: MetadataFilters | None = None,
) -> Selection:
    """The passages that all of ids, documents and filters keep; empty ones restrict nothing, as LlamaIndex gives them.

    Raises:
        FilterError: A filter cannot be understood.
    """
    parts = [part for part in (to_filter(filters), of_sources(doc_ids) if doc_ids else None) if part is not None]
    if node_ids and all(is_from_node(passage) for passage in store.get(node_ids)):
        parts.append(of_nodes(node_ids))
    elif node_ids:
        # passages that no node made can be told by their id alone, which metadata of that name hide from filters
        return _predicate(frozenset(node_ids), parts)
    return And(tuple(parts)) if parts else None


def _predicate(ids: frozenset[str], parts: list[Filter]) -> Callable[[Passage], bool]:
    return lambda passage: passage.id in ids and all(part.matches(passage) for part in parts)

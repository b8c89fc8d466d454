"""The settings of a ``DPRRetriever``: checked together whenever one of them is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQueryMode
from llama_index.vector_stores.dpr_rag.checks import ids_given
from llama_index.vector_stores.dpr_rag.filters import to_filter
from llama_index.vector_stores.dpr_rag.querying import (
    LEFT_TO_THE_STORE,
    check_mode,
    diversity_for,
    ranking_for,
)

from dpr_rag import Diversity, Ranking, SecondStage, Store
from dpr_rag.arguments import check_count, check_number
from dpr_rag.errors import ArgumentError, VectorError


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a retriever, see ``DPRRetriever``.

    Raises:
        ValueError: The mode is not supported, or two settings say the same thing.
        VectorError: ``similarity_top_k`` or ``rerank`` is below 1; ``rerank_weight``, ``alpha`` or ``min_relevance`` is not
            between 0 and 1.
        FilterError: A filter cannot be understood.
        TypeError: A value is of another type.
    """

    similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K
    filters: MetadataFilters | None = None
    mode: VectorStoreQueryMode | str = VectorStoreQueryMode.DEFAULT
    alpha: float | None = None
    ranking: Ranking | None = None
    diversity: Diversity | None = None
    min_relevance: float | None = None
    reranker: Any = None
    rerank: int = 20
    rerank_weight: float | None = None
    node_ids: list[str] | None = None
    doc_ids: list[str] | None = None

    def __post_init__(self) -> None:
        check_count("similarity_top_k", self.similarity_top_k, VectorError)
        to_filter(self.filters)
        _check_ids("node_ids", self.node_ids)
        _check_ids("doc_ids", self.doc_ids)
        _check_type("ranking", self.ranking, Ranking)
        _check_type("diversity", self.diversity, Diversity)
        _check_share("alpha", self.alpha)
        _check_share("min_relevance", self.min_relevance)
        _ = self.second_stage  # it refuses what is no reranker
        self._check_together()

    @property
    def second_stage(self) -> SecondStage | None:
        """The reranker with its options, or None."""
        if self.reranker is None:
            return None
        return SecondStage(self.reranker, rerank=self.rerank, rerank_weight=self.rerank_weight)

    @property
    def searched(self) -> int:
        """How many hits the search must return."""
        stage = self.second_stage
        return self.similarity_top_k if stage is None else stage.wanted(self.similarity_top_k)

    def _check_together(self) -> None:
        check_mode(self.mode, self.alpha)
        if self.alpha is not None and (self.ranking is not None or self.mode != VectorStoreQueryMode.HYBRID):
            raise ArgumentError("alpha goes with mode='hybrid', and not with ranking=, which has a weight of its own")
        if self.ranking is not None and self.mode not in LEFT_TO_THE_STORE:
            name = VectorStoreQueryMode(self.mode).value
            raise ArgumentError(f"mode={name!r} and ranking= were both given; ranking alone says how to rank")
        if self.diversity is not None and self.mode == VectorStoreQueryMode.MMR:
            raise ArgumentError("mode='mmr' and diversity= were both given; diversity alone says how to choose")

    def ranking_in(self, store: Store, *, without_words: bool) -> Ranking:
        """The given ranking, or that of the mode; computed per search, since a store may grow or be tuned.

        Args:
            store: The store.
            without_words: Whether the question is an embedding without words.
        """
        if self.ranking is not None:
            return self.ranking
        if without_words and self.mode in LEFT_TO_THE_STORE:
            return Ranking()
        return ranking_for(store, self.mode, alpha=self.alpha)

    def diversity_used(self) -> Diversity | None:
        """The given parameters of maximal marginal relevance, or those of the mode ``mmr``; else None."""
        return self.diversity or diversity_for(self.mode, self.searched)


NAMES = tuple(field.name for field in fields(Settings))


def _check_ids(name: str, ids: Sequence[str] | None) -> None:
    if ids is not None:
        ids_given(name, ids)


def _check_type(name: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise ArgumentError(
            f"{name} is {type(value).__name__} {value!r:.60}, expected a dpr_rag.{kind.__name__} or None"
        )


def _check_share(name: str, value: Any) -> None:
    if value is not None:
        check_number(name, value, VectorError, high=1.0)

"""Batches of questions: one encoding pass and one search, with a callback run for each question."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dpr_rag import RemoteRetriever, Retriever, SearchRequest
from dpr_rag.encoder import Vectors
from langchain_dpr_rag.argument_names import OF_A_STORE, check_search_type, refuse_unknown, unknown_argument
from langchain_dpr_rag.checks import check_threshold, inputs_given
from langchain_dpr_rag.documents import Where, document_of, where_of
from langchain_dpr_rag.queries import diversity_of, hits_for, vectors_for
from langchain_dpr_rag.searching import SearchableStore
from langchain_dpr_rag.settings import CheckedRetriever, Condition, Count, Share

Outcome = list[Document] | Exception


class OnePassRetriever(CheckedRetriever):
    """A retriever whose ``batch`` and ``abatch`` cost one encoding pass and one search; unknown arguments are refused."""

    @abstractmethod
    def _retrieve_all(
        self,
        queries: Sequence[str],
        vectors: Vectors | None = None,
        /,
        *,
        k: int | None = None,
        filter: Where = None,
        score_threshold: float | None = None,
        include_scores: bool | None = None,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """Documents for each question; the arguments are those of ``invoke``, vectors of filled questions may be known."""

    @property
    @abstractmethod
    def _core(self) -> Retriever | RemoteRetriever:
        """The core's retriever, as the settings are now."""

    async def _aretrieve_all(self, queries: Sequence[str], **kwargs: Any) -> list[list[Document]]:
        core = await asyncio.to_thread(lambda: self._core)
        vectors = await vectors_for(core, queries)
        return await asyncio.to_thread(self._retrieve_all, queries, vectors, **kwargs)

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Documents for many questions.

        Args:
            inputs: The questions.
            config: One for all, or one each.
            return_exceptions: Put a question's exception in the place of its documents instead of raising it.
            **kwargs: Those of ``invoke``.
        """
        inputs, runs = inputs_given(inputs), []
        for query, run_config in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            manager = CallbackManager.configure(**self._callbacks(run_config, kwargs))
            runs.append(manager.on_retriever_start(None, query, name=run_config.get("run_name") or self.get_name()))
        outcomes = self._outcomes(inputs, kwargs, return_exceptions)
        for run, outcome in zip(runs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                run.on_retriever_error(outcome)
            else:
                run.on_retriever_end(outcome)
        return _returned(outcomes, return_exceptions)

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Like :meth:`batch`, without blocking the event loop."""
        inputs, runs = inputs_given(inputs), []
        for query, run_config in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            manager = AsyncCallbackManager.configure(**self._callbacks(run_config, kwargs))
            runs.append(
                await manager.on_retriever_start(None, query, name=run_config.get("run_name") or self.get_name())
            )
        outcomes = await self._aoutcomes(inputs, kwargs, return_exceptions)
        for run, outcome in zip(runs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                await run.on_retriever_error(outcome)
            else:
                await run.on_retriever_end(outcome)
        return _returned(outcomes, return_exceptions)

    def _callbacks(self, config: RunnableConfig, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {
            "inheritable_callbacks": config.get("callbacks"),
            "inheritable_tags": config.get("tags"),
            "local_tags": self.tags,
            "inheritable_metadata": {**(config.get("metadata") or {}), **self._get_ls_params(**kwargs)},
            "local_metadata": self.metadata,
        }

    def _outcomes(self, queries: Sequence[str], kwargs: dict[str, Any], one_by_one: bool) -> list[Outcome]:
        """Documents of all questions in one pass; if that fails and exceptions are to be returned, question by question."""
        if not queries:
            return []
        try:
            return list(self._retrieve_all(queries, **kwargs))
        except Exception as error:  # whatever an encoder raises belongs to the caller, by return_exceptions
            return [self._outcome(query, kwargs) if one_by_one else error for query in queries]

    def _outcome(self, query: str, kwargs: dict[str, Any]) -> Outcome:
        try:
            return self._retrieve_all([query], **kwargs)[0]
        except Exception as error:  # as above
            return error

    async def _aoutcomes(self, queries: Sequence[str], kwargs: dict[str, Any], one_by_one: bool) -> list[Outcome]:
        if not queries:
            return []
        try:
            return list(await self._aretrieve_all(queries, **kwargs))
        except Exception as error:  # as above
            return [await self._aoutcome(query, kwargs) if one_by_one else error for query in queries]

    async def _aoutcome(self, query: str, kwargs: dict[str, Any]) -> Outcome:
        try:
            return (await self._aretrieve_all([query], **kwargs))[0]
        except Exception as error:  # as above
            return error


def _returned(outcomes: list[Outcome], return_exceptions: bool) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not return_exceptions:
            raise outcome
    return outcomes


class SearchOptions(BaseModel):
    """The options that ``search_kwargs`` may hold, for all search types."""

    model_config = ConfigDict(extra="forbid")

    k: Count | None = None
    filter: Condition = None
    fetch_k: Count = 20
    lambda_mult: Share = 0.5
    score_threshold: Share = 0.0


class DPRVectorStoreRetriever(OnePassRetriever, VectorStoreRetriever):
    """What ``DPRVectorStore.as_retriever`` returns: LangChain's own, with batches in one pass."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")  # the second base would let them pass

    vectorstore: SearchableStore
    search_kwargs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_search_kwargs(cls, search_kwargs: Any) -> Any:
        """Refuse misplaced and unknown options, naming the right place or name; LangChain refuses the thresholds 0 and 1."""
        names = ", ".join(SearchOptions.model_fields)
        if isinstance(search_kwargs, dict):
            for name in SearchOptions.model_fields.keys() & search_kwargs.keys():
                raise ValueError(f"{name} goes into search_kwargs: as_retriever(search_kwargs={{{name!r}: ...}})")
            check_search_type(search_kwargs.get("search_type", "similarity"), OF_A_STORE)
            inside = search_kwargs.get("search_kwargs")
            for name in inside if isinstance(inside, dict) else ():
                if name not in SearchOptions.model_fields:
                    raise ValueError(unknown_argument(name, f"search_kwargs: {names}"))
            if isinstance(inside, dict) and type(threshold := inside.get("score_threshold")) is int:
                return {**search_kwargs, "search_kwargs": {**inside, "score_threshold": float(threshold)}}
        return search_kwargs

    @model_validator(mode="after")
    def _check_search_kwargs(self) -> Self:
        """Check each option by itself; each search checks whether it goes with the search type, so both can be set in turn."""
        SearchOptions.model_validate(self.search_kwargs)
        return self

    @property
    def _core(self) -> Retriever:
        return self.vectorstore.retriever

    def _retrieve_all(
        self, queries: Sequence[str], vectors: Vectors | None = None, /, **kwargs: Any
    ) -> list[list[Document]]:
        hits = hits_for(self._core, queries, self._request(vectors, self.search_kwargs | kwargs))
        return [[document_of(hit.passage) for hit in question_hits] for question_hits in hits]

    def _request(self, vectors: Vectors | None, options: dict[str, Any]) -> SearchRequest:
        """All but the questions; options of another search type are refused, as in ``invoke``."""
        k, where = options.pop("k", None), where_of(options.pop("filter", None))
        diversity, threshold = None, None
        if self.search_type == "mmr":
            diversity = diversity_of(options.pop("fetch_k", 20), options.pop("lambda_mult", 0.5))
        elif self.search_type == "similarity_score_threshold":
            threshold = options.pop("score_threshold", None)
            check_threshold(threshold)
        refuse_unknown(options, "k, filter, and those of the search type")
        return SearchRequest(None, k, where, vectors, diversity=diversity, min_relevance=threshold)

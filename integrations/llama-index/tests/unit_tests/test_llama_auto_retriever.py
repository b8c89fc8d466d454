"""Filters that a model writes for ``VectorIndexAutoRetriever``, against what plain Python finds in the nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.retrievers import VectorIndexAutoRetriever
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    MetadataInfo,
    VectorStoreInfo,
)
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import PassageStore
from dpr_rag.errors import FilterError

MISSING = object()
METADATA: list[dict[str, Any]] = [
    {"title": "Hamlet", "year": 1601, "tags": ["tragedy", "ghost"], "specs": {"acts": 5}, "day": "2024-01-01"},
    {"title": "hamlet again", "year": 1700, "tags": [], "specs": {"acts": 3}, "day": "2024-01-02"},
    {"title": "Faust", "year": 1808, "tags": ["tragedy", "devil"], "day": "2024-02-01", "seen": True},
    {"title": "Iliad", "year": "1601", "tags": None, "day": "2023-12-31"},
    {"year": 1601.0, "tags": ["epic"], "seen": False},
    {"tags": [True, 2], "seen": 1},
    {"tags": [0, False, 1.0, "1"]},
]
FIELDS = ("title", "year", "tags", "specs.acts", "day", "seen", "nowhere")


def plain(value: Any) -> bool:
    return not isinstance(value, list) and value is not MISSING


def alike(stored: Any, value: Any) -> bool:
    """MetadataFilter takes no booleans: 1 and 0 find them too."""
    numbers = isinstance(stored, int | float) and isinstance(value, int | float)
    return stored == value if numbers or type(stored) is type(value) else False


def ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(stored: Any, value: Any) -> bool:
        if isinstance(stored, bool) or not isinstance(stored, int | float | str):
            return False
        return isinstance(stored, str) is isinstance(value, str) and test(stored, value)

    return holds


MEANT: dict[FilterOperator, tuple[Callable[[Any, Any], bool], list[Any]]] = {
    FilterOperator.EQ: (alike, [1601, "1601", "Hamlet", 1, 0, 5]),
    FilterOperator.NE: (lambda stored, value: not alike(stored, value), [1601, "Hamlet", 1]),
    FilterOperator.GT: (ordered(lambda a, b: a > b), [1601, "2024-01-01", "Faust"]),
    FilterOperator.GTE: (ordered(lambda a, b: a >= b), [1601, "2024-01-01", 3]),
    FilterOperator.LT: (ordered(lambda a, b: a < b), [1700, "2024-01-01", 5.0]),
    FilterOperator.LTE: (ordered(lambda a, b: a <= b), [1700, "2024-01-01", 4]),
    FilterOperator.IN: (
        lambda stored, value: any(alike(stored, one) for one in value),
        [[1601, 5], ["Faust", "Iliad"]],
    ),
    FilterOperator.NIN: (lambda stored, value: not any(alike(stored, one) for one in value), [[1601, 1700], ["Faust"]]),
    FilterOperator.ANY: (
        lambda stored, value: isinstance(stored, list) and bool({*stored} & {*value}),
        [["ghost", "epic"], [1, 5], [0]],
    ),
    FilterOperator.ALL: (
        lambda stored, value: isinstance(stored, list) and {*value} <= {*stored},
        [["tragedy", "devil"], [1, 2], [0, 1], [1]],
    ),
    FilterOperator.TEXT_MATCH: (lambda stored, value: isinstance(stored, str) and value in stored, ["ham", "2024-01"]),
    FilterOperator.TEXT_MATCH_INSENSITIVE: (
        lambda stored, value: isinstance(stored, str) and value.lower() in stored.lower(),
        ["ham", "ILIAD"],
    ),
    FilterOperator.CONTAINS: (
        lambda stored, value: isinstance(stored, list) and value in stored,
        ["tragedy", "epic", 1, 0],
    ),
    FilterOperator.IS_EMPTY: (lambda stored, value: stored in (None, "", [], {}), [None]),
}
WITHOUT = (FilterOperator.NE, FilterOperator.NIN, FilterOperator.IS_EMPTY)


def judged(filters: Any, metadata: dict[str, Any]) -> bool:
    if isinstance(filters, MetadataFilters):
        parts = [judged(one, metadata) for one in filters.filters]
        return {"and": all(parts), "or": any(parts), "not": not any(parts)}[filters.condition.value]  # type: ignore[union-attr]
    stored: Any = metadata
    for name in filters.key.split("."):
        stored = stored.get(name, MISSING) if isinstance(stored, dict) else MISSING
    if stored is MISSING:
        return filters.operator in WITHOUT
    return MEANT[filters.operator][0](stored, filters.value)


def by_brute_force(*filters: Any) -> set[str]:
    return {str(at) for at, one in enumerate(METADATA) if all(judged(each, one) for each in filters)}


class Scripted(CustomLLM):
    """Says what it was told to."""

    answer: str = ""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def plays_store(towers: Any) -> DPRVectorStore:
    store = DPRVectorStore(encoder=towers)
    store.add([TextNode(id_=str(at), text=f"play number {at}", metadata=one) for at, one in enumerate(METADATA)])
    return store


Asked = Callable[..., set[str]]


@pytest.fixture
def ask(plays_store: DPRVectorStore, embedding: DPREmbedding) -> Asked:
    return asking(plays_store, embedding)


def asking(store: DPRVectorStore, embedding: DPREmbedding) -> Asked:
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    fields = [MetadataInfo(name=name, description=name, type="string") for name in FIELDS]
    info = VectorStoreInfo(content_info="plays", metadata_info=fields)

    def ask(query: str, filters: list[MetadataFilter], *, top_k: int | None = None, **more: Any) -> set[str]:
        spec = {"query": query, "filters": [one.model_dump(mode="json") for one in filters], "top_k": top_k}
        options = {"similarity_top_k": 99, "empty_query_top_k": 99, "max_top_k": 99, **more}
        model = Scripted(answer=f"```json\n{json.dumps(spec)}\n```")
        retriever = VectorIndexAutoRetriever(index, info, llm=model, **options)
        found = {one.node.node_id for one in retriever.retrieve("whatever")}
        assert {one.node.node_id for one in asyncio.run(retriever.aretrieve("whatever"))} == found
        return found

    return ask


def one(key: str, operator: str, value: Any) -> MetadataFilter:
    return MetadataFilter(key=key, operator=operator, value=value)


@pytest.mark.parametrize("operator", FilterOperator)
def test_every_operator_finds_what_plain_python_finds(ask: Asked, operator: FilterOperator) -> None:
    seen = set()
    for key in FIELDS:
        for value in MEANT[operator][1]:
            made = MetadataFilter(key=key, operator=operator, value=value)
            expected = by_brute_force(made)
            assert ask("play", [made]) == ask("", [made]) == expected, made
            seen |= expected
    assert seen


@pytest.mark.parametrize("condition", ["and", "not"])
def test_filters_of_the_program_nest_as_it_likes(ask: Asked, condition: str) -> None:
    """The framework drops the condition of extra_filters, so that one other than ``and`` goes one level down."""
    inner = MetadataFilters(
        filters=[one("year", "==", 1601), MetadataFilters(filters=[one("tags", "contains", "devil")], condition="or")],
        condition="or",
    )
    extra = MetadataFilters(filters=[MetadataFilters(filters=[inner], condition=condition)])
    for filters in ([], [one("day", "<", "2024-02-01")], [one("year", ">", 0), one("tags", "any", ["ghost"])]):
        for query in ("play", ""):
            assert ask(query, filters, extra_filters=extra) == by_brute_force(*filters, extra)


@pytest.mark.parametrize("mode", ["default", "mmr", "hybrid", "text_search", "sparse"])
def test_every_mode_and_the_number_of_nodes(ask: Asked, mode: str) -> None:
    filters = [one("year", ">", 0)]
    for query in ("play", ""):
        assert ask(query, filters, vector_store_query_mode=mode) == by_brute_force(*filters)
        assert len(ask(query, filters, top_k=2, vector_store_query_mode=mode)) == 2
    assert ask("", [], vector_store_query_mode=mode) == set()


def test_what_an_operator_does_not_take_is_an_error(ask: Asked) -> None:
    for wrong in (one("year", "in", 1601), one("year", ">", None), one("title", "text_match", 5)):
        with pytest.raises(FilterError):
            ask("play", [wrong])


def test_a_model_cannot_leave_the_fixed_filter(plays_store: DPRVectorStore, embedding: DPREmbedding) -> None:
    core: PassageStore = plays_store.client
    ask = asking(DPRVectorStore(store=core, fixed_filter={"year": 1601}), embedding)
    assert ask("play", []) == ask("play", [one("year", "!=", 5)]) == {"0", "4"}
    assert ask("play", [one("year", "==", 1808)]) == ask("", [one("title", "==", "Faust")]) == set()

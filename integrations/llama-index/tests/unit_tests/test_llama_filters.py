"""``MetadataFilters`` keep what LlamaIndex's own stores keep, nested too, and select before the top k."""

from __future__ import annotations

from typing import Any

import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.filters import to_filter

from dpr_rag import Passage
from dpr_rag.errors import FilterError


def one(key: str, operator: str, value: Any = None) -> MetadataFilter:
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def group(condition: str | None, *filters: MetadataFilter | MetadataFilters) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=condition)


def kept(store: DPRVectorStore, filters: MetadataFilters) -> list[str]:
    """Ids by a search, which must be those that the nodes themselves say."""
    found = store.query(VectorStoreQuery(query_str="anything", similarity_top_k=10, filters=filters)).ids
    assert sorted(found) == sorted(node.node_id for node in store.get_nodes(filters=filters))
    return sorted(found)


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (one("year", "==", 1601), ["hamlet"]),
        (one("year", "!=", 1601), ["faust", "macbeth", "rice"]),
        (one("year", ">", 1601), ["faust", "macbeth"]),
        (one("year", ">=", 1606), ["faust", "macbeth"]),
        (one("year", "<", 1606), ["hamlet"]),
        (one("year", "<=", 1606.0), ["hamlet", "macbeth"]),
        (one("year", "in", [1601, 1808]), ["faust", "hamlet"]),
        (one("year", "nin", [1601, 1808]), ["macbeth", "rice"]),
        (one("topics", "any", ["grain", "war"]), ["rice"]),
        (one("topics", "all", ["grain", "kitchen"]), ["rice"]),
        (one("topics", "all", ["grain", "war"]), []),
        (one("topics", "contains", "kitchen"), ["rice"]),
        (one("author", "text_match", "speare"), ["hamlet", "macbeth"]),
        (one("author", "text_match", "SPEARE"), []),
        (one("author", "text_match_insensitive", "SPEARE"), ["hamlet", "macbeth"]),
        (one("author", "is_empty"), ["rice"]),
        (one("title", "==", "Faust"), ["faust"]),
        (one("title", "is_empty"), ["rice"]),
        (one("id", "==", "hamlet"), []),
        (one("year", "==", "1601"), []),
        (one("year", ">", "1601"), []),
    ],
)
def test_an_operator_keeps_what_matches_and_nothing_else(
    filled: DPRVectorStore, filter_: MetadataFilter, expected: list[str]
) -> None:
    assert kept(filled, group("and", filter_)) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (group("and", one("author", "==", "Shakespeare"), one("year", ">", 1601)), ["macbeth"]),
        (group(None, one("author", "==", "Shakespeare"), one("year", ">", 1601)), ["macbeth"]),
        (group("or", one("author", "==", "Goethe"), one("year", "==", 1601)), ["faust", "hamlet"]),
        (group("not", one("author", "==", "Goethe"), one("year", "==", 1601)), ["macbeth", "rice"]),
        (group("and"), ["faust", "hamlet", "macbeth", "rice"]),
        (group("not"), ["faust", "hamlet", "macbeth", "rice"]),
        (group("and", group("or"), one("year", "==", 1601)), ["hamlet"]),
        (
            group(
                "or",
                group("and", one("author", "==", "Shakespeare"), group("not", one("year", "==", 1601))),
                group("and", one("topics", "contains", "grain"), one("year", "is_empty")),
            ),
            ["macbeth", "rice"],
        ),
    ],
)
def test_groups_of_conditions_nest(filled: DPRVectorStore, filters: MetadataFilters, expected: list[str]) -> None:
    assert kept(filled, filters) == expected


VALUES: dict[str, Any] = {
    "number": st.integers(-2, 2) | st.floats(-2, 2, width=16),
    "flag": st.booleans(),
    "word": st.text("abÄ", max_size=2),
    "words": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
}
NUMBER = ["==", "!=", ">", ">=", "<", "<=", "in", "nin", "is_empty"]
OPERATORS = {
    "number": NUMBER,
    "flag": ["==", "!=", "in", "nin"],
    "word": [*NUMBER, "text_match", "text_match_insensitive"],
    "words": ["any", "all", "contains", "is_empty"],
}


@st.composite
def leaves(draw: st.DrawFn) -> MetadataFilter:
    key = draw(st.sampled_from(sorted(VALUES)))
    operator = draw(st.sampled_from(OPERATORS[key]))
    value = {"words": st.sampled_from(["a", "b", "c"]), "flag": st.integers(0, 2)}.get(key, VALUES[key])
    if operator in ("in", "nin", "any", "all"):
        value = st.lists(value, max_size=3)
    return one(key, operator, draw(value))


def by_llama_index(filters: MetadataFilters, metadata: dict[str, Any]) -> bool:
    """Each leaf by LlamaIndex's own helper; the groups, which it does not nest, by their definition."""
    said = [
        by_llama_index(part, metadata)
        if isinstance(part, MetadataFilters)
        else build_metadata_filter_fn(lambda _: metadata, group("and", part))("x")
        for part in filters.filters
    ]
    match filters.condition:
        case FilterCondition.OR:
            return any(said)
        case FilterCondition.NOT:
            return not any(said)
        case _:
            return all(said)


conditions = st.sampled_from(["and", "or", "not", None])
groups = st.recursive(
    st.builds(
        lambda condition, parts: group(condition, *parts), conditions, st.lists(leaves(), min_size=1, max_size=3)
    ),
    lambda inner: st.builds(
        lambda condition, parts: group(condition, *parts),
        conditions,
        st.lists(inner | leaves(), min_size=1, max_size=3),
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(filters=groups, metadata=st.fixed_dictionaries({}, optional=VALUES))
def test_same_as_llama_index_where_it_answers(filters: MetadataFilters, metadata: dict[str, Any]) -> None:
    passage = Passage(id="x", text="text", metadata=metadata)
    assert to_filter(filters).matches(passage) is by_llama_index(filters, metadata)


def test_booleans_are_asked_for_by_numbers(store: DPRVectorStore, node: Any) -> None:
    store.add([node("yes", "a", done=True), node("no", "a", done=False), node("one", "a", done=1), node("none", "a")])
    assert kept(store, group("and", one("done", "==", 1))) == ["one", "yes"]
    assert kept(store, group("and", one("done", "==", 0))) == ["no"]
    assert kept(store, group("and", one("done", "!=", 1))) == ["no", "none"]
    assert kept(store, group("and", one("done", "nin", [0, 5]))) == ["none", "one", "yes"]


def test_no_filter_is_none() -> None:
    assert to_filter(None) is None
    assert to_filter(group("or", group("and"))) is None


def test_operand_that_does_not_fit_is_named() -> None:
    with pytest.raises(FilterError, match=r"field 'year', operator in: .* expected a list"):
        to_filter(group("and", one("year", "in", "1601")))
    with pytest.raises(FilterError, match=r"field 'year', operator gt: .* expected a number or a string"):
        to_filter(group("and", one("year", ">", None)))


def test_what_llama_index_may_invent_later_is_refused() -> None:
    near = MetadataFilter.model_construct(key="year", operator="near", value=1601)
    with pytest.raises(FilterError, match="field 'year': the operator 'near' is unknown"):
        to_filter(MetadataFilters.model_construct(filters=[near], condition=None))
    year = one("year", "==", 1601)
    with pytest.raises(FilterError, match="the condition 'xor' is unknown, expected and, or or not"):
        to_filter(MetadataFilters.model_construct(filters=[year], condition="xor"))


def test_filter_selects_before_the_top_k(store: DPRVectorStore, node: Any) -> None:
    store.add([node(f"n{at}", "question " * (at + 1), rare=at % 20) for at in range(100)])
    query = VectorStoreQuery(query_str="question", similarity_top_k=5, filters=group("and", one("rare", "==", 3)))
    assert store.query(query).ids == ["n83", "n63", "n43", "n23", "n3"]

"""Every setting that can be set counts from then on, and is checked as the constructor checks it."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQueryMode
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Diversity, Ranking
from dpr_rag.errors import FilterError, VectorError

QUESTION = "a prince avenges his king"
GOETHE = MetadataFilters(filters=[MetadataFilter(key="author", value="Goethe")])
CHANGES: list[dict[str, Any]] = [
    {"similarity_top_k": 1},
    {"filters": GOETHE},
    {"node_ids": ["rice", "faust"]},
    {"doc_ids": ["d2"]},
    {"mode": "text_search"},
    {"mode": "hybrid", "alpha": 0.9},
    {"ranking": Ranking("bm25")},
    {"diversity": Diversity(candidates=4, balance=0.0)},
    {"min_relevance": 0.9},
]
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"similarity_top_k": 0}, VectorError, "similarity_top_k is 0, expected an integer of at least 1"),
    ({"similarity_top_k": True}, VectorError, "similarity_top_k is True"),
    ({"filters": {"a": 1}}, FilterError, "filters is dict"),
    ({"node_ids": "rice"}, TypeError, "node_ids is the string 'rice', expected a list"),
    ({"doc_ids": [7]}, TypeError, "doc_ids: an id is int 7, expected a string"),
    ({"mode": "svm"}, ValueError, "the query mode 'svm' is not supported"),
    ({"alpha": 0.5}, ValueError, "alpha goes with mode='hybrid'"),
    ({"mode": "hybrid", "alpha": 1.5}, VectorError, r"alpha is 1\.5"),
    ({"mode": "hybrid", "alpha": "0.5"}, VectorError, "alpha is '0.5'"),
    ({"ranking": "bm25"}, TypeError, "ranking is str 'bm25', expected a dpr_rag.Ranking"),
    ({"mode": "text_search", "ranking": Ranking()}, ValueError, "ranking alone says how to rank"),
    ({"diversity": 0.5}, TypeError, "diversity is float 0.5, expected a dpr_rag.Diversity"),
    ({"mode": "mmr", "diversity": Diversity()}, ValueError, "diversity alone says how to choose"),
    ({"min_relevance": 1.5}, VectorError, r"min_relevance is 1\.5"),
    ({"min_relevance": "high"}, VectorError, "min_relevance is 'high'"),
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_setting_counts_when_it_is_set(change: dict[str, Any], filled: DPRVectorStore) -> None:
    retriever = DPRRetriever(filled, similarity_top_k=4)
    before = retriever.retrieve(QUESTION)
    for name, value in change.items():
        setattr(retriever, name, value)
        assert getattr(retriever, name) == value
    expected = DPRRetriever(filled, **{"similarity_top_k": 4, **change}).retrieve(QUESTION)
    assert retriever.retrieve(QUESTION) == expected != before
    for name in reversed(change):
        setattr(retriever, name, getattr(DPRRetriever(filled, similarity_top_k=4), name))
    assert retriever.retrieve(QUESTION) == before


@pytest.mark.parametrize(("change", "error", "message"), REFUSED, ids=str)
def test_a_setting_is_checked_when_it_is_set(
    change: dict[str, Any], error: type[Exception], message: str, filled: DPRVectorStore
) -> None:
    with pytest.raises(error, match=message):
        DPRRetriever(filled, **change)
    retriever = DPRRetriever(filled)
    before = retriever.retrieve(QUESTION)
    *first, (name, value) = change.items()
    for other, given in first:
        setattr(retriever, other, given)
    kept = getattr(retriever, name)
    with pytest.raises(error, match=message):
        setattr(retriever, name, value)
    assert getattr(retriever, name) == kept
    if not first:
        assert retriever.retrieve(QUESTION) == before


def test_a_mode_counts_when_it_is_set() -> None:
    vectors = {"best": [1.0, 0.0, 0.0], "twin": [0.99, 0.14, 0.0], "far": [0.0, 0.0, 1.0]}
    with DPRVectorStore() as store:
        store.add([TextNode(id_=name, text=name, embedding=vector) for name, vector in vectors.items()])
        retriever, bundle = DPRRetriever(store), QueryBundle("x", embedding=[1.0, 0.0, 0.4])
        for mode, second in (("default", "twin"), ("mmr", "far"), (VectorStoreQueryMode.DEFAULT, "twin")):
            retriever.mode = mode
            assert [found.node.node_id for found in retriever.retrieve(bundle)] == ["best", second]


def test_a_setting_that_does_not_exist_is_refused(filled: DPRVectorStore) -> None:
    retriever = DPRRetriever(filled)
    with pytest.raises(
        AttributeError, match="DPRRetriever has no setting 'top_k'; there are similarity_top_k, filters"
    ):
        retriever.top_k = 3
    retriever.object_map = {}
    assert retriever.get_prompts() == {}


def test_settings_of_a_vector_store(filled: DPRVectorStore) -> None:
    filled.on_blank = "error"
    with pytest.raises(ValueError, match="has no text"):
        filled.add([TextNode(text=" ")])
    with pytest.raises(ValueError, match="'skip' or 'error'"):
        filled.on_blank = "drop"
    with pytest.raises(ValueError, match="frozen"):
        filled.path = "elsewhere"


def test_settings_of_an_embedding(embedding: DPREmbedding, towers: Any) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        embedding.embed_batch_size = 0
    with pytest.raises(ValueError, match="frozen"):
        embedding.fingerprint = "another"
    node = TextNode(text="one", metadata={"title": "Hamlet", "year": 1601})
    embedding([node])
    before, towers.calls[:] = node.embedding, []
    embedding.embed_batch_size = 1
    embedding([node, TextNode(text="two")])
    assert towers.calls == [("passages", 1)] * 2
    embedding.embed_metadata = True
    embedding([node])
    assert node.embedding != before

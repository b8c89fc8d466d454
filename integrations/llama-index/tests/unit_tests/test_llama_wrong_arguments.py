"""Whatever the LlamaIndex adapters are given, they answer with an error of dpr-rag that says what to give instead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.postprocessor.dpr_rag import DPRReranker
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from tiny import TinyEncoder

from dpr_rag.errors import DprRagError

VALUES: dict[str, Any] = {
    "None": None,
    "5": 5,
    "0": 0,
    "-1": -1,
    "2.5": 2.5,
    "True": True,
    "text": "text",
    "bytes": b"text",
    "[text]": ["text"],
    "[None]": [None],
    "[5]": [5],
    "{a: 1}": {"a": 1},
    "array": np.zeros((2, 2)),
    "node": TextNode(id_="n", text="a node"),
    "[node]": [TextNode(id_="n", text="a node")],
    "class": TextNode,
    "object": object(),
}


class Place:
    """A vector store with nodes, and a retriever on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = DPRVectorStore(folder / "store", encoder=TinyEncoder())
        self.store.add([VALUES["node"], TextNode(id_="m", text="another node")])
        self.retriever = DPRRetriever(self.store)
        self.embedding = DPREmbedding(TinyEncoder())
        self.reranker = DPRReranker()

    def asked(self, **options: Any) -> Any:
        query = VectorStoreQuery(query_str="a node")
        for name, value in options.items():
            setattr(query, name, value)
        return self.store.query(query)


@pytest.mark.parametrize(("mode", "name", "value"), [("mmr", "mmr_threshold", 2.5), ("hybrid", "sparse_top_k", 0)])
def test_an_option_of_a_query_is_refused_by_the_name_that_was_given(
    place: Place, mode: str, name: str, value: float
) -> None:
    with pytest.raises(DprRagError, match=rf"^{name} is {value}, expected "):
        place.asked(mode=mode, **{name: value})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"))
    yield made
    made.store.close()


Call = Callable[[Place, Any], Any]
# What is called, and the values that are none of the wrong ones.
CALLS: dict[str, tuple[Call, str]] = {
    "add": (lambda p, v: p.store.add(v), "[node]"),
    "async_add": (lambda p, v: asyncio.run(p.store.async_add(v)), "[node]"),
    "query": (lambda p, v: p.store.query(v), ""),
    "aquery": (lambda p, v: asyncio.run(p.store.aquery(v)), ""),
    "query_str": (lambda p, v: p.asked(query_str=v), "text None"),
    "query_embedding": (lambda p, v: p.asked(query_embedding=v), "None"),
    "similarity_top_k": (lambda p, v: p.asked(similarity_top_k=v), "5 0"),
    "sparse_top_k": (lambda p, v: p.asked(sparse_top_k=v, mode="sparse"), "5 0 None"),
    "query mode": (lambda p, v: p.asked(mode=v), ""),
    "query filters": (lambda p, v: p.asked(filters=v), "None"),
    "query node_ids": (lambda p, v: p.asked(node_ids=v), "None [text]"),
    "query doc_ids": (lambda p, v: p.asked(doc_ids=v), "None [text]"),
    "query alpha": (lambda p, v: p.asked(mode="hybrid", alpha=v), "None 0"),
    "query mmr_threshold": (lambda p, v: p.asked(mode="mmr", mmr_threshold=v), "None 0"),
    "min_relevance": (lambda p, v: p.store.query(VectorStoreQuery(query_str="a"), min_relevance=v), "None 0"),
    "mmr_prefetch_k": (
        lambda p, v: p.store.query(VectorStoreQuery(query_str="a", mode="mmr"), mmr_prefetch_k=v),
        "None 5 0",
    ),
    "mmr_prefetch_factor": (
        lambda p, v: p.store.query(VectorStoreQuery(query_str="a", mode="mmr"), mmr_prefetch_factor=v),
        "None 5 2.5 0",
    ),
    "get_nodes": (lambda p, v: p.store.get_nodes(v), "None [text]"),
    "get_nodes filters": (lambda p, v: p.store.get_nodes(filters=v), "None"),
    "delete": (lambda p, v: p.store.delete(v), "text"),
    "adelete": (lambda p, v: asyncio.run(p.store.adelete(v)), "text"),
    "delete_nodes": (lambda p, v: p.store.delete_nodes(v), "[text]"),
    "delete_nodes filters": (lambda p, v: p.store.delete_nodes(filters=v), ""),
    "postprocess_nodes": (lambda p, v: p.reranker.postprocess_nodes(v, query_str="a node"), ""),
    "postprocess question": (lambda p, v: p.reranker.postprocess_nodes([], QueryBundle(v)), "text"),
    "path": (lambda p, v: DPRVectorStore(v, create=False), ""),
    "store": (lambda p, v: DPRVectorStore(store=v), "None"),
    "encoder": (lambda p, v: DPRVectorStore(encoder=v), "None"),
    "index": (lambda p, v: DPRVectorStore(p.folder / "other", index=v), ""),
    "on_blank": (lambda p, v: DPRVectorStore(store=p.store.client, on_blank=v), ""),
    "on_bad_text": (lambda p, v: DPRVectorStore(store=p.store.client, on_bad_text=v), ""),
    "from_llama_index": (lambda p, v: DPRVectorStore.from_llama_index(v), ""),
    "retriever": (lambda p, v: DPRRetriever(v), ""),
    "retriever k": (lambda p, v: DPRRetriever(p.store, similarity_top_k=v), "5"),
    "retriever mode": (lambda p, v: DPRRetriever(p.store, mode=v), ""),
    "retriever filters": (lambda p, v: DPRRetriever(p.store, filters=v), "None"),
    "retriever alpha": (lambda p, v: DPRRetriever(p.store, mode="hybrid", alpha=v), "None 0"),
    "retriever ranking": (lambda p, v: DPRRetriever(p.store, ranking=v), "None"),
    "retriever diversity": (lambda p, v: DPRRetriever(p.store, diversity=v), "None"),
    "retriever min_relevance": (lambda p, v: DPRRetriever(p.store, min_relevance=v), "None 0"),
    "retriever node_ids": (lambda p, v: DPRRetriever(p.store, node_ids=v), "None [text]"),
    "set k": (lambda p, v: setattr(p.retriever, "similarity_top_k", v), "5"),
    "retrieve": (lambda p, v: p.retriever.retrieve(v), "text"),
    "aretrieve": (lambda p, v: asyncio.run(p.retriever.aretrieve(v)), "text"),
    "from_defaults": (lambda p, v: DPRRetriever.from_defaults(v, encoder=TinyEncoder()), "None [node]"),
    "embedding": (lambda p, v: DPREmbedding(v), "None"),
    "query embedding": (lambda p, v: p.embedding._get_query_embedding(v), "text"),
    "text embedding": (lambda p, v: p.embedding._get_text_embedding(v), "text"),
}
ADVICE = re.compile(
    r"\b(expected|give|pass|call|choose|wrap|make|fill|drop|ask|name|write|load|check|there are|leave|use)\b"
)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_told_what_fits_and_nothing_is_lost(name: str, place: Place) -> None:
    call, right = CALLS[name]
    fitting = {one for one in VALUES if re.search(rf"(^| ){re.escape(one)}( |$)", right)}
    told = {}
    for wrong in VALUES.keys() - fitting:
        with pytest.raises(DprRagError) as raised:
            call(place, VALUES[wrong])
        told[wrong] = str(raised.value)
        assert len(place.store.client) == 2, wrong
    assert [wrong for wrong, text in told.items() if not ADVICE.search(text)] == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p.store.add(["s"]), "node 1 is str 's', expected one of LlamaIndex's nodes; give TextNode(text=…)"),
        (lambda p: p.store.add(VALUES["node"]), "nodes is one TextNode, expected several; wrap it in a list"),
        (lambda p: p.store.get_nodes("n"), "node_ids is the string 'n', expected a list of ids; wrap it as ['n']"),
        (lambda p: p.store.delete_nodes([VALUES["node"]]), "expected a string; give its .node_id"),
        (lambda p: p.store.query("who"), "query is str 'who', expected a VectorStoreQuery; give VectorStoreQuery("),
        (lambda p: p.asked(mode="bm25"), "the query mode 'bm25' is not supported; .*; here it is 'text_search'"),
        (lambda p: p.asked(mode="lexical"), "; here it is 'text_search'"),
        (lambda p: p.asked(mode="hybird"), "; did you mean 'hybrid'?"),
        (lambda p: p.store.get_nodes(filters={"year": 1}), "expected llama_index's MetadataFilters"),
    ],
)
def test_what_is_said(call: Callable[[Place], Any], said: str, place: Place) -> None:
    with pytest.raises(DprRagError) as raised:
        call(place)
    for part in said.split(".*"):
        assert part in str(raised.value)
    assert isinstance(raised.value, ValueError)


def test_no_filters_are_no_mistake(place: Place) -> None:
    assert len(place.store.get_nodes(filters=MetadataFilters(filters=[]))) == 2

"""One store for LlamaIndex and LangChain: the same ids, texts, metadata and scores on both sides."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

langchain_dpr_rag = pytest.importorskip("langchain_dpr_rag", exc_type=ImportError)
documents = pytest.importorskip("langchain_core.documents")

QUESTION = "which prince avenges his father"


def test_nodes_are_documents_to_langchain(filled: DPRVectorStore, plays: list[TextNode]) -> None:
    lang = langchain_dpr_rag.DPRVectorStore(store=filled.client)
    ours = DPRRetriever(filled, similarity_top_k=10).retrieve(QUESTION)
    theirs = lang.similarity_search_with_score(QUESTION, k=10)
    assert [(one.id, one.page_content, one.metadata, score) for one, score in theirs] == [
        (one.node.node_id, one.node.get_content(), one.node.metadata, one.score) for one in ours
    ]


def test_documents_are_nodes_to_llama_index(store: DPRVectorStore, towers: Any) -> None:
    lang = langchain_dpr_rag.DPRVectorStore(store=store.client)
    lang.add_documents(
        [documents.Document(id="7", page_content="A prince avenges", metadata={"title": "Hamlet", "year": 1601})]
    )
    (found,) = DPRRetriever(store).retrieve(QUESTION)
    assert found.node == TextNode(id_="7", text="A prince avenges", metadata={"title": "Hamlet", "year": 1601})
    assert found.score == pytest.approx(towers.score(QUESTION, "A prince avenges", "Hamlet"), rel=1e-5)
    store.delete_nodes(["7"])
    assert lang.get_by_ids(["7"]) == []

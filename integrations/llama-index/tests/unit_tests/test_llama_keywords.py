"""Keyword arguments of a vector store's methods: what LlamaIndex hands on works, and none is ignored in silence."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import ArgumentError

ADDING = [
    ("foo", "takes nodes"),
    ("ids", "here it is the id_ of each node"),
    ("embeddings", "here it is the embedding of each node"),
    ("batch_size", "not needed"),
    ("allow_update", "adding replaces by id"),
    ("on_metadata", "on_metadata= of DPRVectorStore"),
    ("namespace", "one folder is one store"),
    ("node", "did you mean 'nodes'"),
]
DELETING = [
    ("foo", r"delete\(\) takes ref_doc_id"),
    ("filters", r"here it is delete_nodes\(filters=...\)"),
    ("node_ids", r"here it is delete_nodes\(node_ids\)"),
    ("doc_ids", "once for each"),
    ("delete_all", r"here it is clear\(\)"),
    ("delete_from_docstore", "an argument of an index"),
]
DELETING_NODES = [
    ("foo", r"delete_nodes\(\) takes node_ids and filters"),
    ("filter", "here it is filters="),
    ("where", "here it is filters="),
    ("ref_doc_id", r"here it is delete\(ref_doc_id\)"),
    ("node_id", "did you mean 'node_ids'"),
]
QUERYING = [
    ("foo", "there are mmr_threshold"),
    ("similarity_top_k", "VectorStoreQuery.similarity_top_k"),
    ("mmr_treshold", "did you mean 'mmr_threshold'"),
    ("embed_model", "encoder= of DPRVectorStore"),
]
Call = Callable[[DPRVectorStore, dict[str, Any]], Any]
CALLS: list[tuple[Call, list[tuple[str, str]]]] = [
    (lambda s, more: s.add([TextNode(id_="n", text="a node")], **more), ADDING),
    (lambda s, more: asyncio.run(s.async_add([TextNode(id_="n", text="a node")], **more)), ADDING),
    (lambda s, more: s.delete("d1", **more), DELETING),
    (lambda s, more: asyncio.run(s.adelete("d1", **more)), DELETING),
    (lambda s, more: s.delete_nodes(["hamlet"], **more), DELETING_NODES),
    (lambda s, more: asyncio.run(s.adelete_nodes(["hamlet"], **more)), DELETING_NODES),
    (lambda s, more: s.query(VectorStoreQuery(query_str="a king"), **more), QUERYING),
    (lambda s, more: asyncio.run(s.aquery(VectorStoreQuery(query_str="a king"), **more)), QUERYING),
]


@pytest.mark.parametrize(("call", "words"), CALLS)
def test_unknown_keywords_are_named_with_the_right_word_and_nothing_is_done(
    filled: Any, call: Call, words: list[tuple[str, str]]
) -> None:
    before = len(filled.encoder.calls)
    for wrong, right in words:
        with pytest.raises(ArgumentError, match=rf"{wrong}'.*{right}"):
            call(filled, {wrong: 1})
    assert (len(filled.client), len(filled.encoder.calls)) == (4, before)


def test_what_an_index_hands_on_works(filled: Any, embedding: DPREmbedding) -> None:
    context = StorageContext.from_defaults(vector_store=filled)
    documents = [Document(id_="d9", text="A cook of Spain boils rice")]
    index = VectorStoreIndex.from_documents(
        documents, storage_context=context, embed_model=embedding, show_progress=True, use_async=True
    )
    index.insert(Document(id_="d8", text="A cook of France bakes bread"), excluded_llm_metadata_keys=["year"])
    asyncio.run(index.ainsert(Document(id_="d7", text="A cook of Wales")))
    assert len(filled.client) == 7
    index.update_ref_doc(Document(id_="d8", text="bread"))
    index.delete_ref_doc("d9", delete_from_docstore=True)
    asyncio.run(index.adelete_ref_doc("d7", delete_from_docstore=True))
    index.delete_nodes(["hamlet"], delete_from_docstore=True)
    assert sorted(one.text for one in filled.client)[-1] == "bread"
    assert len(filled.client) == 4
    with pytest.raises(ArgumentError, match="unknown argument 'batch_size'"):
        index.insert_nodes([TextNode(text="x", embedding=[0.0] * 64)], batch_size=3)
    with pytest.raises(ArgumentError, match=r"here it is delete_nodes\(filters=...\)"):
        index.delete_ref_doc("d8", filters=None)
    assert len(filled.client) == 4


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("model_name", r"here it is DPREmbedding.from_pretrained\("),
        ("query_instruction", "whose files name the prompts"),
        ("batch_size", "here it is embed_batch_size="),
        ("embed_model", "here it is encoder="),
        ("encodr", "did you mean 'encoder'"),
    ],
)
def test_words_of_other_embeddings_are_told_the_right_one(towers: Any, wrong: str, right: str) -> None:
    with pytest.raises(ArgumentError, match=f"unknown argument '{wrong}', expected one of encoder, .*{right}"):
        DPREmbedding(**{"encoder": towers, wrong: "x"})


def test_a_retriever_is_made_with_all_that_its_store_is_made_with(towers: Any, node: Any, tmp_path: Path) -> None:
    named = set(inspect.signature(DPRVectorStore.__init__).parameters) - {"self", "options"}
    of_store = {"index": "flat", "on_blank": "error", "on_bad_text": "replace", "on_metadata": "convert"}
    of_store |= {"fixed_filter": {"tenant": "a"}, "dtype": "float16", "language": "german", "create": True}
    assert named - {"path", "store", "encoder", "fingerprint"} <= of_store.keys()
    nodes = [node("a", "Ein Text", day=date(2024, 5, 31))]
    options: dict[str, Any] = {"path": tmp_path / "s", "encoder": towers}
    with DPRRetriever.from_defaults(nodes, similarity_top_k=1, **options, **of_store) as retriever:
        (passage,) = retriever.vector_store.client
        assert {name: passage.metadata[name] for name in ("day", "tenant")} == {"day": "2024-05-31", "tenant": "a"}
        assert (retriever.vector_store.on_blank, retriever.similarity_top_k) == ("error", 1)
    with DPRRetriever.from_defaults(read_only=True, **options) as retriever:
        assert (retriever.vector_store.read_only, len(retriever.retrieve("Text"))) == (True, 1)
    with DPRRetriever.from_defaults(
        nodes, encoder=MockEmbedding(3), fingerprint="a mock", on_metadata="convert"
    ) as other:
        assert other.vector_store.encoder.fingerprint == "a mock"
    for wrong, right in (("top_k", "here it is similarity_top_k="), ("nonsense", "fixed_filter")):
        with pytest.raises(ArgumentError, match=f"unknown argument '{wrong}'.*{right}"):
            DPRRetriever.from_defaults(nodes, **options, **{wrong: 1})

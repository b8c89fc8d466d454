"""The adapters inside LlamaIndex: indexes, pipelines, query and chat engines, fusion and routing, without network."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Settings, StorageContext, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever, RouterRetriever
from llama_index.core.schema import Document, IndexNode, NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

QUESTION = "which prince avenges his father"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_llm", MockLLM())


def documents() -> list[Document]:
    return [
        Document(id_="d1", text="A prince of Denmark avenges his father.", metadata={"title": "Hamlet", "year": 1601}),
        Document(id_="d2", text="A scholar makes a pact with the devil.", metadata={"title": "Faust", "year": 1808}),
    ]


def of(found: list[NodeWithScore]) -> list[tuple[str, float]]:
    return [(one.node.get_content(), one.score or 0.0) for one in found]


def test_index_from_vector_store(filled: DPRVectorStore, embedding: DPREmbedding, plays: list[TextNode]) -> None:
    index = VectorStoreIndex.from_vector_store(filled, embed_model=embedding)
    ours = DPRRetriever(filled, similarity_top_k=4).retrieve(QUESTION)
    assert index.as_retriever(similarity_top_k=4).retrieve(QUESTION) == ours
    filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1700)])
    assert [one.node for one in index.as_retriever(filters=filters).retrieve(QUESTION)] == [plays[2]]
    mmr = index.as_retriever(
        vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 1.0}, similarity_top_k=4
    )
    assert mmr.retrieve(QUESTION) == ours


async def test_index_in_async(
    filled: DPRVectorStore, embedding: DPREmbedding, plays: list[TextNode], node: Any, bare: Any
) -> None:
    index = VectorStoreIndex.from_vector_store(filled, embed_model=embedding)
    await index.ainsert_nodes([node("lear", "A king divides his realm", "d4")])
    assert [one.node.node_id for one in await index.as_retriever(similarity_top_k=1).aretrieve("king realm")] == [
        "lear"
    ]
    await index.adelete_ref_doc("d4")
    await index.adelete_nodes(["rice"])
    assert bare(filled.get_nodes()) == plays[:3]


def test_index_from_documents_encodes_pairs_by_transformation(
    store: DPRVectorStore, embedding: DPREmbedding, towers: Any
) -> None:
    index = VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        transformations=[SentenceSplitter(), embedding],
        embed_model=embedding,
    )
    (best, _) = of(index.as_retriever().retrieve(QUESTION))
    text = "A prince of Denmark avenges his father."
    assert best == (text, pytest.approx(towers.score(QUESTION, text, "Hamlet"), rel=1e-5))
    (kept, _) = store.get_nodes()
    assert (kept.ref_doc_id, kept.metadata, kept.get_node_info()) == (
        "d1",
        {"title": "Hamlet", "year": 1601},
        {"start": 0, "end": len(text)},
    )
    index.delete_ref_doc("d1")
    assert [one.ref_doc_id for one in store.get_nodes()] == ["d2"]


def test_index_that_embeds_by_itself_hands_over_strings(
    store: DPRVectorStore, embedding: DPREmbedding, towers: Any
) -> None:
    """What the README says of it: LlamaIndex flattens title and metadata into the text before the embedding sees it."""
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(documents(), storage_context=context, embed_model=embedding)
    (best, _) = of(index.as_retriever().retrieve(QUESTION))
    flat = "title: Hamlet\nyear: 1601\n\nA prince of Denmark avenges his father."
    assert best == ("A prince of Denmark avenges his father.", pytest.approx(towers.score(QUESTION, flat), rel=1e-5))


def test_index_skips_blank_pages(store: DPRVectorStore, embedding: DPREmbedding, node: Any) -> None:
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    index.insert_nodes([node("p1", ""), node("p2", " ", page=2), node("p3", "words", page=3)])
    assert [one.node_id for one in store.get_nodes()] == ["p3"]


def test_index_nodes_are_followed(store: DPRVectorStore, embedding: DPREmbedding, filled: DPRVectorStore) -> None:
    retriever: BaseRetriever = DPRRetriever(filled, similarity_top_k=1)
    with DPRVectorStore(encoder=embedding.encoder) as top:
        index = VectorStoreIndex(
            nodes=[],
            objects=[IndexNode(text="plays about princes", index_id="plays", obj=retriever)],
            storage_context=StorageContext.from_defaults(vector_store=top),
            embed_model=embedding,
        )
        assert [one.node.node_id for one in index.as_retriever().retrieve(QUESTION)] == ["hamlet"]


def pipeline(store: DPRVectorStore, embedding: DPREmbedding, **options: Any) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[SentenceSplitter(), embedding], vector_store=store, docstore=SimpleDocumentStore(), **options
    )


def test_pipeline_upserts(store: DPRVectorStore, embedding: DPREmbedding, towers: Any) -> None:
    running = pipeline(store, embedding, docstore_strategy=DocstoreStrategy.UPSERTS)
    running.run(documents=documents())
    calls = list(towers.calls)
    assert list(running.run(documents=documents())) == []
    assert towers.calls == calls
    changed = documents()
    changed[0].set_content("A king divides his realm.")
    running.run(documents=changed)
    assert [node.get_content() for node in store.get_nodes()] == [
        "A scholar makes a pact with the devil.",
        "A king divides his realm.",
    ]
    (best,) = of(DPRRetriever(store, similarity_top_k=1).retrieve("king realm"))
    assert best == ("A king divides his realm.", pytest.approx(towers.score("king realm", best[0], "Hamlet"), rel=1e-5))


@pytest.mark.parametrize("split", [True, False])
async def test_pipeline_upserts_and_deletes_in_async(
    store: DPRVectorStore, embedding: DPREmbedding, split: bool
) -> None:
    running = pipeline(store, embedding, docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE)
    if not split:
        running.transformations = [embedding]
    await running.arun(documents=documents())
    await running.arun(documents=documents()[1:])
    assert [node.metadata["title"] for node in store.get_nodes()] == ["Faust"]


def test_query_engine(filled: DPRVectorStore, plays: list[TextNode]) -> None:
    engine = RetrieverQueryEngine.from_args(DPRRetriever(filled, similarity_top_k=1), llm=MockLLM())
    response = engine.query(QUESTION)
    assert [one.node for one in response.source_nodes] == [plays[0]]
    for shown in ("title: Hamlet", "A prince of Denmark avenges his father", QUESTION):
        assert shown in str(response)
    assert "_dpr_rag" not in str(response)


async def test_query_engine_in_async(filled: DPRVectorStore, plays: list[TextNode]) -> None:
    engine = RetrieverQueryEngine.from_args(DPRRetriever(filled, similarity_top_k=1), llm=MockLLM())
    response = await engine.aquery(QUESTION)
    assert [one.node for one in response.source_nodes] == [plays[0]]


def test_chat_engine(filled: DPRVectorStore, plays: list[TextNode]) -> None:
    # the default memory of LlamaIndex leaves a database connection open
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
    retriever = DPRRetriever(filled, similarity_top_k=1)
    engine = ContextChatEngine.from_defaults(retriever=retriever, llm=MockLLM(), memory=memory)
    answer = engine.chat(QUESTION)
    assert [one.node for one in answer.source_nodes] == [plays[0]]
    assert "A prince of Denmark avenges his father" in str(answer)
    assert [one.node.node_id for one in engine.chat("who makes a pact with the devil").source_nodes] == ["faust"]


@pytest.mark.parametrize("use_async", [True, False])
def test_a_fusion_retriever_joins_two_of_ours(filled: DPRVectorStore, use_async: bool) -> None:
    sides = [DPRRetriever(filled, doc_ids=[one]) for one in ("d1", "d3")]
    fused = QueryFusionRetriever(
        sides, llm=MockLLM(), num_queries=1, mode="reciprocal_rerank", similarity_top_k=3, use_async=use_async
    )
    found = fused.retrieve(QUESTION)
    assert [one.node.node_id for one in found] == ["hamlet", "rice", "macbeth"]
    assert [one.score for one in found] == pytest.approx([1 / 60, 1 / 60, 1 / 61])


def test_a_router_retriever_asks_the_chosen_one(filled: DPRVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = [
        RetrieverTool.from_defaults(DPRRetriever(filled, doc_ids=["d1"], similarity_top_k=1), description="plays"),
        RetrieverTool.from_defaults(DPRRetriever(filled, doc_ids=["d3"]), description="recipes"),
    ]
    monkeypatch.setattr(MockLLM, "predict", lambda *_, **__: '[{"choice": 2, "reason": "it is about cooking"}]')
    router = RouterRetriever(
        selector=LLMSingleSelector.from_defaults(llm=MockLLM()), retriever_tools=tools, llm=MockLLM()
    )
    assert [one.node.node_id for one in router.retrieve(QUESTION)] == ["rice"]

"""Each defect that was found in LlamaIndex's own FAISS stores and embeddings, as a test that it is not here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import llama_index.embeddings.dpr_rag
import llama_index.retrievers.dpr_rag
import llama_index.vector_stores.dpr_rag
import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Passage, PassageStore


def of_passage(towers: Any, text: str, title: str = "") -> list[float]:
    return towers.encode_passages([Passage(id="x", text=text, title=title)])[0].tolist()


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_deletion_does_not_shift_ids(node: Any, index: str) -> None:
    """FaissMapVectorStore hands out ``ntotal`` as the next id: after a deletion, a query for c returns d."""
    vectors = dict(zip("abcd", np.eye(4).tolist(), strict=True))

    def one(key: str) -> TextNode:
        made = node(key, f"text {key}")
        made.embedding = vectors[key]
        return made

    with DPRVectorStore(index=index) as store:
        store.add([one("a"), one("b"), one("c")])
        store.delete_nodes(["b"])
        store.add([one("d")])
        for _ in range(2):
            for key in "acd":
                found = store.query(VectorStoreQuery(query_embedding=vectors[key]))
                assert (found.ids, found.similarities) == ([key], [1.0])
                assert found.nodes[0].get_content() == f"text {key}"
            store.client.optimize()


def test_text_filters_and_deletion_are_there(store: DPRVectorStore, plays: list[TextNode], embedding: Any) -> None:
    """FaissVectorStore stores no text, refuses filters, and its deletion raises NotImplementedError."""
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)  # refused where stores_text is False
    index.insert_nodes(plays)
    filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1700)])
    assert [one.node for one in index.as_retriever(filters=filters).retrieve("a prince")] == plays[2:3]
    index.delete_ref_doc("d2")
    assert index.as_retriever(filters=filters).retrieve("a prince") == []


class Held:
    """Stands in for a slow call: it waits until the event loop has run on, and fails if that does not happen."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*args: Any, **kwargs: Any) -> Any:
            assert self.released.wait(5), "the event loop stood still meanwhile"
            return call(*args, **kwargs)

        return waiting

    async def loop_goes_on(self, work: Awaitable[Any]) -> Any:
        self.released.clear()
        running = asyncio.ensure_future(work)
        await asyncio.sleep(0.02)
        self.released.set()
        return await running


async def test_async_methods_leave_the_event_loop_free(
    filled: DPRVectorStore, plays: list[TextNode], towers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default async methods of embeddings, vector stores and retrievers call the synchronous ones on the loop."""
    embedding, retriever, held = DPREmbedding(towers), DPRRetriever(filled, similarity_top_k=1), Held()
    for name in ("encode_questions", "encode_passages"):
        monkeypatch.setattr(towers, name, held(getattr(towers, name)))
    for name in ("add", "search", "delete", "get"):
        monkeypatch.setattr(PassageStore, name, held(getattr(PassageStore, name)))
    await held.loop_goes_on(embedding.aget_query_embedding("a"))
    await held.loop_goes_on(embedding.aget_text_embedding("a"))
    await held.loop_goes_on(embedding.aget_text_embedding_batch(["a", "b"]))
    await held.loop_goes_on(embedding.acall(plays))
    await held.loop_goes_on(filled.async_add(plays))
    query = VectorStoreQuery(query_str="a prince avenges")
    assert (await held.loop_goes_on(filled.aquery(query))).ids == ["hamlet"]
    assert [one.node.node_id for one in await held.loop_goes_on(retriever.aretrieve("a prince avenges"))] == ["hamlet"]
    assert [one.text for one in await held.loop_goes_on(filled.aget_nodes(["hamlet"]))] == [plays[0].text]
    await held.loop_goes_on(filled.adelete_nodes(["hamlet"]))
    await held.loop_goes_on(filled.adelete("d1"))
    await held.loop_goes_on(filled.aclear())


def test_vectors_are_not_normalised(towers: Any, node: Any) -> None:
    """HuggingFaceEmbedding divides by the length, which is wrong for models that rank by the inner product."""
    embedding = DPREmbedding(towers)
    question = embedding.get_query_embedding("prince")
    assert question == towers.encode_questions(["prince"])[0].tolist()
    assert np.linalg.norm(question) > 2
    with DPRVectorStore(encoder=towers) as store:
        store.add(embedding([node("once", "prince"), node("thrice", "prince prince prince")]))
        (best, second) = DPRRetriever(store).retrieve("prince")
    assert (best.node.node_id, second.node.node_id) == ("thrice", "once")
    assert best.score == pytest.approx(towers.score("prince", "prince prince prince"))


def test_cache_keeps_the_towers_apart(towers: Any) -> None:
    """BaseEmbedding's cache is keyed by text alone: a question gets the vector of the passage with the same words."""
    embedding = DPREmbedding(towers, embeddings_cache=SimpleKVStore())
    for _ in range(2):
        assert embedding.get_text_embedding("Hamlet") == of_passage(towers, "Hamlet")
        assert embedding.get_query_embedding("Hamlet") == towers.encode_questions(["Hamlet"])[0].tolist()
        assert embedding.get_text_embedding_batch(["Hamlet"]) == [of_passage(towers, "Hamlet")]
        titled = embedding([TextNode(text="Hamlet", metadata={"title": "Plays"})])
        assert titled[0].embedding == of_passage(towers, "Hamlet", "Plays")


async def test_cache_keeps_the_towers_apart_in_async(towers: Any) -> None:
    """The same in the asynchronous methods, one by one and in batches."""
    embedding = DPREmbedding(towers, embeddings_cache=SimpleKVStore())
    for _ in range(2):
        assert await embedding.aget_query_embedding("Hamlet") == towers.encode_questions(["Hamlet"])[0].tolist()
        assert await embedding.aget_text_embedding("Hamlet") == of_passage(towers, "Hamlet")
        assert await embedding.aget_text_embedding_batch(["Hamlet"]) == [of_passage(towers, "Hamlet")]
        titled = await embedding.acall([TextNode(text="Hamlet", metadata={"title": "Plays"})])
        assert titled[0].embedding == of_passage(towers, "Hamlet", "Plays")


def test_titles_are_encoded_as_pairs(towers: Any) -> None:
    """Embeddings see ``title: Hamlet`` and all other metadata flattened into the text."""
    nodes = [TextNode(text="A prince", metadata={"title": "Hamlet", "file_path": "/a/b.pdf", "page": 3})]
    IngestionPipeline(transformations=[DPREmbedding(towers)], disable_cache=True).run(nodes=nodes)
    assert nodes[0].embedding == of_passage(towers, "A prince", "Hamlet")
    with DPRVectorStore(encoder=towers) as store:
        store.add([nodes[0].model_copy(update={"embedding": None})])
        assert store.client.get_vectors([nodes[0].node_id])[nodes[0].node_id].tolist() == nodes[0].embedding


def test_deletion_by_source_takes_all_its_nodes(filled: DPRVectorStore) -> None:
    """FaissMapVectorStore.delete takes the id of a document for that of a node, and deletes nothing."""
    filled.delete("d1")
    assert [node.node_id for node in filled.get_nodes()] == ["faust", "rice"]
    filled.delete("faust")
    assert [node.node_id for node in filled.get_nodes()] == ["faust", "rice"]


def test_nested_filters(filled: DPRVectorStore) -> None:
    """LlamaIndex's own helper raises ValueError for a group within a group."""
    either = MetadataFilters(
        filters=[MetadataFilter(key="year", value=1601), MetadataFilter(key="author", value="Goethe")], condition="or"
    )
    neither = MetadataFilters(filters=[MetadataFilter(key="title", value="Faust")], condition="not")
    filters = MetadataFilters(filters=[either, neither])
    found = filled.query(VectorStoreQuery(query_str="the devil", similarity_top_k=9, filters=filters))
    assert found.ids == ["hamlet"]


def test_what_a_query_asks_for_is_honoured_or_refused(filled: DPRVectorStore) -> None:
    """SimpleVectorStore ignores ``doc_ids`` and ``mmr_threshold`` of the query."""

    def ids(**asked: Any) -> list[str]:
        return filled.query(VectorStoreQuery(query_str="a prince avenges", similarity_top_k=9, **asked)).ids

    assert ids(doc_ids=["d3"]) == ["rice"]
    assert ids(mode="mmr", mmr_threshold=1.0) == ids()
    assert ids(mode="mmr", mmr_threshold=0.0) != ids()
    with pytest.raises(
        ValueError, match="'semantic_hybrid' is not supported; there are 'default', 'mmr', 'text_search'"
    ):
        ids(mode="semantic_hybrid")


def test_retriever_leaves_the_bundle_alone(filled: DPRVectorStore) -> None:
    """VectorIndexRetriever writes its embedding into the bundle, which the next retriever of a fusion then takes for its own."""
    bundle = QueryBundle("a prince avenges")
    DPRRetriever(filled).retrieve(bundle)
    assert bundle.embedding is None


def test_namespaces_stay_open_to_other_packages() -> None:
    """An ``__init__.py`` in ``llama_index/`` or in a folder of its kinds hides every other integration."""
    packages = (
        llama_index.embeddings.dpr_rag,
        llama_index.retrievers.dpr_rag,
        llama_index.vector_stores.dpr_rag,
    )
    for package in packages:
        folder = Path(package.__file__).parent
        assert (folder / "py.typed").is_file()
        for above in (folder.parent, folder.parent.parent):
            assert not (above / "__init__.py").exists()

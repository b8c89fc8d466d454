"""Nodes in a Milvus: those of a folder that was copied to it, those that a vector store put there, what it has no room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HashEncoder
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import Document, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRKeyValueStore, DPRVectorStore
from stores_of_others import AnyOther

from dpr_rag import MilvusStore, RemoteStore
from dpr_rag.errors import ArgumentError, StoreError, StoreNotFoundError, StoreReadOnlyError

pytest.importorskip("milvus_lite")
QUESTIONS = ["a tragic prince", "comedy of the forest", " "]
YEARS = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1607)])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DPRVectorStore, str]]:
    words, address = "tragic prince comedy forest play king".split(), ""
    with DPRVectorStore(tmp_path_factory.mktemp("s") / "plays", encoder=HashEncoder(32)) as store:
        store.add(
            [
                TextNode(
                    id_=f"n{at}", text=f"{' '.join(words[at % 5 : at % 5 + 3])} {at}", metadata={"year": 1600 + at}
                )
                for at in range(20)
            ]
        )
        address = f"milvus+lite:{tmp_path_factory.mktemp('m') / 'plays.db'}"
        with MilvusStore.open(address, encoder=HashEncoder(32)) as target:
            for passages, vectors in store.client.batches():
                target.add(passages, vectors=vectors)
        yield store, address


@pytest.mark.parametrize(
    "options",
    [
        {"similarity_top_k": 5},
        {"mode": "mmr", "similarity_top_k": 4},
        {"filters": YEARS, "similarity_top_k": 9},
        {"node_ids": ["n3", "n9"]},
        {"doc_ids": []},
    ],
)
def test_nodes_equal_those_of_the_folder(both: tuple[DPRVectorStore, str], options: dict) -> None:
    here = DPRRetriever(both[0], **options)
    with DPRRetriever(both[1], encoder=HashEncoder(32), **options) as there:
        for question in [*QUESTIONS, QueryBundle("a play", custom_embedding_strs=["forest", "king"])]:
            found = there.retrieve(question)
            assert [(one.node.to_dict(), one.score) for one in found] == [
                (one.node.to_dict(), one.score) for one in here.retrieve(question)
            ]


async def test_words_and_both_are_asked_of_the_engine(both: tuple[DPRVectorStore, str]) -> None:
    for mode in ("text_search", "hybrid"):
        with DPRRetriever(both[1], encoder=HashEncoder(32), mode=mode) as there:
            assert (await there.aretrieve("prince 11"))[0].node.node_id == "n11"


def test_what_does_not_go_with_an_address_is_refused(both: tuple[DPRVectorStore, str], tmp_path: Path) -> None:
    with MilvusStore.open(both[1], encoder=HashEncoder(32), create=False) as opened:
        assert len(DPRRetriever(opened).retrieve("a prince")) == 2
        with pytest.raises(ArgumentError, match="the store was opened with its own"):
            DPRRetriever(opened, encoder=HashEncoder(32))
        assert DPRRetriever(opened).vector_store.client is opened
    with pytest.raises(StoreNotFoundError):
        DPRRetriever(f"milvus+lite:{tmp_path / 'none.db'}", encoder=HashEncoder(32))


def test_an_address_is_opened_as_a_path_is(lite: Callable[[], str], towers: Any, plays: list[TextNode]) -> None:
    address = lite()
    with pytest.raises(StoreNotFoundError):
        DPRVectorStore(address, encoder=towers, create=False)
    with DPRVectorStore(address, encoder=towers, index="hnsw:links=8", fixed_filter={"shelf": "a"}) as made:
        made.add(plays)
        assert made.client.read_only is made.read_only is False
        told = made.to_dict()
    with DPRVectorStore.from_dict(told, encoder=towers, read_only=True) as again:
        assert again.path == address
        assert [node.metadata["shelf"] for node in again.get_nodes()] == ["a"] * 4
        with pytest.raises(StoreReadOnlyError):
            again.delete("d1")
        with pytest.raises(ArgumentError, match="opened read-only, and store= may be written to"):
            DPRVectorStore.from_dict(again.to_dict(), store=made.client)
    with DPRRetriever(address, encoder=towers, similarity_top_k=1) as retriever:
        retriever.vector_store.delete("d1")
        assert [one.node.node_id for one in retriever.retrieve("which prince avenges his father")] != ["hamlet"]
    with DPRRetriever.from_defaults(plays[:1], path=address, encoder=towers) as retriever:
        assert retriever.vector_store.client.count() == 3


def test_there_is_no_document_store_of_llama_index(lite: Callable[[], str], embedding: Any, tmp_path: Path) -> None:
    with DPRVectorStore(lite(), encoder=embedding) as store:
        for ask in (
            lambda: store.docstore,
            lambda: store.index_store,
            store.storage_context,
            lambda: DPRKeyValueStore(store.client),
        ):
            with pytest.raises(StoreError, match="holds nodes alone, and no document store"):
                ask()
        context = StorageContext.from_defaults(vector_store=store)
        document = Document(text="A king divides his realm.", id_="lear")
        index = VectorStoreIndex.from_documents([document], storage_context=context, embed_model=embedding)
        assert [one.node.ref_doc_id for one in index.as_retriever().retrieve("a king")] == ["lear"]
        context.persist(str(tmp_path / "storage"))
        pipeline = IngestionPipeline(transformations=[embedding], vector_store=store, docstore=SimpleDocumentStore())
        assert [len(pipeline.run(documents=[document])) for _ in range(2)] == [1, 0]
        index.delete_ref_doc("lear")
        assert store.get_nodes() == []


def test_what_is_persisted_elsewhere_is_told(
    lite: Callable[[], str], embedding: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DPRVectorStore(lite(), encoder=embedding) as store:
        store.persist(str(tmp_path / "copy"))
        assert f"nothing was written to {tmp_path / 'copy'}; the command dpr-rag copy makes a copy" in caplog.text
        caplog.clear()
        store.persist(store.path)
        assert "makes a copy" not in caplog.text


@pytest.mark.parametrize(("name", "value"), [("dtype", "float16"), ("bind", True), ("language", "de")])
def test_what_goes_with_a_folder_is_refused_by_name(
    lite: Callable[[], str], towers: Any, name: str, value: Any
) -> None:
    with pytest.raises(ArgumentError, match=f"{name} goes with a folder, and 'milvus\\+lite:.*' is a Milvus"):
        DPRVectorStore(lite(), encoder=towers, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("token", "secret"), ("partition_key", "tenant")])
def test_what_goes_with_an_address_is_refused_by_name(towers: Any, tmp_path: Path, name: str, value: str) -> None:
    for path in (None, tmp_path / "s"):
        with pytest.raises(ArgumentError, match=f"{name} goes with the address of a Milvus"):
            DPRVectorStore(path, encoder=towers, **{name: value})
    assert not (tmp_path / "s").exists()
    with pytest.raises(ArgumentError, match="expected an open PassageStore or MilvusStore"):
        DPRVectorStore(store="plays.dpr")
    with pytest.raises(StoreError, match="searched but not filled from here"):
        DPRVectorStore(store=RemoteStore("http://127.0.0.1:9"))


async def test_a_retriever_asks_for_no_more_than_the_protocol(filled: DPRVectorStore) -> None:
    other = AnyOther(filled.client)
    for options in ({"mode": "hybrid", "alpha": 0.3}, {"min_relevance": 0.0, "doc_ids": ["d1"]}, {"mode": "mmr"}):
        with DPRRetriever(other, **options) as retriever:
            expected = DPRRetriever(filled, **options).retrieve("a prince")
            assert retriever.retrieve("a prince") == await retriever.aretrieve("a prince") == expected
            with pytest.raises(ArgumentError, match="elsewhere:plays can be searched but has no vector store here"):
                retriever.vector_store  # noqa: B018
    assert filled.client.count() == 4
    with pytest.raises(StoreError, match="elsewhere:plays can be searched but not filled from here"):
        DPRVectorStore(store=other)

"""A vector store at the address of a Milvus: what goes with it, what does not, and that a path and an open store are one."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from stores_of_others import AnyOther

from dpr_rag import MilvusStore, RemoteStore
from dpr_rag.errors import (
    ArgumentError,
    EncoderMismatchError,
    PathError,
    StoreClosedError,
    StoreError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from langchain_dpr_rag import DPRRetriever, DPRVectorStore
from langchain_dpr_rag.foreign import EmbeddingsEncoder

QUESTION = "a tragedy by Goethe"


def test_an_address_is_opened_as_a_path_is(lite: Callable[[], str], words: Any, documents: list[Document]) -> None:
    address = lite()
    with pytest.raises(StoreNotFoundError):
        DPRVectorStore(words, path=address, create=False)
    with DPRVectorStore.from_documents(documents, words, path=address, index="hnsw:links=8") as made:
        assert made.store.info().kind == "flat (exact); asked for HNSW"
        expected = made.similarity_search_with_score(QUESTION, k=4)
        assert [document.id for document, _ in made.similarity_search_with_score(QUESTION, filter={"year": 1601})] == [
            "hamlet"
        ]
    with pytest.raises(StoreClosedError):
        made.similarity_search(QUESTION)
    with DPRVectorStore(words, path=address, create=False, read_only=True, timeout=5) as again:
        assert again.similarity_search_with_score(QUESTION, k=4) == expected
        with pytest.raises(StoreReadOnlyError):
            again.add_texts(["more"])
    with MilvusStore.open(address, encoder=words) as opened:
        with DPRVectorStore(store=opened) as given:
            assert given.similarity_search_with_score(QUESTION, k=4) == expected
            assert copy.deepcopy(given).store is opened
        assert opened.count() == 4
        with DPRRetriever.from_store(opened, k=4) as retriever:
            assert retriever.invoke(QUESTION) == [document for document, _ in expected]
    with DPRRetriever.from_store(address, words, k=4, fixed_filter={"year": {"$gt": 1700}}) as retriever:
        assert [document.id for document in retriever.invoke(QUESTION)] == ["faust"]


def test_embeddings_are_known_by_name_there_too(lite: Callable[[], str], foreign: Any, words: Any) -> None:
    address = lite()
    with DPRVectorStore.from_texts(["a tragedy"], foreign, path=address, ids=["1"]) as store:
        assert store.store.info().fingerprint == EmbeddingsEncoder(foreign).fingerprint
    with pytest.raises(EncoderMismatchError, match=r"pass fingerprint="):
        DPRVectorStore(type("Renamed", (type(foreign),), {"model_name": "others"})(), path=address)
    with pytest.raises(EncoderMismatchError):
        DPRVectorStore(words, path=address)


@pytest.mark.parametrize(("name", "value"), [("dtype", "float16"), ("bind", True), ("language", "de")])
def test_what_goes_with_a_folder_is_refused_by_name(lite: Callable[[], str], words: Any, name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} goes with a folder, and 'milvus\\+lite:.*' is a Milvus"):
        DPRVectorStore(words, path=lite(), **{name: value})


@pytest.mark.parametrize(("name", "value"), [("token", "secret"), ("partition_key", "tenant")])
def test_what_goes_with_an_address_is_refused_by_name(words: Any, tmp_path: Path, name: str, value: str) -> None:
    for path in (None, tmp_path / "s"):
        with pytest.raises(ArgumentError, match=f"{name} goes with the address of a Milvus"):
            DPRVectorStore(words, path=path, **{name: value})
    assert not (tmp_path / "s").exists()


def test_a_service_is_asked_and_not_filled(words: Any) -> None:
    with pytest.raises(
        PathError, match=r"searched but not filled from here; DPRRetriever\.from_store\(address\) searches it"
    ):
        DPRVectorStore(words, path="http://127.0.0.1:9")
    with pytest.raises(StoreError, match="searched but not filled from here"):
        DPRVectorStore(store=RemoteStore("http://127.0.0.1:9"))
    with pytest.raises(ArgumentError, match="or MilvusStore; open a folder"):
        DPRVectorStore(store="plays.dpr")


def test_a_retriever_asks_for_no_more_than_the_protocol(plays: DPRVectorStore) -> None:
    store = plays.store
    other = AnyOther(store)
    expected = DPRRetriever.from_store(store, mode="hybrid", include_scores=True, score_threshold=0.0)
    with DPRRetriever.from_store(other, mode="hybrid", include_scores=True, score_threshold=0.0) as retriever:
        assert retriever.batch([QUESTION, "an epic"]) == expected.batch([QUESTION, "an epic"])
        assert retriever.invoke(" ", filter={"year": 1601}) == expected.invoke(" ", filter={"year": 1601})
        assert asyncio.run(retriever.ainvoke(QUESTION)) == expected.invoke(QUESTION)
    assert store.count() == 4
    with pytest.raises(StoreError, match="elsewhere:plays can be searched but not filled from here"):
        DPRVectorStore(store=other)


def test_tenants_have_partitions_of_their_own(lite: Callable[[], str], words: Any) -> None:
    address = lite()
    for tenant in "ab":
        with DPRVectorStore(words, path=address, partition_key="tenant", fixed_filter={"tenant": tenant}) as store:
            store.add_texts([f"a play of {tenant}"], ids=[tenant])
            assert [document.id for document in store.similarity_search("a play")] == [tenant]
    with pytest.raises(StoreError, match="partition"):
        DPRVectorStore(words, path=address, partition_key="shelf")

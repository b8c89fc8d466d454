"""How the adapters meet what users bring from other stores: words, paths, copies, filters, and one id twice."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from dpr_rag import MilvusStore, PassageStore
from dpr_rag.errors import FilterError, PassageError, StoreNotFoundError, StoreReadOnlyError
from langchain_dpr_rag import DPRRetriever, DPRVectorStore

QUESTION = "a tragedy by Goethe"


def ids_of(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_id_with_two_contents_is_refused_before_anything_is_stored(
    empty: DPRVectorStore, foreign: Any, asynchronous: bool
) -> None:
    with DPRVectorStore(foreign) as other:
        for store in (empty, other):
            add = (
                (lambda *given, of=store, **more: asyncio.run(of.aadd_texts(*given, **more)))
                if asynchronous
                else store.add_texts
            )
            with pytest.raises(PassageError, match="the id 'a' comes twice in one call"):
                add(["first", "second", "third"], ids=["a", "b", "a"])
            with pytest.raises(PassageError, match="the id 'a' comes twice in one call"):
                add(["same", "same"], [{"n": 1}, {"n": 2}], ids=["a", "a"])
            assert len(store.store) == 0
            assert add(["same", "same"], ids=["a", "a"]) == ["a", "a"]
            assert [one.text for one in store.store] == ["same"]


def test_documents_that_share_an_id_and_differ_are_refused(empty: DPRVectorStore) -> None:
    twins = [Document(id="a", page_content="first"), Document(id="a", page_content="second")]
    with pytest.raises(PassageError, match="the id 'a' comes twice"):
        empty.add_documents(twins, batch_size=1)
    with pytest.raises(PassageError, match="the id 'a' comes twice"):
        empty.add_embeddings([("first", [1.0] * 12), ("second", [2.0] * 12)], ids=["a", "a"])
    assert len(empty.store) == 0


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("persist_directory", "path="),
        ("folder_path", "path="),
        ("collection_name", "path="),
        ("index_name", "path="),
        ("embedding_function", "embedding="),
        ("relevance_score_fn", "score_threshold"),
    ],
)
def test_words_of_other_stores_are_told_the_right_one(words: Any, wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=f"unknown argument '{wrong}', .*; here it is .*|{wrong}.*not needed") as caught:
        DPRVectorStore(words, **{wrong: "x"})
    assert right in str(caught.value)
    with pytest.raises(TypeError, match=f"'{wrong}'"):
        DPRVectorStore.from_texts(["x"], words, **{wrong: "x"})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("load_local", "from_langchain_faiss"),
        ("save_local", "on disk"),
        ("persist", "on disk"),
        ("from_existing_collection", "create=False"),
        ("from_existing_index", "create=False"),
        ("update_document", r"add_documents\(documents, ids=...\)"),
        ("delete_collection", r"delete\(\) deletes all"),
        ("get", r"get_by_ids\(ids\)"),
    ],
)
def test_methods_of_other_stores_are_told_what_to_call(plays: DPRVectorStore, wrong: str, right: str) -> None:
    for of in (DPRVectorStore, plays):
        with pytest.raises(NotImplementedError, match=rf"DPRVectorStore has no {wrong}\(\); .*{right}"):
            getattr(of, wrong)("x", index_name="y")


def test_the_error_lists_every_argument_that_there_is(words: Any) -> None:
    with pytest.raises(TypeError, match="unknown argument 'nonsense'") as caught:
        DPRVectorStore(words, nonsense=1)
    listed = str(caught.value).rpartition("one of ")[2].split(", ")
    parameters = inspect.signature(DPRVectorStore.__init__).parameters.values()
    options = {name for kind in (PassageStore, MilvusStore) for name in inspect.signature(kind.open).parameters}
    handed_on = [name for name in ("bind", "dtype", "language", "timeout", "token", "partition_key") if name in options]
    named = [one.name for one in parameters if one.name not in ("self", "options")]
    assert sorted(listed) == sorted([*named, *handed_on])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("top_k", "here it is k"),
        ("similarity_top_k", "here it is k"),
        ("where", "here it is filter"),
        ("mode", r"DPRVectorStore\(..., mode=...\)"),
        ("weight", r"DPRVectorStore\(..., weight=...\)"),
        ("similarity_cutoff", "score_threshold"),
    ],
)
def test_search_kwargs_are_told_the_right_word(plays: DPRVectorStore, wrong: str, right: str) -> None:
    with pytest.raises(ValidationError, match=right):
        plays.as_retriever(search_kwargs={wrong: 0.5})
    with pytest.raises(TypeError, match=right):
        plays.as_retriever().invoke(QUESTION, **{wrong: 0.5})
    with pytest.raises(TypeError, match=right):
        plays.similarity_search(QUESTION, **{wrong: 0.5})


@pytest.mark.parametrize("name", ["score_threshold", "fetch_k", "lambda_mult"])
def test_options_of_another_search_type_name_it(plays: DPRVectorStore, name: str) -> None:
    retriever = plays.as_retriever(search_kwargs={name: 1})
    for ask in (retriever.invoke, lambda question: retriever.batch([question])):
        with pytest.raises(TypeError, match="search_type="):
            ask(QUESTION)


def test_fields_of_a_retriever_are_told_the_right_word(plays: DPRVectorStore) -> None:
    with pytest.raises(ValidationError, match="similarity_top_k: there is no such field; here it is k"):
        DPRRetriever.from_store(plays, similarity_top_k=3)


def test_a_path_that_was_mistyped_is_noticed(words: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for more in ({"create": False}, {"read_only": True}):
        with pytest.raises(StoreNotFoundError, match="mistyped"):
            DPRVectorStore(words, path=tmp_path / "mistyped", **more)
    assert not (tmp_path / "mistyped").exists()
    with DPRVectorStore(words, path=tmp_path / "mistyped") as store, caplog.at_level(logging.WARNING):
        assert store.similarity_search(QUESTION) == []
        assert "mistyped is empty, so nothing is found" in caplog.text
        caplog.clear()
        store.add_texts(["a play"])
        assert store.similarity_search("a play", filter={"year": 1}) == []
        assert "empty" not in caplog.text
        assert "no passage has a field 'year'" in caplog.text


def test_a_store_that_is_opened_to_read_refuses_changes(words: Any, tmp_path: Path, documents: list[Document]) -> None:
    DPRVectorStore.from_documents(documents, words, path=tmp_path / "s").close()
    with DPRVectorStore(words, path=tmp_path / "s", read_only=True) as store:
        assert ids_of(store.similarity_search("a comedy by Shakespeare", 1)) == ["errors"]
        with pytest.raises(StoreReadOnlyError):
            store.add_texts(["x"])
    with DPRRetriever.from_store(tmp_path / "s", words, read_only=True) as retriever:
        assert retriever.store.read_only
        assert ids_of(retriever.invoke("a comedy by Shakespeare", k=1)) == ["errors"]
    for more in ({"create": False}, {"read_only": True}):
        with pytest.raises(ValueError, match="give its path"):
            DPRVectorStore(words, **more)
    with DPRVectorStore(words) as store, pytest.raises(ValueError, match="read_only"):
        DPRVectorStore(store=store.store, read_only=True)


def test_objects_refuse_to_be_pickled_when_they_are_and_copies_share(plays: DPRVectorStore) -> None:
    for held in (plays, DPRRetriever.from_store(plays), plays.as_retriever()):
        with pytest.raises(TypeError, match="is open and cannot be pickled; open it where it is used"):
            pickle.dumps(held)
        for copied in (
            copy.copy(held),
            copy.deepcopy(held),
            held.model_copy(deep=True) if hasattr(held, "model_copy") else held,
        ):
            inner = getattr(copied, "store", None) or copied.vectorstore.store
            assert inner is plays.store
            if copied is not held and hasattr(copied, "close"):
                copied.close()
    assert len(plays.similarity_search(QUESTION)) == 4


def test_a_filter_may_judge_the_metadata_as_a_dict(plays: DPRVectorStore) -> None:
    filters = [
        lambda metadata: metadata.get("year", 0) > 1600,
        lambda metadata: "year" in metadata and metadata["year"] > 1600,
        lambda metadata: dict(metadata.items()).get("year", 0) > 1600,
        lambda metadata: {**metadata}.get("year", 0) > 1600,
        lambda document: document.metadata.get("year", 0) > 1600,
        lambda document: document.id in ("hamlet", "faust") and bool(document.page_content),
    ]
    for one in filters:
        assert sorted(ids_of(plays.similarity_search(QUESTION, filter=one))) == ["faust", "hamlet"]
        assert sorted(ids_of(DPRRetriever.from_store(plays, filter=one).invoke(QUESTION))) == ["faust", "hamlet"]
    with pytest.raises(KeyError, match="year"):
        plays.similarity_search(QUESTION, filter=lambda metadata: metadata["year"] > 1600)


async def judged_later(document: Document) -> bool:
    return False


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (judged_later, "judged_later, a coroutine function"),
        (lambda document: judged_later(document), "coroutine"),
        (lambda document: document.metadata.get, "method"),
        (lambda metadata: metadata.get("year"), "expected True or False"),
        (lambda document: "False", "str 'False'"),
        (Document, "the class Document"),
    ],
)
def test_a_filter_that_does_not_answer_selects_and_deletes_nothing(
    where: Any, named: str, plays: DPRVectorStore
) -> None:
    with pytest.raises(FilterError, match=named):
        plays.similarity_search(QUESTION, filter=where)
    with pytest.raises(FilterError, match=named):
        plays.delete(filter=where)
    with pytest.raises((FilterError, ValidationError), match=named):
        DPRRetriever.from_store(plays, filter=where).invoke(QUESTION)
    assert len(plays.store) == 4


def test_defaults_are_those_that_are_written(words: Any) -> None:
    texts = [f"play {at}" for at in range(30)]
    with DPRVectorStore.from_texts(texts, words, ids=texts) as store:
        retriever = DPRRetriever.from_store(store)
        assert (retriever.k, retriever.fetch_k, retriever.lambda_mult) == (4, 20, 0.5)
        assert len(retriever.invoke("play")) == len(store.as_retriever().invoke("play")) == 4
        vector = words.encode_questions(["play 3"])[0].tolist()
        calls = {
            "asimilarity_search": "play 3",
            "asimilarity_search_with_score": "play 3",
            "asimilarity_search_by_vector": vector,
            "asimilarity_search_with_relevance_scores": "play 3",
            "amax_marginal_relevance_search": "play 3",
            "amax_marginal_relevance_search_by_vector": vector,
        }
        for name, given in calls.items():
            found = asyncio.run(getattr(store, name)(given))
            assert len(found) == 4
            assert found == asyncio.run(getattr(store, name)(given, k=4))
            assert found == getattr(store, name[1:])(given)
            if name.startswith("amax"):
                assert found == asyncio.run(getattr(store, name)(given, k=4, fetch_k=20, lambda_mult=0.5))
                spread = asyncio.run(getattr(store, name)(given, k=19, lambda_mult=0.0))
                assert spread == asyncio.run(getattr(store, name)(given, k=19, fetch_k=20, lambda_mult=0.0))
                assert spread != asyncio.run(getattr(store, name)(given, k=19, fetch_k=21, lambda_mult=0.0))

"""How the adapters meet what users bring from other stores: words, paths, copies, and dicts of components."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DelimitPassages, DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import DualEncoder
from dpr_rag.errors import EncoderMismatchError, StoreNotFoundError, StoreReadOnlyError

QUESTION = "a prince of Denmark"


def first(store: DPRVectorStore) -> list[str]:
    return store.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=1)).ids


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("persist_dir", "path="),
        ("collection_name", "path="),
        ("table_name", "path="),
        ("embed_model", "encoder="),
        ("embed_dim", "not needed"),
        ("similarity_top_k", "as_retriever"),
        ("mode", "vector_store_query_mode="),
        ("score_threshold", "min_relevance="),
        ("chroma_collection", "path="),
        ("faiss_index", "store="),
        ("overwrite", r"clear\(\)"),
        ("enable_hybrid", "not needed"),
    ],
)
def test_words_of_other_stores_are_told_the_right_one(towers: Any, tmp_path: Path, wrong: str, right: str) -> None:
    for path in (None, tmp_path / "s"):
        with pytest.raises(TypeError, match=f"unknown argument '{wrong}'.*; here it is .*{right}"):
            DPRVectorStore(path, encoder=towers, **{wrong: "x"})
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("from_params", r"DPRVectorStore\(path\) makes"),
        ("from_uri", r"DPRVectorStore\(path\) makes"),
        ("from_persist_dir", r"from_llama_index\(persist_dir, path=...\) moves in"),
        ("from_local", "create=False"),
    ],
)
def test_ways_to_make_other_stores_are_told_what_to_call(wrong: str, right: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"DPRVectorStore has no {wrong}\(\); .*{right}"):
        getattr(DPRVectorStore, wrong)("notes", table_name="x")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("index", r"index\.vector_store"),
        ("top_k", "similarity_top_k="),
        ("embed_model", "encoder="),
        ("vector_store_query_mode", "mode="),
        ("similarity_cutoff", "min_relevance="),
    ],
)
def test_words_of_other_retrievers_are_told_the_right_one(filled: Any, wrong: str, right: str) -> None:
    for make in (DPRRetriever, partial(DPRRetriever.from_defaults, None, store=filled.client)):
        with pytest.raises(TypeError, match=f"unknown argument '{wrong}'.*; here it is .*{right}"):
            make(*([filled] if make is DPRRetriever else []), **{wrong: "x"})
    with pytest.raises(TypeError, match="unknown argument 'index'"):
        DPRRetriever(index=filled)
    with pytest.raises(TypeError, match="store is NoneType, expected a path"):
        DPRRetriever()
    with pytest.raises(TypeError, match=r"store is VectorStoreIndex, .* an index has it under \.vector_store"):
        DPRRetriever(VectorStoreIndex.from_vector_store(filled, embed_model=MockEmbedding(3)))  # type: ignore[arg-type]


def test_the_error_of_a_retriever_lists_every_argument_that_there_is(filled: Any) -> None:
    with pytest.raises(TypeError, match="unknown argument 'nonsense'") as caught:
        DPRRetriever(filled, nonsense=1)
    listed = str(caught.value).rpartition("one of ")[2].split(", ")
    parameters = set(inspect.signature(DPRRetriever.__init__).parameters) - {"self", "unknown"}
    assert sorted(listed) == sorted(parameters)


@pytest.mark.parametrize(
    ("wrong", "right"), [("bm25", "text_search"), ("dense", "default"), ("semantic_hybrid", "hybrid")]
)
def test_modes_of_other_names_are_told_theirs(filled: Any, wrong: Any, right: str) -> None:
    for ask in (
        lambda: DPRRetriever(filled, mode=wrong),
        lambda: filled.query(VectorStoreQuery(query_str=QUESTION, mode=wrong)),
    ):
        with pytest.raises(ValueError, match=f"the query mode '{wrong}' is not supported; .*; here it is '{right}'"):
            ask()


def test_the_error_lists_every_argument_that_there_is(towers: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unknown argument 'nonsense'") as caught:
        DPRVectorStore(tmp_path / "s", encoder=towers, nonsense=1)
    listed = set(str(caught.value).rpartition("one of ")[2].split(", "))
    assert listed >= {
        name for name in inspect.signature(DPRVectorStore.__init__).parameters if name not in ("self", "options")
    }
    opened = {"dtype": "float16", "language": "german", "timeout": 1.0, "bind": True, "index": "flat"}
    assert listed >= set(opened)
    DPRVectorStore(tmp_path / "s", encoder=towers, **opened).close()


def test_a_path_that_was_mistyped_is_noticed(towers: Any, tmp_path: Path, caplog: Any, node: Any) -> None:
    for more in ({"create": False}, {"read_only": True}):
        with pytest.raises(StoreNotFoundError, match="mistyped"):
            DPRVectorStore(tmp_path / "mistyped", encoder=towers, **more)
        with pytest.raises(ValueError, match="give its path"):
            DPRVectorStore(encoder=towers, **more)
    assert not (tmp_path / "mistyped").exists()
    with DPRVectorStore(tmp_path / "mistyped", encoder=towers) as store, caplog.at_level(logging.WARNING):
        for ask in (lambda: first(store), lambda: DPRRetriever(store).retrieve(QUESTION)):
            caplog.clear()
            assert ask() == []
            assert "mistyped is empty, so nothing is found" in caplog.text
        store.add([node("a", "a text")])
        caplog.clear()
        assert first(store) == ["a"]
        assert caplog.text == ""


def test_a_store_that_is_opened_to_read_refuses_changes(filled: Any, towers: Any, node: Any) -> None:
    filled.close()
    with DPRVectorStore(filled.path, encoder=towers, read_only=True) as store:
        assert first(store) == ["hamlet"]
        with pytest.raises(StoreReadOnlyError):
            store.add([node("a", "a text")])
    with DPRRetriever(filled.path, encoder=towers, read_only=True) as retriever:
        assert retriever.vector_store.client.read_only
    with DPRVectorStore() as other, pytest.raises(ValueError, match="read_only="):
        DPRRetriever(other, read_only=True)


def test_objects_refuse_to_be_pickled_when_they_are_and_copies_share(filled: Any, embedding: DPREmbedding) -> None:
    for held in (filled, DPRRetriever(filled)):
        with pytest.raises(TypeError, match="is open and cannot be pickled; open it where it is used"):
            pickle.dumps(held)
    for copied in (copy.copy(filled), copy.deepcopy(filled), filled.model_copy(), filled.model_copy(deep=True)):
        assert copied.client is filled.client
        copied.close()
        assert first(copied) == first(filled) == ["hamlet"]
    for copied in (copy.copy(DPRRetriever(filled)), copy.deepcopy(DPRRetriever(filled))):
        assert copied.retrieve(QUESTION)[0].node.node_id == "hamlet"
        copied.close()
    owner = DPRRetriever(filled.path, encoder=filled.encoder)
    copy.copy(owner).close()
    assert owner.retrieve(QUESTION)[0].node.node_id == "hamlet"
    owner.close()
    for same in (copy.copy(embedding), copy.deepcopy(embedding), embedding.model_copy(deep=True)):
        assert same.get_query_embedding(QUESTION) == embedding.get_query_embedding(QUESTION)


def test_a_store_is_the_same_again_from_its_dict(filled: Any, towers: Any, tmp_path: Path) -> None:
    told, written = filled.to_dict(), filled.to_json()
    assert (told["path"], told["class_name"]) == (filled.path, "DPRVectorStore")
    filled.close()
    for made in (DPRVectorStore.from_dict(told, encoder=towers), DPRVectorStore.from_json(written, encoder=towers)):
        with made:
            assert first(made) == ["hamlet"]
    with pytest.raises(StoreNotFoundError):
        DPRVectorStore.from_dict({**told, "path": str(tmp_path / "nowhere")}, encoder=towers)
    with DPRVectorStore(encoder=towers, on_blank="error") as other:
        with pytest.raises(ValueError, match="has no path"):
            DPRVectorStore.from_dict(other.to_dict(), encoder=towers)
        again = DPRVectorStore.from_dict(other.to_dict(), store=other.client)
        assert (again.client, again.on_blank) == (other.client, "error")


def test_an_embedding_is_the_same_again_from_its_dict(towers: Any, make_towers: Any) -> None:
    embedding = DPREmbedding(towers, embed_metadata=True, embed_batch_size=7)
    for made in (
        DPREmbedding.from_dict(embedding.to_dict(), encoder=towers),
        DPREmbedding.from_json(embedding.to_json(), encoder=towers),
    ):
        assert (made.embed_metadata, made.embed_batch_size) == (True, 7)
        assert made.get_query_embedding(QUESTION) == embedding.get_query_embedding(QUESTION)
    with pytest.raises(EncoderMismatchError, match="pass it as encoder="):
        DPREmbedding.from_dict(embedding.to_dict(), encoder=make_towers("another"))
    with pytest.raises(EncoderMismatchError, match="'two towers'"):
        DPREmbedding.from_dict(embedding.to_dict())
    default = DPREmbedding.from_dict(DPREmbedding().to_dict())
    assert default.fingerprint == DualEncoder.default().fingerprint


def test_a_postprocessor_is_the_same_again_from_its_dict(filled: Any) -> None:
    found = DPRRetriever(filled).retrieve(QUESTION)
    made = DelimitPassages.from_dict(json.loads(DelimitPassages().to_json()))
    texts = [one.node.get_content() for one in made.postprocess_nodes(found)]
    assert texts == [one.node.get_content() for one in DelimitPassages().postprocess_nodes(found)]

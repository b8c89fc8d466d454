"""Embeddings of others: what they return is taken where it is numbers, and refused by name where it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import VectorError
from langchain_dpr_rag import DPRVectorStore

WRONG: dict[str, Any] = {
    "nothing": lambda texts: None,
    "ragged": lambda texts: [[1.0] * (1 + at) for at in range(len(texts))],
    "strings": lambda texts: [["1", "2"] for _ in texts],
    "text": lambda texts: ["a" for _ in texts],
    "no rows": lambda texts: [None for _ in texts],
    "three dimensions": lambda texts: np.ones((len(texts), 1, 2)),
    "too few": lambda texts: np.ones((1, 2)),
}


class Returning(Embeddings):
    model = "m"

    def __init__(self, made: Any) -> None:
        self.made = made

    def embed_documents(self, texts: list[str]) -> Any:
        return self.made(texts)

    def embed_query(self, text: str) -> Any:
        return np.array([1.0, 0.0], np.float32)


def test_arrays_are_taken_by_value() -> None:
    with DPRVectorStore(Returning(lambda texts: np.eye(2, dtype=np.float32)[: len(texts)])) as store:
        store.add_texts(["one", "two"], ids=["1", "2"])
        assert [one.id for one in store.similarity_search("q", k=2)] == ["1", "2"]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_vectors_is_refused_by_name(name: str) -> None:
    with DPRVectorStore(Returning(WRONG[name])) as store:
        with pytest.raises(VectorError, match=r"Returning.embed_documents\(\) returned .* for 2 texts"):
            store.add_texts(["one", "two"], ids=["1", "2"])
        assert store.get_by_ids(["1", "2"]) == []


def test_documents_of_other_dimensions_than_questions_are_refused_by_name() -> None:
    told = r"^Returning.embed_documents\(\) returned .*: vectors have 3 dimensions, expected 2"
    with (
        DPRVectorStore(Returning(lambda texts: [[1.0] * 3] * len(texts))) as store,
        pytest.raises(VectorError, match=told),
    ):
        store.add_texts(["one"])


class Core:
    dim, fingerprint = 2, "core"

    def __init__(self, made: Any) -> None:
        self.made = made

    def encode_passages(self, passages: Any) -> Any:
        return self.made(passages)

    def encode_questions(self, questions: Any) -> Any:
        return self.made(questions)


@pytest.mark.parametrize("name", WRONG)
def test_an_encoder_that_returns_no_vectors_is_told_so_by_name(name: str) -> None:
    with PassageStore.temporary(encoder=Core(WRONG[name])) as store:
        with pytest.raises(VectorError, match=r"Core.encode_passages\(\) returned"):
            store.add([Passage("1", "one"), Passage("2", "two")])
        with pytest.raises(VectorError, match=r"Core.encode_questions\(\) returned"):
            store.encode_questions(["one", "two"])


class Slotted:
    """Embeds, and has neither LangChain's base class nor asynchronous methods."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.asked.append(text)
        return [1.0, 0.0] if "king" in text else [0.0, 1.0]


def test_what_embeds_without_langchains_base_class_is_taken_as_other_stores_take_it(tmp_path: Path) -> None:
    embeddings = Slotted()
    with DPRVectorStore(embeddings, path=tmp_path / "s", fingerprint="mine") as store:
        store.add_texts(["a queen", "a king"], ids=["queen", "king"])
        assert [one.id for one in store.similarity_search("the king", k=1)] == ["king"]
        assert store.embeddings is embeddings
    with DPRVectorStore(embeddings, path=tmp_path / "s", fingerprint="mine", create=False) as again:
        assert [one.id for one in again.similarity_search("who", k=1)] == ["queen"]


def test_what_cannot_be_awaited_embeds_in_a_thread() -> None:
    async def run() -> list[str | None]:
        with DPRVectorStore(Slotted()) as store:
            await store.aadd_texts(["a queen", "a king"], ids=["queen", "king"])
            return [one.id for one in await store.asimilarity_search("the king", k=1)]

    assert asyncio.run(run()) == ["king"]


@pytest.mark.parametrize("given", ["all-MiniLM-L6-v2", len, Slotted])
def test_what_does_not_embed_is_told_so_first_with_a_fingerprint_too(given: Any) -> None:
    with pytest.raises(TypeError, match=r"embedding is .*, expected LangChain Embeddings"):
        DPRVectorStore(given, fingerprint="mine")

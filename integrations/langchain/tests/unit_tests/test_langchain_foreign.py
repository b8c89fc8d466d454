"""Embeddings of others: what they return is taken where it is numbers, and refused by name where it is not."""

from __future__ import annotations

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

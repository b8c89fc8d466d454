"""Embeddings of others: what they return is taken where it is numbers, and refused by name where it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import VectorError


class Returning(BaseEmbedding):
    model_name: str = "m"
    made: Any = None

    def _get_text_embedding(self, text: str) -> Any:
        return self.made(text)

    def _get_query_embedding(self, query: str) -> Any:
        return np.array([1.0, 0.0], np.float32)

    async def _aget_query_embedding(self, query: str) -> Any:
        return self._get_query_embedding(query)


def test_arrays_are_taken_by_value() -> None:
    with DPRVectorStore(encoder=Returning(made=lambda text: np.array([text == "one", 1.0], np.float32))) as store:
        store.add([TextNode(id_="2", text="two"), TextNode(id_="1", text="one")])
        query = VectorStoreQuery(query_str="q", similarity_top_k=2)
        assert store.query(query).ids == asyncio.run(store.aquery(query)).ids == ["1", "2"]


@pytest.mark.parametrize(
    "made",
    [lambda text: None, lambda text: [1.0] * len(text), lambda text: ["1", "2"], lambda text: np.ones((1, 2))],
    ids=["nothing", "ragged", "strings", "three dimensions"],
)
def test_what_is_no_vectors_is_refused_by_name(made: Any) -> None:
    with DPRVectorStore(encoder=Returning(made=made)) as store:
        with pytest.raises(
            VectorError, match=r"Returning.get_text_embedding_batch\(\) returned .* expected .*numbers for each"
        ):
            store.add([TextNode(id_="1", text="one"), TextNode(id_="2", text="three")])
        assert len(store.client) == 0


def test_texts_of_other_dimensions_than_questions_are_refused_by_name() -> None:
    told = r"^Returning.get_text_embedding_batch\(\) returned .*: vectors have 3 dimensions, expected 2"
    with (
        DPRVectorStore(encoder=Returning(made=lambda text: [1.0] * 3)) as store,
        pytest.raises(VectorError, match=told),
    ):
        store.add([TextNode(id_="1", text="one")])

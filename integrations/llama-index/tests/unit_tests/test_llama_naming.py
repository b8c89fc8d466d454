"""Stores are bound to LlamaIndex's own embeddings by name, also behind wrappers, and refuse others by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import MockEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import EncoderMismatchError

DIM = 4


class Letters(BaseEmbedding):
    """Counts letters; queries count half, so that the two sides can be told apart."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(text.count(letter)) for letter in "abcd"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [value / 2 for value in self._get_text_embedding(query)]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class Around(BaseEmbedding):
    """Hands everything on, as wrappers for retries or usage counts do."""

    _inner: Any = PrivateAttr()

    def __init__(self, inner: BaseEmbedding) -> None:
        super().__init__()
        self._inner = inner

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._inner.get_text_embedding(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._inner.get_text_embedding_batch(texts)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._inner.get_query_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def letters(name: str = "letters-1") -> Letters:
    return Letters(model_name=name)


def test_a_store_encodes_by_what_it_was_opened_with(tmp_path: Path) -> None:
    with DPRVectorStore(tmp_path / "s", encoder=letters()) as store:
        store.add([TextNode(id_="1", text="aab"), TextNode(id_="2", text="ccd")])
        vectors = store.client.get_vectors(["1", "2"])
        assert np.array_equal(vectors["1"], [2, 1, 0, 0])
        found = store.query(VectorStoreQuery(query_str="cc", similarity_top_k=1))
        assert (found.ids, found.similarities) == (["2"], [2.0])
    with DPRRetriever(tmp_path / "s", encoder=letters(), similarity_top_k=1) as retriever:
        assert [one.score for one in retriever.retrieve("cc")] == [2.0]


@pytest.mark.parametrize(
    "other",
    [
        lambda towers: letters("letters-2"),
        lambda towers: MockEmbedding(DIM),
        lambda towers: Around(letters("letters-2")),
        lambda towers: Around(letters()),
        lambda towers: DPREmbedding(towers),
    ],
)
def test_another_embedding_is_refused_by_name(other: Any, tmp_path: Path, towers: Any) -> None:
    with DPRVectorStore(tmp_path / "s", encoder=letters()) as store:
        store.add([TextNode(id_="1", text="aab")])
    with pytest.raises(EncoderMismatchError, match="letters-1"):
        DPRVectorStore(tmp_path / "s", encoder=other(towers))
    with DPRVectorStore(tmp_path / "s", encoder=letters()) as store:
        assert store.encoder is not None


def test_what_stands_behind_a_wrapper_counts(tmp_path: Path, make_towers: Any) -> None:
    with DPRVectorStore(tmp_path / "s", encoder=Around(DPREmbedding(make_towers("one")))) as store:
        store.add([TextNode(id_="1", text="aab", metadata={"title": "A title"})])
        expected = make_towers("one").encode_passages(store.client.get(["1"]))
        assert np.array_equal(store.client.get_vectors(["1"])["1"], expected[0])
    with pytest.raises(EncoderMismatchError, match="towers-one"):
        DPRVectorStore(tmp_path / "s", encoder=Around(DPREmbedding(make_towers("two"))))
    with DPRVectorStore(tmp_path / "s", encoder=Around(DPREmbedding(make_towers("one")))) as store:
        assert len(store.client) == 1


def test_what_has_no_name_needs_one(tmp_path: Path) -> None:
    with pytest.raises(EncoderMismatchError, match=r"nothing in .*Letters names its model.*fingerprint="):
        DPRVectorStore(tmp_path / "s", encoder=Letters())
    with DPRVectorStore(tmp_path / "s", encoder=Letters(), fingerprint="letters, version 1") as store:
        store.add([TextNode(id_="1", text="aab")])
    with pytest.raises(EncoderMismatchError, match="letters, version 1"):
        DPRVectorStore(tmp_path / "s", encoder=Letters(), fingerprint="letters, version 2")
    with pytest.raises(ValueError, match="fingerprint was given"):
        DPRVectorStore(tmp_path / "s", fingerprint="letters, version 1")


def test_what_embeds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"encoder is str 'model'.*expected a dpr_rag\.Encoder or a DPREmbedding, or another embedding"
    ):
        DPRVectorStore(tmp_path / "s", encoder="model")

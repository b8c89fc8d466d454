"""LangChain's own standard suites, for every kind of index and for a Milvus, with nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from dpr_rag import open_store
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore
from langchain_dpr_rag.foreign import EmbeddingsEncoder


class Folding(DPRVectorStore):
    """Builds its index anew after every change, so that no search is answered by the exact tail alone."""

    def add_documents(self, *given: Any, **options: Any) -> list[str]:
        added = super().add_documents(*given, **options)
        self.store.optimize()
        return added

    def delete(self, *given: Any, **options: Any) -> bool:
        deleted = super().delete(*given, **options)
        if len(self.store):
            assert self.store.info().base > 0
        return deleted


class OfKind(VectorStoreIntegrationTests):
    kind: str

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        with Folding(self.get_embeddings(), path=tmp_path / "store", index=self.kind) as store:
            yield store


class TestFlat(OfKind):
    kind = "flat"


class TestIVF(OfKind):
    kind = "ivf"


class TestHNSW(OfKind):
    kind = "hnsw"


class TestMilvus(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, lite: Callable[[], str]) -> Iterator[VectorStore]:
        with DPRVectorStore(self.get_embeddings(), path=lite()) as store:
            yield store


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _opened(self, place: str) -> Iterator[None]:  # noqa: F811
        encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=6))
        with open_store(place, encoder=encoder) as self.store:
            DPRVectorStore(store=self.store).add_texts([f"text {at}" for at in range(6)])
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return DPRRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"store": self.store}

    @property
    def retriever_query_example(self) -> str:
        return "text 3"


class _OurEmbeddings:
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return DPREmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"encoder": EmbeddingsEncoder(DeterministicFakeEmbedding(size=6))}


class TestEmbeddings(_OurEmbeddings, EmbeddingsIntegrationTests):
    pass


class TestEmbeddingsUnit(_OurEmbeddings, EmbeddingsUnitTests):
    pass

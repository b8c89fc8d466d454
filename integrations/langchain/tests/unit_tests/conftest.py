"""A deterministic encoder without network, and the stores that the tests of the LangChain adapters share."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import faiss
import numpy as np
import pytest
from engines import lite  # noqa: F401
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from dpr_rag import Passage
from langchain_dpr_rag import DPRVectorStore

DOCUMENTS = [
    Document(id="hamlet", page_content="a tragedy by Shakespeare", metadata={"title": "Hamlet", "year": 1601}),
    Document(id="errors", page_content="a comedy by Shakespeare", metadata={"title": "Errors", "year": 1594}),
    Document(id="faust", page_content="a tragic play by Goethe", metadata={"year": 1808, "tags": ["devil"]}),
    Document(id="iliad", page_content="an epic by Homer about Troy", metadata={"title": "Iliad"}),
]


class WordEncoder:
    """Bag of hashed words, scaled so that inner products are far from [0, 1]; the two sides differ by a rotation."""

    dim = 12
    source = "tests"

    def __init__(self, fingerprint: str = "words") -> None:
        self.fingerprint = fingerprint
        self.calls: list[list[str]] = []

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        self.calls.append(list(questions))
        return self._encode(questions)

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        texts = [f"{one.title} | {one.text}" if one.title else one.text for one in passages]
        self.calls.append(texts)
        return self._encode(texts) + np.float32(0.25)

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = [sum((_word(word) for word in text.split()), np.zeros(self.dim)) for text in texts]
        return np.array(vectors, dtype=np.float32).reshape(len(texts), self.dim)


class WordEmbeddings(Embeddings):
    """The same as LangChain embeddings of someone else's."""

    model_name = "words"

    def __init__(self) -> None:
        self.encoder = WordEncoder()

    def embed_query(self, text: str) -> list[float]:
        return self.encoder.encode_questions([text])[0].tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encoder.encode_passages([Passage("x", text) for text in texts]).tolist()


def save_as_faiss(
    folder: Path, documents: list[Document], vectors: Any, *, metric: str = "INNER_PRODUCT", name: str = "index"
) -> Path:
    """Write a folder as ``FAISS.save_local`` does: the index, and a pickle of document store and row ids."""
    folder.mkdir(exist_ok=True)
    index = faiss.IndexFlat(len(vectors[0]), getattr(faiss, f"METRIC_{metric}"))
    index.add(np.array(vectors, dtype=np.float32))
    faiss.write_index(index, str(folder / f"{name}.faiss"))
    module = ModuleType("langchain_community.docstore.in_memory")
    kind = type("InMemoryDocstore", (), {"__module__": module.__name__})
    module.InMemoryDocstore = kind
    parents = {"langchain_community": ModuleType("langchain_community")}
    parents["langchain_community.docstore"] = ModuleType("langchain_community.docstore")
    sys.modules.update(parents | {module.__name__: module})
    try:
        store = kind()
        store._dict = {document.id: document for document in documents}
        rows = {row: document.id for row, document in enumerate(documents)}
        (folder / f"{name}.pkl").write_bytes(pickle.dumps((store, rows)))
    finally:
        for key in (*parents, module.__name__):
            sys.modules.pop(key)
    return folder


@pytest.fixture
def save() -> Callable[..., Path]:
    return save_as_faiss


def _word(word: str) -> np.ndarray:
    seed = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return 3 * np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(WordEncoder.dim)


@pytest.fixture
def words() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def foreign() -> WordEmbeddings:
    return WordEmbeddings()


@pytest.fixture
def documents() -> list[Document]:
    return [document.model_copy(deep=True) for document in DOCUMENTS]


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Where the stores of these fixtures lie; modules that import that of ``engines`` run over a Milvus as well."""
    return str(tmp_path / "store.dpr")


@pytest.fixture
def empty(words: WordEncoder, place: str) -> Iterator[DPRVectorStore]:
    with DPRVectorStore(words, path=place) as store:
        yield store


@pytest.fixture
def plays(empty: DPRVectorStore, documents: list[Document]) -> DPRVectorStore:
    empty.add_documents(documents)
    return empty


@pytest.fixture(autouse=True, scope="session")
def _no_implicit_event_loop() -> None:
    """Asking for a loop where none was ever set makes one, as pytest-asyncio does before its first test, and leaks it."""
    asyncio.set_event_loop(None)

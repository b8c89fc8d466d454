"""A dual encoder with two towers that differ, nodes to find, and stores to find them in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from engines import lite  # noqa: F401
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Passage

DIM = 64


@lru_cache(maxsize=4096)
def word_vector(word: str) -> np.ndarray:
    seed = hashlib.blake2b(word.lower().strip("?.,").encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(DIM).astype(np.float32)


def bag(text: str) -> np.ndarray:
    return sum((word_vector(word) for word in text.split()), np.zeros(DIM, np.float32))


class Towers:
    """Bags of hashed words; the context encoder adds a bias and weighs titles three times, so that nothing is mixed up."""

    dim = DIM
    source = "two towers"

    def __init__(self, salt: str = "") -> None:
        self.fingerprint = f"towers-{salt}"
        self._bias = word_vector(f"bias{salt}") / 4
        self.calls: list[tuple[str, int]] = []

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        self.calls.append(("questions", len(questions)))
        return np.array([bag(question) for question in questions], np.float32).reshape(-1, DIM)

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        self.calls.append(("passages", len(passages)))
        rows = [bag(one.text) + 3 * bag(one.title) + self._bias for one in passages]
        return np.array(rows, np.float32).reshape(-1, DIM)

    def score(self, question: str, text: str, title: str = "") -> float:
        """What the score must be, by numpy alone."""
        passage = Passage(id="x", text=text, title=title)
        left, right = self.encode_questions([question])[0], self.encode_passages([passage])[0]
        return float(left.astype(np.float64) @ right.astype(np.float64))


def make_node(node_id: str, text: str, source: str | None = None, **metadata: object) -> TextNode:
    relationships = {} if source is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    return TextNode(id_=node_id, text=text, metadata=metadata, relationships=relationships)


@pytest.fixture
def towers() -> Towers:
    return Towers()


@pytest.fixture
def make_towers() -> type[Towers]:
    return Towers


@pytest.fixture
def node() -> Callable[..., TextNode]:
    return make_node


def without_embeddings(nodes: Sequence[TextNode]) -> list[TextNode]:
    return [node.model_copy(update={"embedding": None}) for node in nodes]


@pytest.fixture
def bare() -> Callable[[Sequence[TextNode]], list[TextNode]]:
    """Nodes as they are beside their embeddings."""
    return without_embeddings


@pytest.fixture
def embedding(towers: Towers) -> DPREmbedding:
    return DPREmbedding(towers)


@pytest.fixture
def plays() -> list[TextNode]:
    """Three plays by two authors in two documents, and a page about something else."""
    return [
        make_node(
            "hamlet", "A prince of Denmark avenges his father", "d1", title="Hamlet", year=1601, author="Shakespeare"
        ),
        make_node(
            "macbeth", "A general of Scotland murders his king", "d1", title="Macbeth", year=1606, author="Shakespeare"
        ),
        make_node("faust", "A scholar makes a pact with the devil", "d2", title="Faust", year=1808, author="Goethe"),
        make_node("rice", "Rice boils for ten minutes", "d3", topics=["kitchen", "grain"]),
    ]


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Where the stores of these fixtures lie; modules that import that of ``engines`` run over a Milvus as well."""
    return str(tmp_path / "nodes.dpr")


@pytest.fixture
def store(towers: Towers, place: str) -> Iterator[DPRVectorStore]:
    with DPRVectorStore(place, encoder=towers) as opened:
        yield opened


@pytest.fixture
def filled(store: DPRVectorStore, plays: list[TextNode]) -> DPRVectorStore:
    store.add(plays)
    return store


@pytest.fixture(autouse=True, scope="session")
def _no_implicit_event_loop() -> None:
    """Asking for a loop where none was ever set makes one, as pytest-asyncio does before its first test, and leaks it."""
    asyncio.set_event_loop(None)

"""A deterministic encoder without network, a temporary store, and the brute-force oracle every search is held against."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

# Before dpr_rag and typer are imported: what a terminal, a proxy or a CI service sets would change what is tested.
_FOREIGN = {
    "FORCE_COLOR",
    "CLICOLOR_FORCE",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "COLUMNS",
    "LINES",
}
for _name in [
    name for name in os.environ if name in _FOREIGN or name.startswith("DPR_RAG_") or name.lower().endswith("_proxy")
]:
    if _name not in {"DPR_RAG_TEST_MILVUS", "DPR_RAG_PICTURES"}:
        del os.environ[_name]

from dpr_rag import Hit, Passage, PassageStore  # noqa: E402
from dpr_rag.filters import Filter, parse_filter  # noqa: E402

# How long an example takes is the machine's affair, as tests run beside each other; files of examples may replace one another.
# Examples do not change from run to run, so that a failure is that of a change and comes back; others are looked for by
# `pytest --hypothesis-profile=exploring`.
_UNCHECKED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("exploring", deadline=None, suppress_health_check=_UNCHECKED)
settings.register_profile("repeatable", settings.get_profile("exploring"), derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a check of a model remembers stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that fork run first, as a fork copies the tables of all memory; then those with long tests, and with most."""
    tests = Counter(item.path for item in items)
    forking = {path for path in tests if "os.fork" in path.read_text(encoding="utf-8")}
    long = {item.path for item in items if item.get_closest_marker("untraced")}
    items.sort(key=lambda item: (item.path not in forking, item.path not in long, -tests[item.path]))


_TRACED = (
    *("test_filters", "test_index", "test_passages", "test_stor"),
    *("test_calibrating", "test_copying", "test_lexical", "test_service", "test_tuning"),
)
_times_run: Counter[str] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Where coverage is measured, trace what is about its rooms alone, and of the parameters of a test the first four.

    Traced code takes twice to four times as long: these tests reach what is reached at all.
    """
    name, tracer = item.nodeid.partition("[")[0], Coverage.current()
    _times_run[name] += 1
    about_rooms = item.path.name.startswith(_TRACED) and item.get_closest_marker("untraced") is None
    if tracer is None or (about_rooms and _times_run[name] <= 4):
        return (yield)
    tracer.stop()
    try:
        return (yield)
    finally:
        tracer.start()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C and a hang-up reach the test's own processes, although a background job or ``nohup`` may have them ignored."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored, children inherit
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hang_up)


class HashEncoder:
    """Bag of hashed words: every word has a fixed random vector, a text is their sum.

    Texts that share words have large inner products, so that index recall is measured on data with structure.
    """

    def __init__(self, dim: int = 16, salt: str = "") -> None:
        self.dim = dim
        self.fingerprint = f"hash-{dim}-{salt}"
        self.source = "tests"
        self.passages_encoded = 0
        self._salt = salt

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        return self._encode(questions)

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        self.passages_encoded += len(passages)
        return self._encode([f"{passage.title} {passage.text}" for passage in passages])

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        words = [[_vector(self._salt + word, self.dim) for word in text.split()] for text in texts]
        vectors = [sum(line, np.zeros(self.dim)) for line in words]
        return np.array(vectors, dtype=np.float32).reshape(len(texts), self.dim)


@lru_cache(50_000)
def _vector(word: str, dim: int) -> np.ndarray:
    seed = hashlib.blake2b(word.encode(), digest_size=8).digest()
    vector = np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(dim)
    vector.flags.writeable = False
    return vector


class Oracle:
    """What a store must answer: a list in order of insertion, and numpy."""

    def __init__(self) -> None:
        self.passages: dict[str, Passage] = {}
        self.vectors: dict[str, np.ndarray] = {}

    def add(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        for passage, vector in zip(passages, vectors, strict=True):
            old = self.passages.get(passage.id)
            moved = old is None or (old.title, old.text) != (passage.title, passage.text)
            if moved or not np.array_equal(self.vectors[passage.id], vector):
                self.passages.pop(passage.id, None)
                self.vectors.pop(passage.id, None)
            self.passages[passage.id] = passage
            self.vectors[passage.id] = vector

    def delete(self, ids: Sequence[str]) -> int:
        gone = [one for one in dict.fromkeys(ids) if self.passages.pop(one, None) is not None]
        for one in gone:
            del self.vectors[one]
        return len(gone)

    def where(self, where: Filter | dict | None) -> list[str]:
        if where is None:
            return list(self.passages)
        parsed = parse_filter(where)
        return [one for one, passage in self.passages.items() if parsed.matches(passage)]

    def search(
        self, questions: np.ndarray, k: int, where: Filter | dict | None = None
    ) -> list[list[tuple[str, float]]]:
        """For each question the best (id, inner product) pairs, ties in order of insertion."""
        ids = self.where(where)
        if not ids:
            return [[] for _ in questions]
        vectors = np.stack([self.vectors[one] for one in ids]).astype(np.float64)
        found = []
        for question in questions.astype(np.float64):
            scores = (vectors * question).sum(axis=1)
            order = np.argsort(-scores, kind="stable")[:k]
            found.append([(ids[at], float(scores[at])) for at in order])
        return found


def assert_equals_oracle(
    store: PassageStore, oracle: Oracle, questions: np.ndarray, k: int, where: Filter | dict | None = None
) -> None:
    """Ids, order, passages and scores (1e-4 relative) of a search equal brute force."""
    for expected, hits in zip(oracle.search(questions, k, where), store.search(questions, k, where), strict=True):
        assert [hit.passage.id for hit in hits] == [one for one, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=1e-4, abs=1e-6)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert all(hit.passage == oracle.passages[hit.passage.id] for hit in hits)


def overlap(found: list[list[Hit]], expected: list[list[tuple[str, float]]]) -> float:
    """Index recall of found hits against the oracle's."""
    shares = [
        len({hit.passage.id for hit in hits} & {one for one, _ in best}) / len(best)
        for hits, best in zip(found, expected, strict=True)
    ]
    return sum(shares) / len(shares)


def clustered(count: int, dim: int, *, seed: int = 0, clusters: int = 60) -> np.ndarray:
    """Vectors around centres, as real embeddings lie; uniform noise has no neighbours to find."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(1234).standard_normal((clusters, dim))
    noise = generator.standard_normal((count, dim))
    return (centres[generator.integers(0, clusters, count)] + 0.6 * noise).astype(np.float32)


def golden_passages() -> list[Passage]:
    """What the stores in ``tests/golden/`` were filled with; ``id-5`` was deleted from each."""
    return [
        Passage(f"id-{at}", f"text {at} \x00 ü", f"title {at}", {"n": at, "list": [1, "a", None]}) for at in range(12)
    ]


def make_passages(count: int, start: int = 0) -> list[Passage]:
    """Numbered passages with metadata of different selectivity."""
    return [
        Passage(str(at), f"text number {at}", f"title {at % 7}", {"half": at % 2, "rare": at % 50, "id_number": at})
        for at in range(start, start + count)
    ]


@pytest.fixture(autouse=True, scope="session")
def _no_implicit_event_loop() -> None:
    """Asking for a loop where none was ever set makes one, as LlamaIndex does, and leaks it."""
    asyncio.set_event_loop(None)


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def store(encoder: HashEncoder, tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "store", encoder=encoder) as opened:
        yield opened

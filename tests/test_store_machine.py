"""A hypothesis state machine: any sequence of operations leaves the store equal to a dict and numpy.

Many more sequences: ``make prove PROVE=machine``.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Oracle, assert_equals_oracle
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.store import lexicon

pytestmark = pytest.mark.untraced

DIM = 4
IDS = st.sampled_from([f"p{at}" for at in range(12)])
# whole numbers give many ties, which must come in order of insertion, and exact float16 values
VECTORS = st.lists(st.integers(-3, 3), min_size=DIM, max_size=DIM)
FILTERS = st.sampled_from(
    [None, {"n": 1}, {"n": {"$gt": 1}}, {"$not": {"n": 0}}, {"title": "a"}, {"id": {"$in": ["p1", "p2"]}}]
)
PASSAGES = st.builds(
    lambda one, text, title, n: Passage(one, text, title, {} if n is None else {"n": n}),
    IDS,
    st.sampled_from(["x", "y\x00z", "ü"]),
    st.sampled_from(["", "a"]),
    st.sampled_from([None, 0, 1, 2]),
)
KINDS = ["flat", "hnsw", "ivf:nprobe=100", "fp16", "sq8"]


class StoreMachine(RuleBasedStateMachine):
    """Runs every operation on a store and on the oracle."""

    @initialize(dtype=st.sampled_from(["float32", "float16"]), index=st.sampled_from(["auto", *KINDS]))
    def create(self, dtype: str, index: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store"
        self.store = PassageStore.open(self.path, dtype=dtype, index=index)
        self.oracle = Oracle()

    @rule(
        batch=st.lists(st.tuples(PASSAGES, VECTORS), min_size=1, max_size=6, unique_by=lambda pair: pair[0].id),
        size=st.integers(1, 4),
    )
    def add(self, batch: list[tuple[Passage, list[int]]], size: int) -> None:
        passages = [passage for passage, _ in batch]
        vectors = np.array([vector for _, vector in batch], dtype=np.float32)
        before = set(self.oracle.passages)
        report = self.store.add(passages, vectors=vectors, batch_size=size)
        for start in range(0, len(batch), size):
            self.oracle.add(passages[start : start + size], vectors[start : start + size])
        assert report.added == len(set(self.oracle.passages) - before)

    @rule(ids=st.lists(IDS, max_size=5))
    def delete(self, ids: list[str]) -> None:
        assert self.store.delete(ids) == self.oracle.delete(ids)

    @rule(where=FILTERS.filter(lambda where: where is not None))
    def delete_where(self, where: dict) -> None:
        assert self.store.delete(filter=where) == self.oracle.delete(self.oracle.where(where))

    @rule(question=VECTORS, k=st.integers(1, 15), where=FILTERS)
    def search(self, question: list[int], k: int, where: dict | None) -> None:
        if self.store.info().kind != "hnsw" or k == 15:
            assert_equals_oracle(self.store, self.oracle, np.array([question], dtype=np.float32), k, where)

    @rule(word=st.sampled_from(["x", "y", "z", "ü", "nowhere"]), where=FILTERS)
    def find(self, word: str, where: dict | None) -> None:
        hits = Retriever(self.store, k=50, mode="bm25").retrieve(word, filter=where)
        holding = [
            one for one in self.oracle.where(where) if word in re.findall(r"\w+", self.oracle.passages[one].text)
        ]
        assert sorted(hit.passage.id for hit in hits) == sorted(holding)
        assert all(hit.passage == self.oracle.passages[hit.passage.id] for hit in hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @rule()
    def keep_postings(self) -> None:
        lexicon.write_postings(self.store._engine)

    @rule(index=st.sampled_from([None, *KINDS]))
    def optimize(self, index: str | None) -> None:
        self.store.optimize(index)
        assert self.store.info().tail == 0

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = PassageStore.open(self.path)

    @rule(ids=st.lists(IDS, max_size=5))
    def get(self, ids: list[str]) -> None:
        assert self.store.get(ids) == [self.oracle.passages[one] for one in ids if one in self.oracle.passages]

    @rule(where=FILTERS)
    def count(self, where: dict | None) -> None:
        assert self.store.count(where) == len(self.oracle.where(where))

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "store"):
            assert list(self.store) == list(self.oracle.passages.values())

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check().passages == len(self.oracle.passages)
            self.store.close()
            self.folder.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=100, stateful_step_count=50, suppress_health_check=list(HealthCheck))

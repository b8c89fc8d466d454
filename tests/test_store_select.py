"""What a filter keeps, without a question, in order of insertion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import VectorError


@pytest.fixture
def store() -> Iterator[PassageStore]:
    with PassageStore.temporary() as made:
        made.add([Passage(f"p{at}", "text", metadata={"n": at % 2}) for at in range(10)], vectors=np.eye(10))
        yield made


@pytest.mark.parametrize("compacted", [False, True])
def test_passages_come_in_order_of_insertion_up_to_k(store: PassageStore, compacted: bool) -> None:
    if compacted:
        store.optimize()
    store.delete(["p3"])
    store.add([Passage("p1", "new text", metadata={"n": 1})], vectors=np.ones((1, 10)))
    assert [one.id for one in store.select({"n": 1})] == ["p5", "p7", "p9", "p1"]
    assert [one.id for one in store.select({"n": 1}, 2)] == ["p5", "p7"]
    assert [one.id for one in store.select(lambda one: one.id > "p7")] == ["p8", "p9"]
    assert store.select() == list(store)
    assert store.select({"n": 7}) == []


@pytest.mark.parametrize("k", [0, -1, True, 2.5])
def test_k_is_checked(store: PassageStore, k: int) -> None:
    with pytest.raises(VectorError, match="k is"):
        store.select({"n": 1}, k)


def test_vectors_that_are_known_are_not_encoded_again(store: PassageStore) -> None:
    found = Retriever(store, k=1).retrieve_batch(["any", "words"], vectors=np.eye(10)[[4, 2]])
    assert [[hit.passage.id for hit in hits] for hits in found] == [["p4"], ["p2"]]

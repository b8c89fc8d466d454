"""One question is compared with vectors in the thread that asks; several share FAISS's threads."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import faiss
import numpy as np
import pytest

from dpr_rag import Passage, PassageStore
from dpr_rag.index.library import one_thread

VECTORS = np.eye(8, dtype=np.float32)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    yield
    faiss.omp_set_num_threads(before)


def test_no_other_thread_is_held_back() -> None:
    seen: list[int] = []

    def work() -> None:
        faiss.omp_set_num_threads(2)
        started.set()
        assert asked.wait(60)
        seen.append(faiss.omp_get_max_threads())

    started, asked = Event(), Event()
    other = Thread(target=work)
    other.start()
    assert started.wait(60)
    with one_thread():
        asked.set()
        other.join()
        seen.append(faiss.omp_get_max_threads())
    assert [*seen, faiss.omp_get_max_threads()] == [2, 1, 2]


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(ValueError, match="x"), one_thread():
        raise ValueError("x")
    assert faiss.omp_get_max_threads() == 2


@pytest.mark.parametrize(("questions", "threads"), [(1, 1), (2, 2), (5, 2)])
@pytest.mark.parametrize("exact", [False, True])
def test_threads_of_an_exact_search(questions: int, threads: int, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    knn = faiss.knn_inner_product

    def watched(*args: Any) -> Any:
        seen.append(faiss.omp_get_max_threads())
        return knn(*args)

    monkeypatch.setattr(faiss, "knn_inner_product", watched)
    with PassageStore.temporary() as store:
        store.add([Passage(str(at), "text") for at in range(8)], vectors=VECTORS)
        for of_base in (False, True):
            hits = store.search(VECTORS[:questions], 1, exact=exact)
            assert [line[0].passage.id for line in hits] == [str(at) for at in range(questions)]
            if not of_base:
                store.optimize("flat")
    assert seen == [threads] * 2
    assert faiss.omp_get_max_threads() == 2

"""A function as a filter: it answers with True or False, or nothing is searched, counted or deleted by it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import FilterError
from dpr_rag.filters import answered


async def awaited(passage: Passage) -> bool:
    return False


def yielded(passage: Passage) -> Iterator[bool]:
    yield False


async def both(passage: Passage) -> AsyncIterator[bool]:
    yield False


async def among(names: list[str], passage: Passage) -> bool:
    return passage.id in names


class Asynchronous:
    async def __call__(self, passage: Passage) -> bool:
        return False

    async def method(self, passage: Passage) -> bool:
        return False


class Yielding:
    def __call__(self, passage: Passage) -> Iterator[bool]:
        yield False


NEVER_ANSWERING: dict[str, tuple[Any, str]] = {
    "coroutine function": (awaited, "awaited, a coroutine function"),
    "generator function": (yielded, "yielded, a generator function"),
    "asynchronous generator function": (both, "both, an asynchronous generator function"),
    "partial": (partial(partial(among), ["a"]), "among, a coroutine function"),
    "object": (Asynchronous(), "Asynchronous"),
    "partial of an object": (partial(Asynchronous()), "Asynchronous"),
    "method": (Asynchronous().method, "Asynchronous.method, a coroutine function"),
    "generating object": (Yielding(), "a generator function"),
    "class": (Passage, "the class Passage"),
}
NO_ANSWERS: dict[str, tuple[Any, str]] = {
    "method that was not called": (lambda passage: passage.metadata.get, "builtin_function_or_method"),
    "string": (lambda passage: "False", "str 'False'"),
    "NotImplemented": (lambda passage: NotImplemented, "NotImplemented"),
    "None": (lambda passage: None, "NoneType None"),
    "one": (lambda passage: 1, "int 1"),
    "zero": (lambda passage: 0, "int 0"),
    "match": (lambda passage: re.match("t", passage.text), "Match"),
    "array": (lambda passage: np.array([True]), "ndarray"),
    "coroutine": (lambda passage: awaited(passage), "coroutine"),
    "cached coroutine function": (lru_cache(awaited), "coroutine"),
    "generator": (lambda passage: (one for one in [False]), "generator"),
}
ASKED: dict[str, Callable[[PassageStore, Any], object]] = {
    "count": lambda store, where: store.count(where),
    "select": lambda store, where: store.select(where),
    "delete": lambda store, where: store.delete(filter=where),
    "search": lambda store, where: store.search(np.ones((1, 2), np.float32), 3, where),
    "words": lambda store, where: Retriever(store, mode="bm25").retrieve("text", filter=where),
}


@pytest.fixture(params=["store", "view"])
def store(request: pytest.FixtureRequest) -> Iterator[PassageStore]:
    with PassageStore.temporary() as whole:
        whole.add([Passage(one, "text", metadata={"n": 1}) for one in "abc"], vectors=np.eye(3, 2, dtype=np.float32))
        yield whole if request.param == "store" else whole.restricted({"n": 1})  # type: ignore[misc]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("case", [*NEVER_ANSWERING, *NO_ANSWERS])
def test_a_function_that_does_not_answer_selects_nothing(case: str, asked: str, store: PassageStore) -> None:
    where, named = {**NEVER_ANSWERING, **NO_ANSWERS}[case]
    with pytest.raises(FilterError, match=re.escape(named)) as raised:
        ASKED[asked](store, where)
    assert "expected" in str(raised.value)
    assert len(store) == 3


@pytest.mark.parametrize("case", NEVER_ANSWERING)
def test_a_function_that_never_answers_is_refused_where_nothing_is_stored(case: str) -> None:
    where, named = NEVER_ANSWERING[case]
    with PassageStore.temporary() as empty, pytest.raises(FilterError, match=re.escape(named)):
        empty.count(where)


def test_pythons_and_numpys_truth_values_are_answers(store: PassageStore) -> None:
    years = np.array([1, 2])
    assert store.count(lambda passage: passage.id == "a") == 1
    assert store.count(lambda passage: years[1] == 2) == 3  # type: ignore[arg-type, return-value]
    assert store.count(lambda passage: np.bool_(passage.id == "b")) == 1  # type: ignore[arg-type, return-value]
    assert store.count(partial(lambda name, passage: passage.id == name, "c")) == 1
    assert answered(lambda passage: np.False_, Passage("x", "y")) is False  # type: ignore[arg-type, return-value]
    assert store.delete(filter=lambda passage: passage.id != "a") == 2

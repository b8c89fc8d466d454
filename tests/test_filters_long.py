"""Filters with very many operands: one look at each, whatever the operator, and the same meaning as for a few."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from test_filters import kept, select

from dpr_rag import PassageStore
from dpr_rag.errors import FilterError
from dpr_rag.filters import Comparison, Filter
from dpr_rag.filters.merging import merged
from dpr_rag.passages import Passage

MANY = 100_000
OPERANDS = [*range(1_000, MANY // 2), *(f"w{at}" for at in range(1_000, MANY // 2)), 0.5, 7, True, None, "w7"]


def seconds(act: Callable[[], object]) -> float:
    """What an action takes of this thread's own time."""
    started = time.thread_time()
    act()
    return time.thread_time() - started


@pytest.mark.parametrize(
    ("operator", "key", "expected"),
    [
        ("in", "n", [0, 7]),
        ("nin", "n", [at for at in range(400) if at not in (0, 7)]),
        ("in", "w", [7]),
        ("any", "list", [*range(0, 400, 2), 7]),
        ("all", "list", []),
    ],
)
def test_a_hundred_thousand_operands_are_no_burden(operator: str, key: str, expected: list[int]) -> None:
    passages = [
        Passage(str(at), "t", metadata={"n": at or 0.5, "w": f"w{at}", "list": [f"w{at}", at, at % 2 == 0, 1.0]})
        for at in range(400)
    ]
    where = Comparison(key, operator, OPERANDS)
    few = seconds(lambda: select(passages[:4], where))
    assert (
        seconds(lambda: select(passages, where)) < 20 * few
    )  # a hundred times where each passage looks at each operand
    assert select(passages, where) == sorted(expected)


def test_a_long_list_keeps_the_types_apart() -> None:
    many = [1, *range(2, MANY), "true", False]
    assert kept({"f": {"$in": many}}, 1, 1.0, True, False, 0, "1", "true", [1], None) == [1, 1.0, False, "true"]
    assert kept({"f": {"$any": many}}, [1.0], [True], [False], [0], ["1"], 1) == [[1.0], [False]]
    assert kept({"f": {"$all": [1, True, 1.0]}}, [1.0, True], [1], [True, "1"]) == [[1.0, True]]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_filter_can_be_copied_and_sent(copied) -> None:
    where = Filter.from_dict({"a": {"$in": [1, "x"]}, "$not": {"b": {"$any": [2]}}})
    hash(where)
    assert copied(where) == where
    assert copied(where).matches({"a": 1.0, "b": [3]})


MANY_PASSAGES = [Passage(str(at), "t", metadata={"n": at or 0.5, "w": f"w{at}"}) for at in range(400)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("long") / "s") as made:
        made.add(MANY_PASSAGES, vectors=np.ones((400, 2), np.float32))
        yield made


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"$or": [{"n": one} for one in OPERANDS[:MANY]]}, ["0", "7"]),
        ({"$and": [{"$not": {"n": {"$lt": 5}}}, *({"n": {"$ne": one}} for one in range(3, 300))]}, 100),
        ({"$or": [{"$or": [{"w": f"w{one}"}, {"n": {"$in": [one]}}]} for one in range(380, 10_000)]}, 20),
    ],
)
def test_a_hundred_thousand_alternatives_are_asked_as_one_list(
    store: PassageStore, where: dict, expected: int | list[str]
) -> None:
    with PassageStore.temporary() as small:
        small.add(MANY_PASSAGES[:4], vectors=np.ones((4, 2), np.float32))
        few = seconds(lambda: list(small.select(where)))
    assert seconds(lambda: list(store.select(where))) < 20 * few
    found = [one.id for one in store.select(where)]
    assert (found if isinstance(expected, list) else len(found)) == expected


@pytest.mark.parametrize(
    "where",
    [
        {"$or": [{"n": 1}, {"n": True}, {"n": [1]}, {"n": {"$in": ["1"]}}]},
        {"$or": [{"n": {"$ne": 1}}, {"n": 2}, {"n": 3}]},
        {"$and": [{"n": {"$ne": 1}}, {"n": {"$nin": [True]}}, {"n": {"$ne": [1]}}]},
        {"$and": [{"n": 1}, {"n": {"$in": [1, 2]}}]},
        {"$not": {"$or": [{"n": 1}, {"n": 2}, {"title": "x"}, {"$and": []}]}},
        {"$or": []},
    ],
)
def test_what_is_asked_as_one_list_means_the_same(where: dict) -> None:
    written = Filter.from_dict(where)
    for value in (1, 1.0, True, "1", [1], 2, None, {"m": 1}):
        assert merged(written).matches({"n": value}) is written.matches({"n": value})
    assert merged(written).matches({}) is written.matches({})


def test_what_stays_too_much_to_ask_is_refused_with_a_remedy(store: PassageStore) -> None:
    with pytest.raises(FilterError, match=r"makes 20,000 comparisons, .* expected 5,000 at most; .* one \$in"):
        store.select({f"f{at}": at for at in range(20_000)})
    for operator in ("$like", "$ilike"):
        with pytest.raises(FilterError, match=r"100,000 wildcards %, expected 1,000 at most; .*\$text_match"):
            store.select({"w": {operator: "%w" * MANY}})
    assert store.count({"w": {"$like": "%" * MANY}}) == 400

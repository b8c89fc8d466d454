"""Filters with very many operands: one look at each, whatever the operator, and the same meaning as for a few."""

from __future__ import annotations

import copy
import pickle
import time

import pytest
from test_filters import kept, select

from dpr_rag.filters import Comparison, Filter
from dpr_rag.passages import Passage

MANY = 100_000
OPERANDS = [*range(1_000, MANY // 2), *(f"w{at}" for at in range(1_000, MANY // 2)), 0.5, 7, True, None, "w7"]


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
    started = time.perf_counter()
    assert select(passages, Comparison(key, operator, OPERANDS)) == sorted(expected)
    assert time.perf_counter() - started < 15  # twenty and more seconds where each passage looks at each operand


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

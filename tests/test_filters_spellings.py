"""Spellings of neighbouring stores, and numbers of numpy: each means what it means there, or says why not."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from test_filters import kept, select

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import FilterError, PassageError
from dpr_rag.filters import And, Comparison, Filter, Not, Or, parse_filter

PASSAGES = [
    Passage("0", "t", metadata={"tag": "a", "n": 1}),
    Passage("1", "t", metadata={"tag": "B", "n": 2}),
    Passage("2", "t", metadata={"tag": ["a", "B"]}),
    Passage("3", "t", metadata={"tag": ["B", "a"], "n": 1.0}),
    Passage("4", "t", metadata={"tag": []}),
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"$and": []}, [0, 1, 2, 3, 4]),
        ({"$and": [{}, {"n": 1}]}, [0, 3]),
        ({"$or": []}, []),
        ({"$or": [{"n": 1}, {}]}, [0, 1, 2, 3, 4]),
        ({"$not": {}}, []),
        ({"$not": []}, [0, 1, 2, 3, 4]),
        ({"$not": [{"tag": "a"}]}, [1, 2, 3, 4]),
        ({"$not": [{"tag": "a"}, {"n": 2}]}, [2, 3, 4]),
        ({"tag": ["a", "c"]}, [0]),
        ({"tag": ["a", "B"]}, [0, 1, 2]),
        ({"tag": ("a", "B")}, [0, 1, 2]),
        ({"tag": []}, [4]),
        ({"tag": {"$eq": ["a", "B"]}}, [2]),
        ({"tag": {"$ne": ["a", "B"]}}, [0, 1, 3, 4]),
        ({"tag": {"$neq": "a"}}, [1, 2, 3, 4]),
        ({"tag": {"$ilike": "b%"}}, [1]),
        ({"tag": {"$not": {"$neq": "a"}}}, [0]),
        ({"tag": {"$in": {"a", "c"}}}, [0]),
        ({"tag": {"$any": {"a": 1}.keys()}}, [2, 3]),
        ({"n": {"$in": np.array([1, 3])}}, [0, 3]),
        ({"n": {"$nin": range(2)}}, [1, 2, 4]),
        ({"n": {"$between": np.array([2.0, 3.0])}}, [1]),
    ],
)
def test_a_spelling_is_read_and_written_back(where: dict, expected: list[int]) -> None:
    read = Filter.from_dict(where)
    assert select(PASSAGES, read) == expected
    assert Filter.from_dict(read.to_dict()) == read


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        ({"n": {"$in": iter([1])}}, "make one with list(…)"),
        ({"n": {"$in": np.int64(1)}}, "wrap it in [ ]"),
        ({"tag": {"$not_contains": "a"}}, '; here it is {"$not": {"$contains": …}}'),
        ({"tag": {"$nlike": "a%"}}, '; here it is {"$not": {"$like": …}}'),
        ({"tag": {"$notIn": ["a"]}}, "; here it is '$nin'"),
        ({"specs": {"screen": {"size": 5}}}, "; the field 'screen' in it is 'specs.screen'"),
        ({"n": {"gt": 5}}, "; did you mean '$gt' or '$gte'?"),
        ({"AND": [{"n": 1}]}, "; did you mean '$and'?"),
        ({"must": [{"n": 1}]}, "; here it is '$and'"),
        ({"must_not": [{"n": 1}]}, "; here it is '$not'"),
    ],
)
def test_what_is_written_otherwise_here_is_told_so(where: dict, advice: str) -> None:
    with pytest.raises(FilterError) as told:
        Filter.from_dict(where)
    assert str(told.value).endswith(advice)


def test_lists_compare_by_type_and_order() -> None:
    where = {"f": {"$eq": [1, True, "a\0", None]}}
    assert kept(where, [1.0, True, "a\0", None], [1, 1, "a\0", None], [1, True, "a\0"], "x") == [
        [1.0, True, "a\0", None]
    ]
    assert kept({"f": {"$eq": [0.1]}}, [0.1], [[0.1]], 0.1, {"0": 0.1}) == [[0.1]]


def test_built_filters_may_be_empty() -> None:
    assert select(PASSAGES, Not(Or(()))) == select(PASSAGES, And([])) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("where", [{}, {"$and": []}, {"$or": []}, {"$not": []}])
def test_a_filter_that_asks_about_nothing_deletes_nothing(where: dict, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.add(PASSAGES, vectors=np.ones((5, 4), np.float32))
        with pytest.raises(FilterError, match=r"asks about no field.*\$exists"):
            store.delete(filter=where)
        assert len(store) == 5
        assert [one.id for one in store.select({})] == ["0", "1", "2", "3", "4"]
        assert store.delete(filter={"id": {"$exists": True}}) == 5


NUMBERS = [np.int64(1), np.int32(-7), np.uint8(3), np.bool_(True), np.float32(0.5), np.float16(2), np.float64(1.5)]


@pytest.mark.parametrize("number", [*NUMBERS, np.str_("x")])
def test_numbers_of_numpy_are_what_they_say(number: np.generic) -> None:
    plain = number.item()
    one = Passage("1", "t", metadata={"a": number, "b": {"c": [number]}})
    assert one.metadata == {"a": plain, "b": {"c": [plain]}}
    assert type(one.metadata["a"]) is type(one.metadata["b"]["c"][0]) is type(plain)
    for where in [{"a": number}, {"a": {"$in": [number]}}, {"b.c": {"$all": [number]}}, {"b.c": {"$contains": number}}]:
        assert select([one, Passage("2", "t")], Filter.from_dict(where)) == [0]
    assert Filter.from_dict({"a": number}).matches({"a": number})


def test_numpy_stands_wherever_an_operand_does() -> None:
    assert kept({"f": {"$between": [np.int64(1), np.float32(2)]}}, 1, 3) == [1]
    assert kept({"f": {"$lt": np.int64(2)}}, 1, 3) == [1]
    assert kept({"f": {"$exists": np.bool_(True)}}, 1) == [1]
    assert Comparison("f", "eq", np.int64(1)).to_dict() == {"f": {"$eq": 1}}


@pytest.mark.parametrize(
    "value",
    [np.array(1), np.array([1]), np.datetime64(1, "ns"), np.timedelta64(1, "ns"), np.complex64(1), np.bytes_(b"x")],
)
def test_what_is_no_number_of_json_stays_refused(value: object) -> None:
    with pytest.raises(PassageError, match="expected a JSON value"):
        Passage("1", "t", metadata={"a": value})
    with pytest.raises(FilterError, match="expected a string, a 64-bit integer"):
        Filter.from_dict({"a": value})


@pytest.mark.parametrize("value", [np.float32("nan"), np.float16("inf"), np.uint64(2**63)])
def test_numbers_that_no_store_holds_stay_refused(value: object) -> None:
    with pytest.raises(PassageError, match=r"JSON cannot hold|outside the 64-bit"):
        Passage("1", "t", metadata={"a": value})
    with pytest.raises(FilterError, match="finite float"):
        Filter.from_dict({"a": value})


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (date(2024, 1, 2), "a date for example as .isoformat()"),
        (UUID(int=1), "give what the metadata hold for it"),
        (b"x", "give what the metadata hold for it"),
        (float("nan"), "compare with a number in these bounds"),
        (2**70, "compare with a number in these bounds"),
        ({1, 2}, "by $in"),
    ],
)
def test_a_value_that_is_no_json_is_refused_with_advice_that_fits_it(value: object, advice: str) -> None:
    with pytest.raises(FilterError, match=f"; .*{re.escape(advice)}"):
        parse_filter({"year": value})

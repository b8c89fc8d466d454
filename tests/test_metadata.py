"""Metadata of any kind as JSON, by the table in the docstring of ``to_json_metadata``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pydantic
import pytest

from dpr_rag import Filter, Passage, to_json_metadata
from dpr_rag.errors import PassageError

PARIS = timezone(timedelta(hours=2))
MOMENT = datetime(2024, 5, 1, 1, 30, tzinfo=PARIS)


class Kind(Enum):
    PLAY = "play"
    DAY = date(2024, 5, 1)


class Level(IntEnum):
    HIGH = 3


class Name(StrEnum):
    ANN = "ann"


class Author(pydantic.BaseModel):
    name: str
    born: date
    tags: set[str] = set()


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    page: int
    at: Any


Pair = namedtuple("Pair", "a b")


class NaTType:
    """As pandas names its missing time."""


TABLE: list[tuple[Any, Any]] = [
    ("ä", "ä"),
    (np.str_("s"), "s"),
    (True, True),
    (None, None),
    (2.5, 2.5),
    (math.nan, None),
    (-math.inf, None),
    (np.float32("nan"), None),
    (NaTType(), None),
    (2**63 - 1, 2**63 - 1),
    (2**63, "9223372036854775808"),
    (MOMENT, "2024-04-30T23:30:00+00:00"),
    (datetime(2024, 5, 1, 1, 30, 0, 5), "2024-05-01T01:30:00.000005"),
    (date(2024, 5, 1), "2024-05-01"),
    (date(33, 4, 3), "0033-04-03"),
    (time(1, 30), "01:30:00"),
    (timedelta(hours=1, milliseconds=500), 3600.5),
    (Decimal("19.99"), 19.99),
    (Decimal("20.00"), 20),
    (Decimal("NaN"), None),
    (Decimal("1e40"), "1" + "0" * 40),
    (Decimal("sNaN"), None),
    (Decimal("-Infinity"), None),
    (Decimal(10**400), "1" + "0" * 400),
    (Decimal("1e-99999"), 0.0),
    (10**4299, "1" + "0" * 4299),
    (Fraction(1, 4), 0.25),
    (Fraction(10**400, 1), "1" + "0" * 400),
    (Fraction(1, 10**5000), 0.0),
    (Kind.PLAY, "play"),
    (Kind.DAY, "2024-05-01"),
    (Level.HIGH, 3),
    (Name.ANN, "ann"),
    (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (PurePosixPath("a/b.txt"), "a/b.txt"),
    (Path("a"), "a"),
    (ip_address("::1"), "::1"),
    (b"\x00\xff", "AP8="),
    (bytearray(b"a"), "YQ=="),
    (memoryview(b"a"), "YQ=="),
    ((1, (2,)), [1, [2]]),
    (deque([1]), [1]),
    (range(3), [0, 1, 2]),
    (Pair(1, date(2024, 5, 1)), [1, "2024-05-01"]),
    ({10, 9, 1}, [1, 9, 10]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({1, "a", None}, ["a", 1, None]),
    ({}.keys(), []),
    (np.int64(5), 5),
    (np.bool_(True), True),
    (np.float16(0.5), 0.5),
    (np.datetime64("2024-05-01"), "2024-05-01"),
    (np.datetime64("2024-05-01T01:30:00.000005000", "ns"), "2024-05-01T01:30:00.000005"),
    (np.datetime64("2024-05-01T01", "h"), "2024-05-01T01:00:00"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(1500, "ms"), 1.5),
    (np.timedelta64(2, "D"), 172800.0),
    (np.array([[1, 2], [3, 4]], dtype=np.uint8), [[1, 2], [3, 4]]),
    (np.array(5.5), 5.5),
    (np.array([1.0, np.nan]), [1.0, None]),
    (np.array(["2024-05-01", "NaT"], dtype="datetime64[ns]"), ["2024-05-01T00:00:00", None]),
    (np.array("2024-05-01T00:00:01", dtype="datetime64[ns]"), "2024-05-01T00:00:01"),
    (np.array([1, "a", None], dtype=object), [1, "a", None]),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (OrderedDict(b=(1,)), {"b": [1]}),
    (
        {1: "a", date(2024, 5, 1): "b", None: "c", Level.HIGH: "d", False: "e"},
        {"1": "a", "2024-05-01": "b", "null": "c", "3": "d", "false": "e"},
    ),
    (
        Author(name="Ann", born=date(1950, 1, 2), tags={"b", "a"}),
        {"name": "Ann", "born": "1950-01-02", "tags": ["a", "b"]},
    ),
    (Place(3, Place(4, {1})), {"page": 3, "at": {"page": 4, "at": [1]}}),
]


@pytest.mark.parametrize(
    ("given", "made"), TABLE, ids=[f"{at}-{type(given).__name__}" for at, (given, _) in enumerate(TABLE)]
)
def test_table_by_value(given: Any, made: Any) -> None:
    found = to_json_metadata({"field": given})
    assert found == {"field": made}
    assert repr(found) == repr({"field": made})  # neither numpy's own types nor True for 1
    assert to_json_metadata(found) == found
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert Passage("1", "text", metadata=found).metadata == found


def test_the_given_metadata_stay_as_they_are() -> None:
    given = {"a": [date(2024, 5, 1)], "b": {"c": (1,)}}
    to_json_metadata(given)["b"]["c"].append(2)
    assert given == {"a": [date(2024, 5, 1)], "b": {"c": (1,)}}


class Unknown:
    def __getattr__(self, name: str) -> Any:
        return lambda: "whatever is asked of it"

    def __repr__(self) -> str:
        return "<unknown>"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Unknown(), r"metadata\['field'\] is Unknown <unknown>, of which no JSON form is known"),
        (Unknown, "of which no JSON form is known"),
        (Author, "of which no JSON form is known"),
        (pydantic.SecretStr("word"), r"SecretStr\('\*+'\)"),
        (1j, "complex"),
        (np.complex64(1), "complex"),
        (iter([1]), "iterator"),
        (np.timedelta64(1, "M"), "timedelta64"),
        (np.datetime64("12024-01-01T00:00:00"), "datetime64"),
        (datetime.min.replace(tzinfo=PARIS), "outside of the years 1 to 9999"),
        ({(1, 2): 3}, r"has the key tuple \(1, 2\)"),
        ({1: "a", "1": "b"}, "two keys that are '1' as JSON"),
    ],
)
def test_what_has_no_form_is_refused_by_its_place(given: Any, told: str) -> None:
    with pytest.raises(PassageError, match=told):
        to_json_metadata({"field": given})


def test_what_holds_itself_ends_in_an_error() -> None:
    given: dict[str, Any] = {"list": []}
    given["list"].append(given)
    with pytest.raises(PassageError, match="nested deeper than 32 levels, or within itself"):
        to_json_metadata(given)
    with pytest.raises(PassageError, match="nested deeper"):
        to_json_metadata({"a": Unknown()}, default=lambda one: one)
    with pytest.raises(PassageError, match="metadata is list"):
        to_json_metadata([1])  # type: ignore[arg-type]


def test_a_default_makes_something_of_the_rest() -> None:
    assert to_json_metadata({"a": Unknown(), "b": [1j]}, default=str) == {"a": "<unknown>", "b": ["1j"]}
    assert to_json_metadata({"a": 1j}, default=lambda one: {one.real, one.imag}) == {"a": [0.0, 1.0]}


def test_strings_of_moments_are_in_the_order_of_time() -> None:
    zones = [UTC, PARIS, timezone(-timedelta(hours=11, minutes=30)), timezone(timedelta(hours=14))]
    start = datetime(1999, 12, 31, 20, tzinfo=UTC)
    steps = [
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(milliseconds=500),
        timedelta(seconds=1),
        timedelta(hours=9),
    ]
    moments = [(start + at * step).astimezone(zone) for at in range(1, 4) for step in steps for zone in zones]
    made = {moment: to_json_metadata({"t": moment})["t"] for moment in moments}
    for first in moments:
        for second in moments:
            assert (made[first] < made[second], made[first] == made[second]) == (first < second, first == second)
            assert Filter.from_dict({"t": {"$lt": made[second]}}).matches({"t": made[first]}) is (first < second)
    assert all(datetime.fromisoformat(text) == moment for moment, text in made.items())


@pytest.mark.parametrize("given", [date(2024, 5, 1), math.nan, 2**70, {1, 2}, np.zeros(2), {1: 2}])
def test_a_refusal_of_metadata_names_the_helper(given: Any) -> None:
    with pytest.raises(
        PassageError,
        match=r"or all of the metadata with dpr_rag\.to_json_metadata\(metadata\), as .* on_metadata='convert'$",
    ):
        Passage("1", "text", metadata={"field": given})


LARGE = [
    10**5000,
    Fraction(10**400, 3),
    Fraction(10**5000, 3),
    Decimal("1e5000"),
    Decimal("1e999999999"),
    {10**5000: 1},
]


@pytest.mark.parametrize(
    "value", [*LARGE, Decimal("1" * 400 + ".5"), [10**5000], {10**5000}], ids=lambda one: type(one).__name__
)
def test_numbers_that_json_cannot_hold_are_refused_by_name(value: Any) -> None:
    with pytest.raises(
        PassageError, match=r"metadata\['x'\].* is a number beyond the floats, or an integer of more than 4300 digits"
    ):
        to_json_metadata({"x": value})


def test_keys_that_become_one_by_their_surrogates_are_refused() -> None:
    with pytest.raises(PassageError, match=r"metadata\['x'\] has two keys that are '😀' as JSON"):
        to_json_metadata({"x": {"\ud83d\ude00": 1, "😀": 2}})

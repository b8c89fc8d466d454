"""A passage without a title has no field ``title``: the same by plain evaluation, by SQL and by the columns of a base."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import PRIVATE_KEY, Filter, Passage, PassageStore
from dpr_rag.filters import HIDDEN_ID, OPERATORS, Comparison, kept_field
from dpr_rag.filters.expression import Not
from dpr_rag.storage import collecting
from dpr_rag.storage.reader import StoreReader

PASSAGES = [
    Passage("titled", "t", "Hamlet"),
    Passage("untitled", "t"),
    Passage("own", "t", "", {"title": "Faust", "id": "x"}),
    Passage("blank", "t", "Hamlet", {"title": "", "id": 7}),
    Passage("nul", "t\0", "", {"x": "\0"}),
    Passage("node", "t", "", {PRIVATE_KEY: ["node:node", "source:d1", ["{}"], "source:d2"]}),
    Passage("lone", "t", "", {PRIVATE_KEY: ["node:lone", "itself:lone", ["{}"]], "id": None}),
    Passage("odd", "t", "", {PRIVATE_KEY: {"a": "source:d1"}, f"{PRIVATE_KEY}:kept:source": "d1", HIDDEN_ID: "odd"}),
    Passage("text", "t", "", {PRIVATE_KEY: "source:d1"}),
]
OPERANDS = {
    **{"in": ["Hamlet", "", "d1", "own"], "nin": ["Hamlet", "d1"], "between": ["", "z"], "any": [""], "all": []},
    **{"like": "%", "ilike": "%", "text_match": "", "text_match_insensitive": "", "is_empty": True, "exists": True},
    **{
        "lt": "Z",
        "lte": "zz",
        "gt": "",
        "gte": "d1",
        "eq": "",
        "ne": "d1",
        "contains": "",
        "startswith": "",
        "endswith": "",
    },
}


def kept(where: Filter) -> list[str]:
    return [passage.id for passage in PASSAGES if where.matches(passage)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": {"$lt": "Z"}}, ["titled", "own", "blank"]),
        ({"title": {"$lt": "A"}}, ["blank"]),
        ({"title": ""}, ["blank"]),
        ({"title": {"$in": ["", "Faust"]}}, ["own", "blank"]),
        ({"title": {"$like": "%"}}, ["titled", "own", "blank"]),
        ({"title": {"$exists": True}}, ["titled", "own", "blank"]),
        ({"title": {"$is_empty": False}}, ["titled", "own"]),
    ],
)
def test_an_empty_title_is_a_missing_field(where: dict, expected: list[str]) -> None:
    assert kept(Filter.from_dict(where)) == expected


@pytest.mark.parametrize("operator", ["exists", "ne", "nin", "is_empty"])
def test_a_missing_title_matches_negations_and_is_empty_alone(operator: str) -> None:
    operand = {"exists": False, "nin": ["Hamlet"], "is_empty": True}.get(operator, "Hamlet")
    found = kept(Comparison("title", operator, operand))
    assert set(found) >= {"untitled", "nul", "node", "lone", "odd", "text"}
    assert "titled" not in found


def test_what_an_adapter_keeps_is_a_field_that_metadata_cannot_feign() -> None:
    assert kept(Comparison(kept_field("source"), "eq", "d1")) == ["node"]
    assert kept(Comparison(kept_field("itself"), "exists", True)) == ["lone"]
    assert kept(Comparison(HIDDEN_ID, "exists", True)) == ["own", "blank", "lone"]
    assert kept(Comparison(HIDDEN_ID, "in", ["own", "titled"])) == ["own"]


@pytest.mark.parametrize(
    "field", ["title", "id", HIDDEN_ID, kept_field("source"), kept_field("itself"), kept_field("x'")]
)
@pytest.mark.parametrize("operator", OPERATORS)
def test_sql_and_columns_say_the_same(
    field: str, operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Comparison(field, operator, OPERANDS[operator])
    with PassageStore.open(tmp_path / "s") as store:
        store.add(PASSAGES, vectors=np.ones((len(PASSAGES), 4), np.float32))
        for one in (where, Not(where)):
            expected = kept(one)
            assert [passage.id for passage in PASSAGES if passage.id in _found(store, one)] == expected
        store.optimize()
        monkeypatch.setattr(StoreReader, "prove_passages", _refuse)
        for one in (where, Not(where)):
            assert _found(store, one) == set(kept(one))


def _found(store: PassageStore, where: Filter) -> set[str]:
    (hits,) = store.search(np.ones((1, 4), np.float32), 20, where)
    assert store.count(where) == len(hits)
    return {hit.passage.id for hit in hits}


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("all passages were read")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_missing_field_matches_what_the_page_says_and_nothing_else(operator: str) -> None:
    empty = Passage("1", "t")
    matched = [
        value
        for value in ((True, False) if operator in ("exists", "is_empty") else (OPERANDS[operator],))
        if Comparison("year", operator, value).matches(empty)
    ]
    assert matched == {"ne": [OPERANDS["ne"]], "nin": [OPERANDS["nin"]], "exists": [False]}.get(operator, [])
    assert Not(Comparison("year", operator, OPERANDS[operator])).matches(empty) == (operator not in ("ne", "nin"))
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "filters.md").read_text("utf-8")
    (rule,) = (line for line in page.splitlines() if line.startswith("- A missing field matches"))
    assert set(re.findall(r"\$(\w+)", rule)) == {"ne", "nin", "exists", "not"}


def test_what_an_adapter_keeps_can_change_in_place(tmp_path: Path) -> None:
    row = np.ones((1, 4), np.float32)
    with PassageStore.open(tmp_path / "s") as store:
        store.add([Passage("1", "t", metadata={PRIVATE_KEY: ["node:1", "source:d1"]})], vectors=row)
        store.optimize()
        store.add([Passage("1", "t", metadata={PRIVATE_KEY: ["node:1", "source:d2"]})], vectors=row)
        assert store.count(Comparison(kept_field("source"), "eq", "d2")) == 1
        assert store.count(Comparison(kept_field("source"), "eq", "d1")) == 0


def test_columns_collected_by_other_rules_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.add(PASSAGES, vectors=np.ones((len(PASSAGES), 4), np.float32))
        with monkeypatch.context() as context:
            context.setattr(collecting, "RULES", 1)
            context.setattr(
                collecting, "seen_of", lambda passage: {"id": passage.id, "title": passage.title} | passage.metadata
            )
            store.optimize()
        assert _found(store, Comparison("title", "lt", "A")) == {"blank"}
        store.check()

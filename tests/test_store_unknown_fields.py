"""A filter that keeps nothing because no passage has its field: said once, with the name that was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import Passage, PassageStore
from dpr_rag.filters import Filter
from dpr_rag.store import lookup

ONE = np.ones((1, 2), np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s") as made:
        metadata = [{"lang": "en", "specs": {"acts": 5}}, {"lang": "de", "secret": 1}]
        made.add([Passage(str(at), "text", metadata=one) for at, one in enumerate(metadata)], vectors=np.eye(2))
        yield made


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "dpr_rag.store.unknown_fields"]


@pytest.mark.parametrize("how", ["search", "select", "count", "delete"])
def test_a_field_that_no_passage_has_is_said_once(
    store: PassageStore, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    for _ in range(2):
        for where in ({"lagn": "en"}, Filter.from_dict({"lagn": {"$gt": "a"}})):
            found = store.search(ONE, 3, where) if how == "search" else getattr(store, how)(filter=where)
            assert found in (0, [], [[]])
    (message,) = said(caplog)
    expected = (
        "no passage has a field 'lagn'; did you mean 'lang'? (fields: id, lang, secret, specs, specs.acts, title)"
    )
    assert message == expected


@pytest.mark.parametrize(
    "where",
    [
        {"lang": "fr"},
        {"lagn": {"$ne": "en"}},
        {"lagn": {"$exists": True}},
        {"$or": [{"lagn": "en"}, {"lang": "en"}]},
        {"$or": [{"lagn": "en"}, {"lagn": {"$exists": False}, "lang": "fr"}]},
        lambda passage: False,
    ],
)
def test_nothing_is_said_where_the_field_is_there_or_passages_were_found(
    store: PassageStore, caplog: pytest.LogCaptureFixture, where: object
) -> None:
    store.search(ONE, 3, where)
    assert said(caplog) == []


def test_titles_that_no_passage_has_are_not_suggested_in_their_own_place(
    store: PassageStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.count({"title": "Hamlet"}) == 0
    (message,) = said(caplog)
    assert message == "no passage has a field 'title' (fields: id, lang, secret, specs, specs.acts)"


def test_of_an_empty_store_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PassageStore.open(tmp_path / "empty") as empty:
        assert empty.count({"lagn": 1}) == 0
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("where", "wanted", "operator", "there"),
    [
        ({"year": "2020"}, "text", "eq", "a number"),
        ({"year": {"$startswith": "20"}}, "text", "startswith", "a number"),
        ({"year": {"$in": ["2020", True]}}, "a truth value or text", "in", "a number"),
        ({"specs.acts": {"$gt": "4"}}, "text", "gt", "a number"),
        ({"$and": [{"tags": "a"}, {"lang": "en"}]}, "text", "eq", "a list"),
        ({"lang": {"$contains": "en"}}, "a list", "contains", "text"),
        ({"lang": {"$between": [1, 2]}}, "a number", "between", "text"),
        ({"id": 1}, "a number", "eq", "text"),
    ],
)
def test_a_type_that_no_passage_has_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: dict, wanted: str, operator: str, there: str
) -> None:
    metadata = {"lang": "en", "year": 2020, "specs": {"acts": 5}, "tags": ["a"]}
    with PassageStore.open(tmp_path / "typed") as store:
        store.add([Passage("1", "text", metadata=metadata)], vectors=np.eye(1, 2))
        for _ in range(2):
            assert store.count(where) == 0
            assert store.search(ONE, 3, where) == [[]]
    (message,) = said(caplog)
    field = next(name for name in ("specs.acts", "year", "tags", "lang", "id") if name in str(where))
    advice = ", and contains, any and all look into lists" if there == "a list" else ""
    assert message == (
        f"no passage has {wanted} in the field {field!r}, where {operator} expects it (there is {there}); "
        f"values are not converted{advice}"
    )


def test_what_was_looked_at_is_not_counted_again(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    real = lookup.count
    monkeypatch.setattr(lookup, "count", lambda *given: counted.append(given) or real(*given))
    assert store.search(ONE, 3, {"lang": "fr"}) == [[]]
    assert counted
    counted.clear()
    assert store.search(ONE, 3, {"lang": "it"}) == [[]]
    assert not counted


def test_no_type_is_said_where_a_value_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PassageStore.open(tmp_path / "typed") as store:
        passages = [Passage(str(at), "text", metadata={"v": value}) for at, value in enumerate((1, "b", False, None))]
        store.add(passages, vectors=np.eye(4))
        for where in ({"v": 2}, {"v": "a"}, {"v": True}, {"v": {"$lt": 0.5}}, {"v": {"$ne": 1}, "id": "9"}):
            assert store.count(where) == 0
    assert said(caplog) == []


def test_a_view_tells_its_own_fields_alone(store: PassageStore, caplog: pytest.LogCaptureFixture) -> None:
    view = store.restricted({"lang": "en"})
    assert view.count({"secret": 1}) == 0
    (message,) = said(caplog)
    assert message == "no passage has a field 'secret' (fields: id, lang, specs, specs.acts, title)"

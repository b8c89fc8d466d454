"""What adapters ask of a store beyond retrieval, over a folder and over an engine: marks, views, what cannot be filled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import HashEncoder
from engines import lite, place  # noqa: F401  # what runs over both

from dpr_rag import PRIVATE_KEY, Passage, RemoteStore, open_store
from dpr_rag.errors import FilterError, RepeatedIdError, StoreError, StoreReadOnlyError
from dpr_rag.fillable import FilledStore, filled, is_fillable


def made(passage_id: str, source: str, mark: str | None = None, text: str = "", **metadata: object) -> Passage:
    kept = [f"node:{passage_id}", f"source:{source}", ["{}"], *([] if mark is None else [mark])]
    return Passage(passage_id, text or f"text {source}", "", {**metadata, PRIVATE_KEY: kept})


@pytest.fixture
def store(place: str) -> Iterator[FilledStore]:  # noqa: F811
    with open_store(place, encoder=HashEncoder()) as opened:
        yield filled(opened)


def ids(passages: list[Passage]) -> list[str]:
    return [one.id for one in passages]


def test_passages_are_found_by_marks_exactly_and_in_order(store: FilledStore) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    store.add([made("1", "b"), made("2", "a", "=x"), made("3", composed), made("4", apart), made("5", "b", "=y")])
    store.add([Passage("6", "of nobody", "", {"source": "b"})])
    marks = store.private
    assert ids(marks.marked(["source:b"])) == ["1", "5"]
    assert ids(marks.marked(["=y", "source:a"])) == ["2", "5"]
    assert ids(marks.marked([f"source:{composed}"])) == ["3"]
    assert ids(marks.marked([f"source:{apart}"])) == ["4"]
    assert marks.marked(["node:1", "source:", "\ud800"]) == marks.marked([]) == []
    assert marks.delete_marked(["source:b", "source:nobody"]) == 2
    assert ids(list(store)) == ["2", "3", "4", "6"]


def test_many_marks_are_asked_at_once(store: FilledStore) -> None:
    store.add([made(str(at), f"s{at % 7}", f"={at}") for at in range(60)])
    assert ids(store.private.marked(f"={at}" for at in range(2_500))) == [str(at) for at in range(60)]


def test_a_passage_takes_the_place_of_what_says_the_same(store: FilledStore) -> None:
    store.add([made("old", "a", text="same"), made("other", "a", text="else"), made("last", "a", text="same")])
    encoded = store.encoder.passages_encoded
    vectors = list(store.get_vectors(["old"]).values())
    instead = {"new": ["old", "other", "last", "nobody"]}
    report = store.private.add([made("new", "a", text="same"), made("last", "a")], vectors=vectors * 2, instead=instead)
    assert (report.added, report.replaced, report.unchanged) == (0, 2, 0)
    assert ids(list(store)) == ["other", "new", "last"]
    assert store.encoder.passages_encoded == encoded


def test_a_view_finds_and_deletes_its_own_by_marks(store: FilledStore) -> None:
    store.add([made("1", "s", tenant="a", text="same"), made("2", "s", tenant="b", text="same")])
    view = store.restricted({"tenant": "a"})
    assert ids(view.private.marked(["source:s"])) == ["1"]
    view.private.add([view.admitted(made("3", "s", text="same"))], instead={"3": ["1", "2"]})
    assert [(one.id, one.metadata["tenant"]) for one in store] == [("2", "b"), ("3", "a")]
    assert view.private.delete_marked(["source:s"]) == 1
    assert ids(list(store)) == ["2"]


def test_ids_that_come_twice_are_refused(store: FilledStore) -> None:
    with pytest.raises(RepeatedIdError, match="nothing was stored"):
        store.private.check_repeats([made("1", "a"), made("1", "b")])
    store.private.check_repeats([made("1", "a"), made("1", "a")])


def test_a_store_opened_read_only_says_so(store: FilledStore, place: str) -> None:  # noqa: F811
    store.add([made("1", "a")])
    with open_store(place, encoder=HashEncoder(), read_only=True) as reading:
        assert (filled(reading).read_only, store.read_only, store.is_temporary) == (True, False, False)
        with pytest.raises(StoreReadOnlyError):
            filled(reading).private.delete_marked(["source:a"])
    assert ids(store.private.marked(["source:a"])) == ["1"]


def test_a_function_that_does_not_answer_selects_and_deletes_nothing(store: FilledStore) -> None:
    store.add([made("1", "a"), made("2", "b")])
    question = store.encode_questions(["text"])
    for ask in (
        lambda where: store.select(where),
        lambda where: store.count(where),
        lambda where: store.search(question, 2, where),
        lambda where: store.delete(filter=where),
        lambda where: store.delete(["1"], filter=where),
        lambda where: store.restricted({"id": "1"}).delete(filter=where),
    ):
        with pytest.raises(FilterError, match=r"str 'False' about passage '[12]', expected"):
            ask(lambda passage: "False")
    assert store.count() == 2


def test_what_lies_behind_a_service_is_not_filled() -> None:
    remote = RemoteStore("http://127.0.0.1:9")
    assert not is_fillable(remote)
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9 can be searched but not filled from here"):
        filled(remote)

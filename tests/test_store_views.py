"""A view of a store: its filter can be narrowed by whoever asks, and by nothing be widened."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_rag import BM25, PRIVATE_KEY, Diversity, Filter, Passage, PassageStore, Ranking, Retriever
from dpr_rag.errors import FilterError, PassageError, StoreError, StoreReadOnlyError

COUNT = 12
OF_A, OF_B = [f"a{at}" for at in range(COUNT)], [f"b{at}" for at in range(COUNT)]
WORDS = ("apple", "pear", "plum")

ATTACKS: dict[str, Any] = {
    "none": None,
    "empty": {},
    "the other": {"tenant": "b"},
    "either": {"$or": [{"tenant": "b"}, {"tenant": "a"}]},
    "or of nothing else": {"$or": [{"id": {"$exists": True}}]},
    "not mine": {"$not": {"tenant": "a"}},
    "not of a list": {"$not": [{"tenant": "a"}, {"tenant": "c"}]},
    "unequal": {"tenant": {"$ne": "a"}},
    "not in": {"tenant": {"$nin": ["a"]}},
    "among": {"tenant": {"$in": ["a", "b"]}},
    "a list": {"tenant": ["a", "b"]},
    "like": {"tenant": {"$like": "%"}},
    "twice not": {"$not": {"$not": {"$or": [{"tenant": "b"}, {}]}}},
    "no and": {"$and": []},
    "by id": {"id": {"$in": OF_B}},
    "predicate": lambda passage: True,
    "predicate on others": lambda passage: passage.metadata.get("tenant") == "b",
    "expression": Filter.from_dict({"tenant": {"$exists": True}}),
}
REFUSED: dict[str, Any] = {
    "nor": {"$nor": [{"tenant": "a"}]},
    "where": {"$where": "1"},
    "a list of filters": [{"tenant": "b"}],
    "a text": "tenant = 'b'",
    "deep": None,
}
deep: dict[str, Any] = {"tenant": "b"}
for _ in range(50):
    deep = {"$not": deep}
REFUSED["deep"] = deep


def passages(tenant: str) -> list[Passage]:
    return [
        Passage(f"{tenant}{at}", f"{WORDS[at % 3]} of {tenant}", metadata={"tenant": tenant, "n": at})
        for at in range(COUNT)
    ]


class Bags:
    """Counts of words, so that nothing but the texts decides."""

    dim, fingerprint = 8, "bags"

    def encode_questions(self, questions: Any) -> np.ndarray:
        return np.array([[1 + one.count(word) for word in (*WORDS, *"abcde")] for one in questions], np.float32)

    def encode_passages(self, given: Any) -> np.ndarray:
        return self.encode_questions([one.text for one in given])


@pytest.fixture(params=[False, True], ids=["tail", "base"])
def whole(request: pytest.FixtureRequest) -> Iterator[PassageStore]:
    with PassageStore.temporary(encoder=Bags()) as store:
        store.add([one for pair in zip(passages("a"), passages("b"), strict=True) for one in pair])
        if request.param:
            store.optimize()
        yield store


@pytest.fixture
def view(whole: PassageStore) -> PassageStore:
    return whole.restricted({"tenant": "a"})


def expected(whole: PassageStore, where: Any) -> set[str]:
    """What the view may show, by plain Python."""
    keeps = where if callable(where) else (Filter.from_dict(where) if isinstance(where, dict) else where)
    matches = keeps if callable(keeps) else (lambda one: keeps is None or keeps.matches(one))
    return {one.id for one in whole if one.metadata["tenant"] == "a" and matches(one)}


def ids(found: Any) -> set[str]:
    return {one.passage.id for hits in found for one in hits}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_filter_widens_any_search(whole: PassageStore, view: PassageStore, attack: str) -> None:
    where, mine = ATTACKS[attack], expected(whole, ATTACKS[attack])
    vectors = np.ones((1, 8), np.float32)
    words = {one for one in mine if int(one[1:]) % 3 != 2}  # those that hold "apple" or "pear"
    asked = ["apple pear"]
    assert ids(view.search(vectors, 99, where)) == mine
    assert ids(view.search(vectors, 99, where, exact=True, min_relevance=0.0)) == mine
    assert ids(view.search(vectors, 99, where, diversity=Diversity(99, 0.5))) == mine
    assert ids(view.rank(asked, 99, where)) == mine
    assert ids(view.rank(asked, 99, where, ranking=Ranking("bm25"))) == words
    assert ids(view.rank(asked, 99, where, ranking=Ranking("bm25", bm25=BM25(phrases=0.5)))) == words
    assert ids(view.rank(asked, 99, where, ranking=Ranking("hybrid"))) == mine
    assert ids(view.rank(asked, 99, where, ranking=Ranking("hybrid", fusion="rrf"))) == mine
    assert ids([Retriever(view, k=99).retrieve(asked[0], filter=where)]) == mine
    assert ids(Retriever(view, k=99).retrieve_by_vectors(vectors, filter=where)) == mine
    assert {one.id for one in view.select(where)} == mine
    assert view.count(where) == len(mine)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_filter_deletes_what_is_outside(whole: PassageStore, view: PassageStore, attack: str) -> None:
    where, mine = ATTACKS[attack], expected(whole, ATTACKS[attack])
    if (isinstance(where, dict) and attack in ("empty", "no and")) or where is None:
        with pytest.raises((FilterError, StoreError)):
            view.delete(filter=where)
        mine = set()
    else:
        assert view.delete(filter=where) == len(mine)
    assert {one.id for one in whole} == {*OF_A, *OF_B} - mine
    whole.check()


@pytest.mark.parametrize("attack", REFUSED)
def test_what_is_no_filter_is_refused(view: PassageStore, attack: str) -> None:
    for call in (lambda: view.select(REFUSED[attack]), lambda: view.delete(filter=REFUSED[attack])):
        with pytest.raises(FilterError):
            call()


def test_ids_of_others_are_neither_got_nor_deleted_nor_replaced(whole: PassageStore, view: PassageStore) -> None:
    assert [one.id for one in view.get(["b1", "a2", "nowhere", "a1"])] == ["a2", "a1"]
    assert list(view.get_vectors(["b1", "a1"])) == ["a1"]
    assert ("b1" in view, "a1" in view, len(view)) == (False, True, COUNT)
    assert [one.id for one in view] == OF_A
    paged = [(one.id, vector.tolist()) for page in view.batches(2) for one, vector in zip(*page, strict=True)]
    assert paged == [(name, vector.tolist()) for name, vector in view.get_vectors(OF_A).items()]
    assert {one.id for one in view.sample(99)[0]} == set(OF_A)
    assert view.delete(["b1", "b2", "a3"]) == 1
    everything = {"id": {"$exists": True}}
    assert view.delete(["b1", "b2"], filter=everything) == view.delete(["b1"], filter=lambda passage: True) == 0
    with pytest.raises(PassageError, match="'b1' belongs to a passage outside of this view"):
        view.add([Passage("b1", "mine now")])
    assert {one.id for one in whole} == {*OF_A, *OF_B} - {"a3"}
    assert [one.text for one in whole.get(["b1"])] == ["pear of b"]


def test_what_is_added_gets_the_fixed_fields_or_is_refused(whole: PassageStore) -> None:
    view = whole.restricted({"tenant": "a", "year": {"$gte": 2000}, "org.unit": 7})
    view.add([Passage("new", "apple", metadata={"year": 2001})])
    assert whole.get(["new"])[0].metadata == {"year": 2001, "tenant": "a", "org.unit": 7}
    assert view.add([Passage("new", "apple", metadata={"year": 2001, "tenant": "a", "org.unit": 7})]).unchanged == 1
    for metadata in (
        {"year": 2001, "tenant": "b"},
        {"year": 2001, "tenant": None},
        {"year": 2001, "tenant": ["a"]},
        {"year": 1999},
        {},
        {"year": 2001, "org": {"unit": 8}},
    ):
        with pytest.raises(PassageError, match="does not fit the filter of the view"):
            view.add([Passage("fine", "plum", metadata={"year": 2002}), Passage("other", "plum", metadata=metadata)])
    assert whole.get(["fine", "other"]) == []
    assert view.admitted(Passage("x", "y", metadata={"year": 2001})).metadata["tenant"] == "a"
    assert whole.admitted(Passage("x", "y")).metadata == {}


def test_a_stream_is_admitted_too(whole: PassageStore, view: PassageStore) -> None:
    view.add((Passage(f"s{at}", "plum") for at in range(5)), batch_size=2)
    assert {one.metadata["tenant"] for one in whole.get([f"s{at}" for at in range(5)])} == {"a"}
    for wrong in (Passage("x", "y"), "xy", [7]):
        with pytest.raises(PassageError):
            view.add(wrong)  # type: ignore[arg-type]


def test_a_view_of_a_view_is_both(whole: PassageStore, view: PassageStore) -> None:
    few = view.restricted({"n": {"$lt": 2}})
    assert [one.id for one in few] == ["a0", "a1"]
    assert view.restricted({"tenant": "b"}).select() == []
    with pytest.raises(PassageError):
        few.add([Passage("new", "apple", metadata={"n": 5})])


@pytest.mark.parametrize("given", [{}, {"$and": []}, {"$or": []}, {"$not": {}}, None, "tenant", lambda one: True, []])
def test_a_view_is_restricted_by_something(whole: PassageStore, given: Any) -> None:
    with pytest.raises(FilterError):
        whole.restricted(given)


def test_closing_a_view_leaves_the_store_open_and_its_folder_there(view: PassageStore, whole: PassageStore) -> None:
    with view as same:
        assert same is view
    assert len(whole) == 2 * COUNT
    folder = whole.path
    made = PassageStore.temporary(encoder=Bags())
    kept = made.restricted({"tenant": "a"})
    del made  # a temporary store is gone with its last user, and not before
    kept.add([Passage("1", "apple")])
    assert [one.id for one in kept] == ["1"]
    assert str(folder) in repr(view)
    assert "'tenant'" in repr(view)


def test_records_and_marks_of_a_view_are_its_own(whole: PassageStore, view: PassageStore) -> None:
    other = whole.restricted({"tenant": {"$eq": "b"}})
    same = whole.restricted({"tenant": {"$eq": "a"}})
    view.private.write({"docs": {"x": {"n": 1}}})
    other.private.write({"docs": {"x": {"n": 2}}})
    assert (view.private.read("docs"), other.private.read("docs", ["x"])) == ({"x": {"n": 1}}, {"x": {"n": 2}})
    assert (same.private.read("docs"), whole.private.read("docs")) == ({"x": {"n": 1}}, {})
    for store, name in ((view, "ma"), (other, "mb")):
        store.private.add([Passage(name, "apple", metadata={PRIVATE_KEY: ["node", "source:1", [], "=t"]})], instead={})
    assert [one.id for one in view.private.marked(["source:1"])] == ["ma"]
    assert view.private.present(["source:1", "=t", "source:2"]) == {"source:1", "=t"}
    assert view.restricted({"n": 99}).private.present(["source:1"]) == set()
    with pytest.raises(PassageError, match="outside"):
        view.private.add([Passage("mb", "apple")], instead={})
    assert view.private.delete_marked(["source:1"]) == 1
    assert [one.id for one in whole.get(["ma", "mb"])] == ["mb"]


def test_a_read_only_store_stays_so(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=Bags()) as store:
        store.add(passages("a"))
    with PassageStore.open(tmp_path / "s", encoder=Bags(), read_only=True) as store:
        view = store.restricted({"tenant": "a"})
        assert view.read_only
        with pytest.raises(StoreReadOnlyError):
            view.add([Passage("x", "y")])
        with pytest.raises(StoreReadOnlyError):
            view.delete(["a1"])


OF_THE_WHOLE: dict[str, Callable[[PassageStore], object]] = {
    "backup": lambda store: store.backup("copy"),
    "candidates": lambda store: store.candidates(["x"], Ranking("hybrid")),
    "check": lambda store: store.check(),
    "info": lambda store: store.info(),
    "measure_index_recall": lambda store: store.measure_index_recall(),
    "note_filled": lambda store: store.note_filled({}),
    "optimize": lambda store: store.optimize(),
    "reencode": lambda store: store.reencode(Bags()),
    "set_tuned": lambda store: store.set_tuned(None),
}
RESTRICTED = {
    *(
        "add",
        "admitted",
        "batches",
        "close",
        "count",
        "delete",
        "get",
        "get_vectors",
        "private",
        "rank",
        "restricted",
        "sample",
    ),
    *("search", "select", "__contains__", "__iter__", "__len__"),
}
SAYS_NOTHING_OF_PASSAGES = {
    *(
        "calibration",
        "calibration_of",
        "dim",
        "encode_questions",
        "encoder",
        "is_temporary",
        "made_by",
        "path",
        "ranking",
        "ranking_for",
        "ranking_of",
        "read_only",
    ),
    *("settled", "suggested_weight", "tuned", "wait_for_compaction"),
}
OF_THE_CLASS = {"open", "recover", "restore", "temporary"}


@pytest.mark.parametrize("name", OF_THE_WHOLE)
def test_what_concerns_the_whole_store_is_refused(view: PassageStore, name: str) -> None:
    with pytest.raises(StoreError, match=f"{name} concerns the whole store"):
        OF_THE_WHOLE[name](view)


def test_every_method_of_a_store_is_thought_of() -> None:
    """A new one has to be put into one of the sets above, with a test of what a view does with it."""
    inherited = ("__contains__", "__iter__", "__len__")
    names = {name for name, _ in inspect.getmembers(PassageStore) if not name.startswith("_") or name in inherited}
    assert names == {*OF_THE_WHOLE, *RESTRICTED, *SAYS_NOTHING_OF_PASSAGES, *OF_THE_CLASS}


def test_a_sample_of_nothing_has_the_dimension(view: PassageStore) -> None:
    found, vectors = view.restricted({"n": 99}).sample(5)
    assert (found, vectors.shape, vectors.dtype) == ([], (0, Bags.dim), np.float32)
    with PassageStore.temporary(encoder=Bags()) as empty:
        assert empty.sample(5)[1].shape == (0, Bags.dim)
    with PassageStore.temporary() as unknown:
        assert unknown.sample(5)[1].shape == (0, 0)


def _nested(levels: int, inner: dict[str, Any]) -> dict[str, Any]:
    for level in range(levels):
        inner = {"$or": [inner]} if level % 2 else {"$and": [inner]}
    return inner


def test_a_filter_may_be_nested_as_deep_in_a_view_as_in_the_store(view: PassageStore) -> None:
    deepest = _nested(49, {"n": {"$lt": 3}})
    assert [one.id for one in view.select(deepest)] == ["a0", "a1", "a2"]
    assert view.count(deepest) == 3
    assert {hit.passage.id for hit in view.search(np.ones((1, Bags.dim), np.float32), 9, deepest)[0]} == {
        "a0",
        "a1",
        "a2",
    }
    with pytest.raises(FilterError, match="deeper than 50"):
        view.count(_nested(50, {"n": 1}))
    assert view.delete(filter=deepest) == 3
    assert (len(view), view.count({"n": {"$lt": 3}})) == (COUNT - 3, 0)


def test_a_view_whose_own_filter_is_nested_as_deep_as_can_be_takes_filters(whole: PassageStore) -> None:
    deep = whole.restricted(_nested(49, {"tenant": "a"}))
    assert {one.id for one in deep.select({"n": {"$lt": 2}})} == {"a0", "a1"}
    assert {one.id for one in deep.select(_nested(49, {"n": 1}))} == {"a1"}
    assert deep.delete(filter={"n": 1}) == 1
    assert len(whole) == 2 * COUNT - 1

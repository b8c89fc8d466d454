"""Texts that Unicode takes for the same are the same in filters, in whatever form they were stored or are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from conftest import HashEncoder
from test_filters import select

from dpr_rag import PRIVATE_KEY, Passage, PassageStore
from dpr_rag.filters import Filter
from dpr_rag.filters.fields import HIDDEN_ID, kept_field
from dpr_rag.storage import collecting
from dpr_rag.storage.fields import seen_of
from dpr_rag.storage.reader import StoreReader

ONE, TWO = "Caf\u00e9", "Cafe\u0301"
METADATA = [
    {"n": ONE, "l": [ONE, 1], ONE: 1},
    {"n": TWO, "l": [TWO, 1], TWO: 1},
    {"n": "Cafe", "l": ["Cafe"], "Cafe": 1},
]
BOTH = [
    {"n": {"$eq": ONE}},
    {"n": {"$in": [ONE, 5]}},
    {"$not": {"n": {"$nin": [ONE]}}},
    {"$not": {"n": {"$ne": ONE}}},
    {"l": {"$any": [ONE]}},
    {"l": {"$all": [ONE, 1]}},
    {"l": {"$contains": ONE}},
    {"l": [ONE, 1]},
    {"n": {"$startswith": ONE[:4]}},
    {"n": {"$endswith": "f\u00e9"}},
    {"n": {"$text_match": "f\u00e9"}},
    {"n": {"$text_match_insensitive": "F\u00c9"}},
    {"n": {"$like": "Caf\u00e9"}},
    {"n": {"$like": "___\u00e9"}},
    {"n": {"$ilike": "cAF\u00c9"}},
    {"n": {"$gte": ONE}},
    {"n": {"$between": [ONE, ONE]}},
    {ONE: 1},
    {ONE: {"$exists": True}},
]


def asked(where: object, form: str) -> dict:
    return json.loads(normalize(form, json.dumps(where, ensure_ascii=False)))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("where", BOTH)
def test_both_forms_are_found_by_both(where: dict, form: str) -> None:
    passages = [Passage(str(at), "t", metadata=metadata) for at, metadata in enumerate(METADATA)]
    assert select(passages, Filter.from_dict(asked(where, form))) == [0, 1]


def test_titles_and_nested_names_are_texts_too() -> None:
    passages = [Passage("1", "t", TWO, {"a": {TWO: TWO}}), Passage("x", "t", "Cafe", {"a": {"Cafe": 1}})]
    for where in [{"title": ONE}, {f"a.{ONE}": ONE}, {"title": {"$ilike": "%\u00c9"}}, {"a.id": {"$exists": False}}]:
        assert select(passages, Filter.from_dict(where))[0] == 0


IDS = [
    ({"$eq": ONE}, "e"),
    ({"$in": [ONE, "x"]}, "e"),
    ({"$not": {"$ne": ONE}}, "e"),
    ({"$not": {"$nin": [ONE]}}, "e"),
    ({"$between": [ONE, ONE]}, "e"),
    ({"$gte": ONE}, "e"),
    ({"$startswith": ONE[:4]}, "e"),
    ({"$endswith": "f\u00e9"}, "e"),
    ({"$text_match": "f\u00e9"}, "e"),
    ({"$like": "___\u00e9"}, "e"),
    ({"$eq": TWO}, "d"),
    ({"$in": [TWO]}, "d"),
    ({"$like": "%e\u0301"}, "d"),
    ({"$ilike": "cAF\u00c9"}, "ed"),
    ({"$text_match_insensitive": "\u00c9"}, "ed"),
]


@pytest.mark.parametrize("optimized", [True, False])
@pytest.mark.parametrize(("where", "kept"), IDS)
def test_ids_are_compared_as_they_stand(where: dict, kept: str, optimized: bool, tmp_path: Path) -> None:
    """In Python, by SQL and by columns; where case makes no difference, the form makes none either."""
    passages = [Passage(ONE, "t", "e"), Passage(TWO, "t", "d"), Passage("Cafe", "t", "c")]
    assert "".join(passages[at].title for at in select(passages, Filter.from_dict({"id": where}))) == kept
    assert Filter.from_dict({"id": where}).matches({"id": ONE}) is ("e" in kept)
    with PassageStore.open(tmp_path / "s") as store:
        store.add(passages, vectors=np.ones((3, 4), np.float32))
        if optimized:
            store.optimize()
        assert "".join(one.title for one in store.select({"id": where})) == kept
        assert store.delete(filter={"id": where}) == len(kept)
        assert {one.title for one in store} == set("edc") - set(kept)


def test_an_id_that_stands_in_the_metadata_is_one_too() -> None:
    """A list of them as well; an object under that name is an object like others."""
    metadata = [{"id": ONE}, {"id": TWO}, {"id": [ONE]}, {"id": [TWO]}, {"id": {TWO: TWO}}]
    passages = [Passage(f"{at}", "t", metadata=one) for at, one in enumerate(metadata)]
    cases = [({"id": {"$eq": TWO}}, [1]), ({"id": {"$contains": TWO}}, [3]), ({f"id.{ONE}": ONE}, [4])]
    for where, expected in cases:
        assert select(passages, Filter.from_dict(where)) == expected, where


def test_what_adapters_keep_names_things_as_well() -> None:
    kept = [Passage(str(at), "t", metadata={PRIVATE_KEY: [f"source:{one}"]}) for at, one in enumerate((ONE, TWO))]
    hidden = [Passage(one, "t", metadata={"id": 5}) for one in (ONE, TWO)]
    for form, expected in ((ONE, [0]), (TWO, [1])):
        assert select(kept, Filter.from_dict({kept_field("source"): form})) == expected
        assert select(hidden, Filter.from_dict({HIDDEN_ID: form})) == expected


def test_of_two_keys_that_become_one_the_composed_counts() -> None:
    for metadata in ({ONE: 1, TWO: 2}, {TWO: 2, ONE: 1}):
        assert select([Passage("1", "t", metadata=metadata)], Filter.from_dict({TWO: 1})) == [0]


def test_folding_is_canonical_and_without_case() -> None:
    texts = ["\u0390", "Stra\u00dfe", "\u1e9b\u0323", "\u01f0x"]
    passages = [Passage(str(at), "t", metadata={"f": text}) for at, text in enumerate(texts)]
    cases = [
        ({"$text_match_insensitive": "\u03b9\u0308\u0301".upper()}, [0]),
        ({"$ilike": "STRASSE"}, [1]),
        ({"$ilike": "stra_E"}, [1]),
        ({"$ilike": "\u1e69"}, [2]),
        ({"$text_match_insensitive": "J\u030cX"}, [3]),
        ({"$ilike": "%X"}, [3]),
    ]
    for where, expected in cases:
        assert select(passages, Filter.from_dict({"f": where})) == expected, where


def filled(path: Path) -> PassageStore:
    store = PassageStore.open(path)
    store.add(
        [Passage(str(at), "t", metadata=one) for at, one in enumerate(METADATA)], vectors=np.ones((3, 4), np.float32)
    )
    store.optimize()
    return store


@pytest.mark.parametrize("where", BOTH)
def test_a_store_finds_both_and_returns_what_was_added(
    where: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "s") as store:
        monkeypatch.setattr(StoreReader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert [one.id for one in store.select(where)] == ["0", "1"]
        assert [dict(one.metadata) for one in store.get(["0", "1", "2"])] == METADATA
        store.check()


def test_columns_made_when_ids_compared_in_normal_form_answer_for_all_but_such_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(collecting, "RULES", 3)
        context.setattr(collecting, "seen_of", lambda one: {**seen_of(one), "id": normalize("NFC", one.id)})
        with PassageStore.open(tmp_path / "s") as store:
            store.add(
                [Passage(one, "t", metadata={"n": one}) for one in (ONE, TWO)], vectors=np.ones((2, 4), np.float32)
            )
            store.optimize()
    with PassageStore.open(tmp_path / "s") as store:
        assert [one.id for one in store.select({"id": TWO})] == [TWO]
        monkeypatch.setattr(StoreReader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert store.count({"n": TWO}) == 2


@pytest.mark.parametrize(("name", "value"), [("RULES", 2), ("unidata_version", "1.1.0")])
def test_columns_made_by_other_rules_of_text_answer_for_ascii_alone(
    name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(collecting, name, value)
        if name == "RULES":
            context.setattr(collecting, "seen_of", lambda one: {"id": one.id, "plain": int(one.id), **one.metadata})
        filled(tmp_path / "s").close()
    with PassageStore.open(tmp_path / "s") as store:
        for where in BOTH:
            assert [one.id for one in store.select(where)] == ["0", "1"], where
        monkeypatch.setattr(StoreReader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert [one.id for one in store.select({"id": {"$in": ["1", "2"]}})] == ["1", "2"]


def test_a_deletion_by_filter_takes_no_passage_for_another_of_the_same_looks(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("caf\xe9", "one"), Passage("cafe\u0301", "other"), Passage("tea", "third")])
        assert store.delete(filter={"id": "cafe\u0301"}) == 1
        assert [passage.id for passage in store] == ["caf\xe9", "tea"]
        assert store.delete(["cafe\u0301"]) == 0

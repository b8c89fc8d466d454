"""Texts that Unicode takes for the same are the same in filters, in whatever form they were stored or are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from conftest import HashEncoder
from test_filters import select

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import FilterError
from dpr_rag.filters import Filter
from dpr_rag.storage import collecting
from dpr_rag.storage.reader import Reader

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


def test_ids_titles_and_nested_names_are_texts_too() -> None:
    passages = [Passage(TWO, "t", TWO, {"a": {TWO: TWO}}), Passage("x", "t", "Cafe", {"a": {"Cafe": 1}})]
    for where in [{"id": ONE}, {"title": ONE}, {f"a.{ONE}": ONE}, {"title": {"$ilike": "%\u00c9"}}]:
        assert select(passages, Filter.from_dict(where)) == [0]


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
        monkeypatch.setattr(Reader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert [one.id for one in store.select(where)] == ["0", "1"]
        assert [dict(one.metadata) for one in store.get(["0", "1", "2"])] == METADATA
        store.check()


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
        monkeypatch.setattr(Reader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert [one.id for one in store.select({"id": {"$in": ["1", "2"]}})] == ["1", "2"]


def test_a_deletion_by_filter_takes_no_passage_for_another_of_the_same_looks(tmp_path: Path) -> None:
    """Filters take both ids for one; ids as such tell them apart."""
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("caf\xe9", "one"), Passage("cafe\u0301", "other"), Passage("tea", "third")])
        with pytest.raises(FilterError, match="whose ids differ in Unicode's normal form alone; nothing was deleted"):
            store.delete(filter={"id": "cafe\u0301"})
        assert store.count() == 3
        assert store.delete(["cafe\u0301"]) == 1
        assert store.delete(filter={"id": "cafe\u0301"}) == 1
        assert [passage.id for passage in store] == ["tea"]

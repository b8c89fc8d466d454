"""What a collection's scores are held against: running text, each once, as in a folder; asked for once, with few requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder

pytest.importorskip("milvus_lite")

from dpr_rag import MilvusStore, Passage, PassageStore, Ranking
from dpr_rag.milvus.calibrating import sample_prose, sampled_vectors
from dpr_rag.store.fitted import sampled_vectors as drawn_from

HYBRID = Ranking("hybrid", candidates=5)
PROSE = [
    Passage(
        f"p{at}",
        f"The king of the island {at} was told that his {word} had come to the town by the river.",
        "",
        {"n": at},
    )
    for at, word in enumerate(("horses", "sons", "letters", "ships", "painters", "debts", "soldiers", "guests"))
]
JUNK = [Passage(f"log{at}", f"0x{at:08x} ERR {at * 7} k={at % 5} ;;", "", {"n": -1}) for at in range(60)]
COPIES = [Passage(f"copy{at}", PROSE[0].text, "", {"n": -2}) for at in range(20)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    with MilvusStore.open(f"milvus+lite:{tmp_path / 'engine.db'}", encoder=HashEncoder()) as opened:
        opened.add([*JUNK, *COPIES, *PROSE])
        yield opened


def names_of(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    for name in ("search", "query", "query_iterator"):
        real = getattr(store._collection._client, name)
        monkeypatch.setattr(
            store._collection._client,
            name,
            lambda *given, real=real, name=name, **how: asked.append(name) or real(*given, **how),
        )
    return asked


def test_junk_and_copies_are_not_drawn(store: MilvusStore, tmp_path: Path) -> None:
    drawn = [one for one in sample_prose(store._collection, 256)[0]]
    assert {one.text for one in drawn} == {one.text for one in PROSE}
    assert len(drawn) == len(PROSE)
    with PassageStore.open(tmp_path / "folder.dpr", encoder=HashEncoder()) as folder:
        folder.add([*JUNK, *COPIES, *PROSE])
        mine, theirs = sampled_vectors(store._collection), drawn_from(folder._engine)
        order = [np.lexsort(one.T) for one in (mine, theirs)]
        np.testing.assert_array_equal(mine[order[0]], theirs[order[1]])


def test_few_passages_are_all_drawn(store: MilvusStore) -> None:
    store.delete(filter={"n": {"$gte": -2}})
    store.add(JUNK[:2])
    assert {one.id for one in sample_prose(store._collection, 256)[0]} == {"log0", "log1"}


def test_a_hybrid_question_takes_three_requests(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.rank(["the king"], 3, ranking=HYBRID)
    asked = names_of(store, monkeypatch)
    found = store.rank(["the sons of the king"], 3, ranking=HYBRID)
    assert asked == ["search"] * 3
    asked.clear()
    assert (
        store.restricted({"n": {"$gte": 0}}).rank(["the sons of the king"], 3, ranking=HYBRID)[0][0].passage.id == "p1"
    )
    assert asked == ["search"] * 3  # what is drawn is the whole collection's, in every view
    assert found[0][0].passage.id == "p1"


def test_what_was_drawn_is_drawn_anew_when_the_collection_has_doubled(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(sampled_vectors(store._collection)) == 8
    more = [
        Passage(f"q{at}", f"It was in the year {at} that the bridge {at * 3} of the city fell.") for at in range(100)
    ]
    store.add(more[:3])
    assert len(sampled_vectors(store._collection)) == 8
    store.add(more)
    assert len(sampled_vectors(store._collection)) > 8
    with MilvusStore.open(store.path, encoder=HashEncoder()) as other:
        other.delete(filter={"n": {"$exists": True}})
        other.delete([one.id for one in more[10:]])
    known = len(sampled_vectors(store._collection))
    monkeypatch.setattr(
        "dpr_rag.milvus.fitted._COUNT_LIFETIME", 0.0
    )  # what others write is seen when a count is asked again
    assert len(sampled_vectors(store._collection)) < known


def test_counts_are_those_of_what_is_there(store: MilvusStore) -> None:
    assert store.count() == store.info().passages == 88
    store.add([PROSE[0], Passage("p1", "another text")])
    assert store.count() == 88
    store.delete(filter={"n": -1})
    store.delete(["copy0", "nobody"])
    assert store.count() == store.info().passages == len(list(store)) == 27
    store._collection.flush()
    store.delete(["copy1"])
    store.add([Passage("p2", "another one")])
    assert store.count() == len(list(store)) == 26

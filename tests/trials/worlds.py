"""What a store must hold: the oracle of the tests with what else a store keeps, the stores that trials begin from, questions."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from conftest import HashEncoder, Oracle, assert_equals_oracle

from dpr_rag import Hit, Passage, PassageStore, Retriever
from dpr_rag.fusion import Ranking, Tuned
from dpr_rag.store import lexicon

COLORS = ("red", "green", "blue", "Grün", "")
QUESTIONS = ("text number 17", "title 3", "number 205 green words", "nothing of this")
WHERES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"half": 1},
    {"rare": {"$lt": 9}},
    {"color": {"$in": ["green", "Grün"]}, "half": 0},
    {"$not": {"title": "title 3"}},
)
KEEP_FROM = 20
"""Postings are written from so many passages on, where a store would else keep those of small ones in memory."""


def passage(at: int, version: int = 0) -> Passage:
    """A passage of a number; another version has another text."""
    words = "word " * (at * 7 % 40)
    return Passage(
        f"p{at}",
        f"text number {at} {words}" + (f"version {version}" if version else ""),
        f"title {at % 7}",
        {"half": at % 2, "rare": at % 50, "color": COLORS[at % 5], "list": [at, None], "at": at / 3},
    )


@dataclass
class World:
    """Passages and vectors as brute force has them, and what else a store keeps."""

    salt: str = ""
    oracle: Oracle = field(default_factory=Oracle)
    records: dict[str, Any] = field(default_factory=dict)
    weight: float | None = None
    language: str = "english"
    tuned_for: str = "english"
    filled: bool = True  # whether there ever was a passage, and so an encoder to tune for

    @property
    def encoder(self) -> HashEncoder:
        """Of the store."""
        return HashEncoder(salt=self.salt)

    def add(self, passages: list[Passage]) -> None:
        """As the store encodes and adds them: what is stored already is not moved, and what no encoder was tuned for is void."""
        if passages and not self.filled:
            self.filled, self.weight = True, None
        self.oracle.add(passages, self.encoder.encode_passages(passages))

    def seen(self) -> tuple[Any, ...]:
        """All of it in a form that can be compared."""
        rows = tuple(_row(one, self.oracle.vectors[one.id]) for one in self.oracle.passages.values())
        return rows, tuple(self.records.items()), self.weight if self.tuned_for == self.language else None

    def copy(self) -> World:
        """One that goes its own way."""
        return copy.deepcopy(self)


def _row(one: Passage, vector: np.ndarray) -> tuple[str, str, str, str, bytes]:
    return one.id, one.title, one.text, json.dumps(one.metadata, sort_keys=True), vector.astype("<f4").tobytes()


def seen(store: PassageStore) -> tuple[Any, ...]:
    """What a store holds, as :meth:`World.seen` has it."""
    rows = tuple(
        _row(one, vector) for batch, vectors in store.batches() for one, vector in zip(batch, vectors, strict=True)
    )
    tuned = store.tuned
    return rows, tuple(store.private.read("notes").items()), None if tuned is None else tuned.weight


def tuned(weight: float) -> Tuned:
    """A choice as tuning makes it."""
    return Tuned(Ranking("hybrid", weight=weight), weight=weight)


def build(folder: Path, *, index: str = "auto", start: int = 0, count: int = 120, salt: str = "") -> World:
    """A store with a base, fields, postings, deleted and replaced passages, a tail, records and a tuning; and its world."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    world = World(salt)

    def add(passages: list[Passage]) -> None:
        store.add(passages)
        world.add(passages)

    with PassageStore.open(folder, encoder=world.encoder, index=index) as store:
        add([passage(at) for at in range(start, start + count)])
        Retriever(store, mode="bm25").retrieve("number 17")
        store.optimize()
        gone = [f"p{at}" for at in range(start, start + count, 9)]
        assert store.delete(gone) == world.oracle.delete(gone) == len(gone)
        add([passage(at, 1) for at in range(start + 1, start + count, 30)])
        add([passage(at) for at in range(start + 900, start + 915)])
        world.records = {"one": {"a": [1, None]}, "two": "text"}
        store.private.write({"notes": world.records})
        world.weight = 0.5
        store.set_tuned(tuned(world.weight))
    return world


def holds(store: PassageStore, world: World, *, exact: bool = False) -> None:
    """Every search of a whole store equals brute force; BM25 finds the passages that hold a word.

    Args:
        store: The store.
        world: What it must hold.
        exact: Whether its index finds all; one that may miss some is asked besides for what it brings, all of it right.
    """
    questions = world.encoder.encode_questions(QUESTIONS)
    asked = store if exact else Exactly(store)
    for where in WHERES:
        assert_equals_oracle(asked, world.oracle, questions, 10, where)  # type: ignore[arg-type]  # as far as it asks
        assert store.count(where) == len(world.oracle.where(where))
        for question, hits in zip(questions, store.search(questions, 10, where), strict=True):
            found = [world.oracle.vectors[hit.passage.id].astype(float) @ question for hit in hits]
            assert [Near(hit.score) for hit in hits] == found
            assert all(hit.passage == world.oracle.passages[hit.passage.id] for hit in hits)
            assert len(hits) == min(10, len(world.oracle.where(where)))
    found = Retriever(store, k=len(world.oracle.passages) + 1, mode="bm25").retrieve("text")
    assert sorted(hit.passage.id for hit in found) == sorted(world.oracle.passages)


class Exactly:
    """A store of which every search is exact, whatever its index."""

    def __init__(self, store: PassageStore) -> None:
        self._store = store

    def search(self, *asked: Any) -> list[list[Hit]]:
        return self._store.search(*asked, exact=True)


class Near(float):
    """A score; the order in which products are summed up, which an index decides, shows in the last digits."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self, other, rel_tol=1e-5, abs_tol=1e-6)

    __hash__ = None  # type: ignore[assignment]


Ask = Callable[[PassageStore], object]


def asks(start: int, count: int) -> dict[str, Ask]:
    """All that a user could ask of a store that :func:`build` made."""
    vectors = HashEncoder().encode_questions(QUESTIONS)
    ids = [f"p{at}" for at in (*range(start, start + count), *range(start + 890, start + 920))]

    def hits(found: list[list[Any]]) -> list[list[tuple[Passage, float]]]:
        return [[(hit.passage, Near(hit.score)) for hit in line] for line in found]

    return {
        "search": lambda store: hits(store.search(vectors, 10)),
        "exact": lambda store: hits(store.search(vectors, 10, exact=True)),
        **{
            f"search {where}": lambda store, where=where: hits(store.search(vectors, 10, where)) for where in WHERES[1:]
        },
        "bm25": lambda store: hits(store.rank(QUESTIONS, 10, ranking=Ranking("bm25"))),
        "bm25 filtered": lambda store: hits(store.rank(QUESTIONS, 10, WHERES[1], ranking=Ranking("bm25"))),
        "hybrid": lambda store: hits(store.rank(QUESTIONS, 10, vectors=vectors, ranking=Ranking("hybrid"))),
        "as tuned": lambda store: hits(store.rank(QUESTIONS, 10, vectors=vectors)),
        "iteration": list,
        "contents": seen,
        "get": lambda store: store.get(ids),
        "get one": lambda store: [store.get([one]) for one in choose_some(ids)],
        "get vectors": lambda store: {one: found.tobytes() for one, found in store.get_vectors(ids).items()},
        "select": lambda store: store.select(WHERES[1], 7),
        "sample": lambda store: [one.id for one in store.sample(9)[0]],
        "count": len,
        **{f"count {where}": lambda store, where=where: store.count(where) for where in WHERES[1:]},
        "view": lambda store: hits(store.restricted({"half": 1}).search(vectors, 5)),
        "records": lambda store: store.private.read("notes"),
    }


def choose_some(ids: list[str]) -> list[str]:
    """A few, the same each time."""
    return random.Random(1).sample(ids, 8)

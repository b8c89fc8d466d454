"""What is no text of the store's matter does not move what its scores mean: made texts beside log lines, code and copies."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import numpy as np
import pytest
from conftest import HashEncoder
from test_calibrating import MODES, UnitEncoder

from dpr_rag import Passage, PassageStore, Ranking
from dpr_rag.store.sampling import are_copies, sample_prose

GOOD, JUNK = 20, 40
Draw = np.random.Generator


LITTLE = "the of and in to is was it for with on as by at are that be this not or".split()


def prose(at: int) -> str:
    """Words of its own, and between them words of all texts."""
    draw = np.random.default_rng(at)
    own = ["".join(draw.choice(list("aeioustrn"), 6)) for _ in range(20)]
    return " ".join(f"{draw.choice(LITTLE)} {one}" for one in own)


def words(draw: Draw) -> str:
    return " ".join(f"w{''.join(draw.choice(list('bcdfgk'), 5))}" for _ in range(30))


def log(draw: Draw) -> str:
    return "\n".join(
        f"2024-03-{draw.integers(10, 29)} 10:{draw.integers(10, 60)} ERROR the server is at 10.0.0.7" for _ in range(4)
    )


def code(draw: Draw) -> str:
    first, last = draw.integers(99, size=2)
    return f"for i in range({first}):\n    if rows[i] is not None and i > {last}:\n        found.append(rows[i])"


def copy(draw: Draw) -> str:
    return f"{prose(1000)} {words(draw)[:6]}"


KINDS: dict[str, Callable[[Draw], str]] = {
    "words": words,
    "log lines": log,
    "encoded bytes": lambda draw: b64encode(draw.bytes(150)).decode(),
    "numbers": lambda draw: " | ".join(f"{one:.2f}" for one in draw.uniform(0, 99, 20)),
    "code": code,
    "copies": copy,
    "titles": lambda draw: f"Name{draw.integers(9999)} Other{draw.integers(9999)}",
}
QUESTIONS = [" ".join(prose(at).split()[6 : 12 + at % 6]) for at in range(GOOD)]


def relevances(store: PassageStore, ranking: Ranking) -> np.ndarray:
    calibration = store.calibration_of(ranking)
    found = [
        next(hit.score for hit in hits if hit.passage.id == f"good{at}")
        for at, hits in enumerate(store.rank(QUESTIONS, GOOD + JUNK, ranking=ranking))
    ]
    return np.array([calibration.relevance(score) for score in found])


def filled(junk: Callable[[Draw], str] | None) -> PassageStore:
    store, draw = PassageStore.temporary(encoder=UnitEncoder(256)), np.random.default_rng(0)
    store.add(Passage(f"good{at}", prose(at)) for at in range(GOOD))
    if junk is not None:
        store.add(Passage(f"junk{at}", junk(draw)) for at in range(JUNK))
    return store


@pytest.fixture(scope="module")
def clean() -> dict[str, np.ndarray]:
    with filled(None) as store:
        return {mode: relevances(store, ranking) for mode, ranking in MODES.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_questions_relevance_stays_where_junk_joins(kind: str, clean: dict[str, np.ndarray]) -> None:
    with filled(KINDS[kind]) as store:
        for mode, ranking in MODES.items():
            assert relevances(store, ranking) == pytest.approx(clean[mode], abs=0.15), mode


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_ones_are_asked_for_whatever_came_first(kind: str) -> None:
    draw = np.random.default_rng(0)
    with PassageStore.temporary(encoder=HashEncoder(16)) as store:
        store.add(Passage(f"junk{at}", KINDS[kind](draw)) for at in range(JUNK))
        store.add(Passage(f"good{at}", prose(at)) for at in range(GOOD))
        rows, passages, vectors = sample_prose(store._engine, 64)
        ids = [one.id for one in passages]
        assert sorted(one for one in ids if one.startswith("good")) == sorted(f"good{at}" for at in range(GOOD))
        assert len(ids) == GOOD + (kind == "copies")  # the text that has copies is asked for once
        assert (len(rows), vectors.shape) == (len(ids), (len(ids), 16))
        assert rows.tolist() == sorted(rows.tolist())


def test_a_store_of_names_alone_is_asked_for_its_names_each_once() -> None:
    with PassageStore.temporary(encoder=HashEncoder(16)) as store:
        store.add(Passage(str(at), f"Name{at // 2} Other{at // 2}") for at in range(20))
        store.add([Passage("a", prose(1)), Passage("b", prose(2))])
        assert [len(sample_prose(store._engine, count)[1]) for count in (64, 5)] == [12, 5]
        store.add([Passage("c", prose(3))])
        assert [one.id for one in sample_prose(store._engine, 64)[1]] == ["a", "b", "c"]


@pytest.mark.parametrize(("shared", "own", "copies"), [(8, 1, True), (7, 1, False), (4, 0, True), (4, 1, False)])
def test_copies_share_four_of_five_words(shared: int, own: int, copies: bool) -> None:
    both = [f"w{at}" for at in range(shared)]
    one, other = (Passage(name, " ".join([*both, *(f"{name}{at}" for at in range(own))])) for name in "ab")
    assert are_copies(one, other) is copies is are_copies(other, one)

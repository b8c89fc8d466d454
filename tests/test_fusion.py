"""Maximal marginal relevance against brute force, and the calibration's properties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from conftest import clustered
from hypothesis import given
from hypothesis import strategies as st

from dpr_rag import Calibration, Diversity
from dpr_rag.errors import VectorError
from dpr_rag.fusion import Legs, Ranked, Ranking, diversified

SCORES = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30)


def by_definition(question: np.ndarray, passages: np.ndarray, k: int, balance: float) -> list[int]:
    """Carbonell and Goldstein's formula, term by term."""
    mean = np.mean([np.linalg.norm(one) for one in passages])

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    relevance = [float(question @ one / np.linalg.norm(question) / mean) for one in passages]
    chosen = [int(np.argmax(relevance))]
    while len(chosen) < min(k, len(passages)):
        left = [at for at in range(len(passages)) if at not in chosen]
        gains = [
            balance * relevance[at] - (1 - balance) * max(cosine(passages[at], passages[other]) for other in chosen)
            for at in left
        ]
        chosen.append(left[int(np.argmax(gains))])
    return chosen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_choice_follows_the_definition(seed: int, balance: float) -> None:
    vectors = clustered(31, 8, seed=seed, clusters=5).astype(np.float64)
    found = diversified(vectors[0].astype(np.float32), vectors[1:].astype(np.float32), 12, balance)
    assert found == by_definition(vectors[0], vectors[1:], 12, balance)


def test_full_balance_keeps_the_order_of_inner_products() -> None:
    vectors = clustered(41, 8, seed=9) * np.linspace(0.1, 9, 41)[:, None].astype(np.float32)
    order = np.argsort(-(vectors[1:] @ vectors[0]))
    assert diversified(vectors[0], vectors[1:], 40, 1.0) == order.tolist()


def test_a_near_copy_waits_behind_what_is_different() -> None:
    passages = np.array([[1, 0.1, 0], [1, 0.11, 0], [0.8, 0, 0.6]], dtype=np.float32)
    question = np.array([1, 0.3, 0.2], dtype=np.float32)
    assert np.argsort(-(passages @ question)).tolist() == [1, 0, 2]
    assert diversified(question, passages, 3, 0.5) == [1, 2, 0]


def test_nothing_and_null_vectors_are_no_trouble() -> None:
    assert diversified(np.ones(3, np.float32), np.empty((0, 3), np.float32), 4, 0.5) == []
    assert diversified(np.zeros(3, np.float32), np.zeros((2, 3), np.float32), 4, 0.5) == [0, 1]


@pytest.mark.parametrize("wrong", [{"candidates": 0}, {"candidates": True}, {"balance": 1.1}, {"balance": "x"}])
def test_diversity_is_checked(wrong: dict) -> None:
    with pytest.raises(VectorError, match=next(iter(wrong))):
        Diversity(**wrong)


@given(SCORES, SCORES, st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_relevance_rises_with_the_score(relevant: list[float], other: list[float], a: float, b: float) -> None:
    fitted = Calibration.fit(relevant, other)
    low, high = sorted((a, b))
    assert 0 <= fitted.relevance(low) <= fitted.relevance(high) <= 1
    assert fitted.slope > 0


def test_fit_finds_the_logistic_that_made_the_scores() -> None:
    generator = np.random.default_rng(3)
    scores = generator.uniform(60, 90, 40_000)
    truth = generator.random(40_000) < 1 / (1 + np.exp(-(0.4 * scores - 30)))
    fitted = Calibration.fit(scores[truth], scores[~truth])
    # both groups weigh the same, which moves the midpoint by the logarithm of their ratio and leaves the slope
    moved = np.log(truth.mean() / (1 - truth.mean()))
    assert fitted.slope == pytest.approx(0.4, rel=0.05)
    assert -fitted.offset / fitted.slope == pytest.approx((30 + moved) / 0.4, abs=0.5)


def test_raw_inner_products_get_thresholds_that_mean_something() -> None:
    fitted = Calibration.fit([78, 80, 83, 81, 79], [60, 64, 58, 66, 61, 63])
    assert fitted.relevance(60) < 0.2 < 0.8 < fitted.relevance(82)
    assert fitted.relevance(72) == pytest.approx(0.5, abs=0.2)


def test_scores_that_do_not_tell_pairs_apart_still_rise() -> None:
    fitted = Calibration.fit([1.0, 2.0], [5.0, 6.0])
    assert fitted.relevance(1) < fitted.relevance(1e6)
    assert Calibration.fit([3.0], [3.0]).relevance(3.0) == pytest.approx(0.5, abs=0.2)


def test_scores_that_mislead_are_told_apart_by_as_good_as_nothing() -> None:
    """An encoder that ranks backwards gets a slope that rises, but so little that no threshold rests on it."""
    fitted = Calibration.fit([1.0, 2.0, 1.5], [5.0, 6.0, 7.0])
    assert 0 < fitted.relevance(7) - fitted.relevance(1) < 1e-4
    assert fitted.relevance(4) == pytest.approx(0.5, abs=0.05)


def test_a_fit_needs_finite_scores_of_both_kinds() -> None:
    for relevant, other in (([], [1.0]), ([1.0], []), ([float("nan")], [1.0]), ([1.0], [float("inf")])):
        with pytest.raises(VectorError, match="calibration"):
            Calibration.fit(relevant, other)


def leg(scores: dict[int, float], kind: str) -> Ranked:
    """A ranked list, best first, ties in order of insertion."""
    order = sorted(scores, key=lambda row: (-scores[row], row))
    make = Ranked.of_dense if kind == "dense" else Ranked.of_bm25
    return make(np.array(order, np.int64), np.array([scores[row] for row in order], np.float64))


def legs_of(dense: Sequence[float], bm25: Sequence[float], spread: float = 1.0) -> Legs:
    """Legs that both bring every passage."""
    lists = (leg(dict(enumerate(scores)), kind) for scores, kind in ((dense, "dense"), (bm25, "bm25")))
    products, words = np.array(dense, np.float64), np.array(bm25, np.float64)
    return Legs(*lists, Ranked(np.arange(len(products)), words, products, words), spread)


@given(
    st.lists(st.tuples(st.floats(-50, 50, width=32), st.floats(0, 50, width=32)), min_size=1),
    st.none() | st.floats(0, 5),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_fusion_follows_its_definition(
    pairs: list[tuple[float, float]], weight: float | None, brings: int, finds: int
) -> None:
    whole = legs_of(*zip(*pairs, strict=True))
    lists = whole.dense.take(slice(brings)), whole.bm25.take(slice(finds))
    places = [{int(row): at for at, row in enumerate(one.rows, 1)} for one in lists]
    ranking = Ranking("hybrid", fusion="rrf") if weight is None else Ranking("hybrid", weight)
    found = Legs(*lists, whole.both, 1.0).ranked(ranking)

    def score(row: int) -> float:
        if weight is None:
            return sum(1 / (60 + place[row]) for place in places if row in place)
        return pairs[row][1] + weight * pairs[row][0]

    assert sorted(found.rows.tolist()) == list(range(len(pairs)))
    assert list(zip(found.dense, found.bm25, strict=True)) == [pairs[row] for row in found.rows]
    assert found.scores.tolist() == pytest.approx([score(row) for row in found.rows.tolist()])
    ties = [tuple(one) for one in zip(-found.scores, -found.dense, found.rows, strict=True)]
    assert ties == sorted(ties)


def test_without_a_weight_bm25_counts_as_a_share_of_its_best() -> None:
    legs = legs_of([0.5, 0.2, 0.1], [0.0, 8.0, 11.0], spread=0.25)
    weight = legs.weight(Ranking("hybrid"))
    assert weight == pytest.approx(11 / (5 * 0.25))  # 8.8
    assert legs.ranked(Ranking("hybrid")).scores.tolist() == pytest.approx([0.1 + 11 / 8.8, 0.2 + 8 / 8.8, 0.5])
    assert legs.ranked(Ranking("hybrid", balance=2)).scores.tolist() == pytest.approx(
        [0.1 + 11 / 17.6, 0.2 + 8 / 17.6, 0.5]
    )


@pytest.mark.parametrize(("words", "vectors"), [(10.0, 1.0), (1.0, 70.0), (0.3, 0.01)])
def test_the_weight_follows_the_scale_of_both_legs(words: float, vectors: float) -> None:
    dense, bm25 = np.array([0.9, 0.7, 0.3, 0.2]), np.array([4.0, 9.0, 6.0, 0.0])
    usual = legs_of(dense.tolist(), bm25.tolist(), spread=0.1)
    other = legs_of((vectors * dense).tolist(), (words * bm25).tolist(), spread=0.1 * vectors)
    assert other.ranked(Ranking("hybrid")).rows.tolist() == usual.ranked(Ranking("hybrid")).rows.tolist()


@pytest.mark.parametrize(
    ("dense", "spread"),
    [([0.6], 0.0), ([0.6, 0.6], 1e-9), ([0.0], 0.0), ([0.6, 0.5], float("nan")), ([], float("nan"))],
)
def test_the_weight_is_finite_where_there_is_nothing_to_scale_by(dense: list[float], spread: float) -> None:
    legs = legs_of(dense, [0.0] * len(dense), spread)
    weight = legs.weight(Ranking("hybrid"))
    assert 0 < weight <= 1 / (5 * 0.6) or (weight == pytest.approx(1 / 5) and not any(dense))
    assert legs.ranked(Ranking("hybrid")).rows.tolist() == list(range(len(dense)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "sparse"},
        {"mode": "hybrid", "weight": -1},
        {"mode": "hybrid", "weight": float("inf")},
        {"mode": "hybrid", "weight": "1"},
        {"mode": "bm25", "weight": 1.0},
        {"candidates": 0},
        {"mode": "hybrid", "fusion": "sum"},
        {"mode": "hybrid", "fusion": "rrf", "weight": 1.0},
        {"mode": "dense", "fusion": "rrf"},
        {"mode": "hybrid", "balance": -1.0},
        {"mode": "hybrid", "balance": 0},
        {"mode": "dense", "balance": 2.0},
        {"mode": "hybrid", "weight": 1.0, "balance": 2.0},
    ],
)
def test_rankings_are_checked(wrong: dict) -> None:
    with pytest.raises(VectorError, match=list(wrong)[-1]):
        Ranking(**wrong)

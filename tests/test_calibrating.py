"""What relevances mean in a store that nobody tuned: the same in every mode, and little for questions of other topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from conftest import HashEncoder
from hypothesis import given
from hypothesis import strategies as st

from dpr_rag import Calibration, Passage, PassageStore, Ranking, Retriever
from dpr_rag.errors import VectorError

SCORES = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40)
MODES = {
    "dense": Ranking(),
    "bm25": Ranking("bm25"),
    "hybrid": Ranking("hybrid"),
    "hybrid rrf": Ranking("hybrid", fusion="rrf"),
}
TOPICS, EACH = 60, 12


class UnitEncoder(HashEncoder):
    """Its vectors have length 1, as those of most encoders do: scores do not grow with the number of words."""

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        found = super()._encode(texts)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def share(calibration: Calibration, scores: Sequence[float], least: float) -> float:
    return float(np.mean([calibration.keeps(least)(score) for score in scores]))


def test_one_half_keeps_four_of_five_right_hits_and_leaves_out_seven_of_eight_others() -> None:
    draw = np.random.default_rng(0)
    right, other = draw.normal(20, 4, 4000), draw.normal(10, 3, 4000)
    found = Calibration.anchored(right.tolist(), other.tolist())
    assert share(found, right, 0.5) == pytest.approx(0.8, abs=0.01)
    assert share(found, right, 0.9) == pytest.approx(0.4, abs=0.01)
    assert share(found, other, 0.5) < 0.05
    near = draw.normal(18, 3, 4000)
    close = Calibration.anchored(right.tolist(), near.tolist())
    assert share(close, near, 0.5) == pytest.approx(0.125, abs=0.01)
    assert 0.2 < share(close, right, 0.5) < 0.7
    assert share(close, near, 0.1) > 0.25


def test_right_hits_that_share_one_score_are_kept_by_every_threshold_up_to_nine_tenths() -> None:
    found = Calibration.anchored([2 / 61] * 30 + [1 / 61 + 1 / 62] * 5, [1 / 61 + 1 / 90] * 20 + [1 / 61] * 20)
    assert found.relevance(2 / 61) >= 0.9
    assert found.relevance(1 / 61 + 1 / 90) < 0.01


@given(SCORES, SCORES, st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_anchored_relevances_rise_with_the_score(right: list[float], other: list[float], a: float, b: float) -> None:
    found = Calibration.anchored(right, other)
    low, high = sorted((a, b))
    assert 0 <= found.relevance(low) <= found.relevance(high) <= 1
    assert found.slope > 0


def test_anchors_need_finite_scores_of_both_kinds() -> None:
    for right, other in (([], [1.0]), ([1.0], []), ([float("nan")], [1.0]), ([1.0], [float("inf")])):
        with pytest.raises(VectorError, match="calibration"):
            Calibration.anchored(right, other)


def made(seed: int) -> tuple[list[Passage], dict[str, list[tuple[str, str]]]]:
    """Passages of half of the topics, and questions (with the passage they are about) of both halves.

    A passage speaks in words of its topic, in words that all topics share, and in few of its own; a question asks with some of
    them.
    """
    draw = np.random.default_rng(seed)
    stored, asked = [], dict[str, list[tuple[str, str]]](on=[], off=[])
    for topic in range(TOPICS):
        for at in range(EACH):
            name = f"{topic}.{at}"
            words = [f"t{topic}w{one}" for one in draw.zipf(1.5, 18) % 60]
            words += [f"all{one}" for one in draw.zipf(1.3, 24) % 400] + [
                f"{name.replace('.', 'x')}o{one}" for one in range(4)
            ]
            draw.shuffle(words)
            question = draw.choice(words, 8, replace=False)
            asked["on" if topic % 2 else "off"].append((name, " ".join(question)))
            if topic % 2:
                stored.append(Passage(name, " ".join(words), f"topic {topic}"))
    return stored, asked


@pytest.fixture(scope="module")
def stores() -> Iterator[list[tuple[PassageStore, dict[str, list[tuple[str, str]]]]]]:
    made_of = []
    for seed in range(2):
        passages, asked = made(seed)
        store = PassageStore.temporary(encoder=UnitEncoder(256))
        store.add(passages)
        made_of.append((store, asked))
    yield made_of
    for store, _ in made_of:
        store.close()


def kept(
    store: PassageStore, ranking: Ranking, asked: dict[str, list[tuple[str, str]]], least: float
) -> tuple[float, float]:
    """Shares of right first hits that are kept, and of questions off topic that get any."""
    names, questions = zip(*asked["on"], strict=True)
    firsts = store.rank(questions, 1, ranking=ranking)
    right = [
        at for at, (name, hits) in enumerate(zip(names, firsts, strict=True)) if hits and hits[0].passage.id == name
    ]
    assert len(right) > 100
    bounded = store.rank([questions[at] for at in right], 1, ranking=ranking, min_relevance=least)
    others = store.rank([question for _, question in asked["off"]], 1, ranking=ranking, min_relevance=least)
    return tuple(float(np.mean([bool(hits) for hits in found])) for found in (bounded, others))  # type: ignore[return-value]


@pytest.mark.untraced
def test_a_threshold_means_the_same_in_every_mode_and_lets_few_other_topics_through(stores: list) -> None:
    """An encoder that counts words finds a stretch of twelve better than these questions, so that dense keeps fewer here.

    So does hybrid, whose scores are inner products and a share of BM25 beside them.
    """
    for store, asked in stores:
        found = {name: kept(store, ranking, asked, 0.5) for name, ranking in MODES.items()}
        rights, others = zip(*found.values(), strict=True)
        assert min(found[name][0] for name in ("bm25", "hybrid rrf")) > 0.65, found
        assert min(rights) > 0.45, found
        assert max(others) < 0.25, found
        for name, ranking in MODES.items():
            strict, loose = kept(store, ranking, asked, 0.9), kept(store, ranking, asked, 0.1)
            assert strict[0] <= found[name][0] <= loose[0]
            assert strict[1] <= found[name][1] <= loose[1]


def test_the_best_of_many_wrong_passages_counts() -> None:
    """Among 2,000 passages some always come near, which a sample of 64 does not show."""
    draw = np.random.default_rng(3)
    with PassageStore.temporary(encoder=UnitEncoder(16)) as store:
        store.add(Passage(str(at), " ".join(f"w{one}" for one in draw.integers(0, 30_000, 24))) for at in range(2_000))
        questions = [" ".join(f"x{one}" for one in draw.integers(0, 30_000, 8)) for _ in range(200)]
        through = store.rank(questions, 1, min_relevance=0.5)
        assert np.mean([bool(hits) for hits in through]) < 0.3


@pytest.mark.parametrize("count", [1, 2, 3, 10])
@pytest.mark.parametrize("mode", MODES)
def test_a_small_store_tells_what_is_right_from_what_is_not(mode: str, count: int) -> None:
    texts = [" ".join(f"w{at}of{word}" for word in range(14)) for at in range(count)]
    with PassageStore.temporary(encoder=UnitEncoder(256)) as store:
        store.add(Passage(str(at), text) for at, text in enumerate(texts))
        calibration = store.calibration_of(MODES[mode])
        (right,) = store.rank(["w0of4 w0of6 w0of8 w0of9 w0of10"], 1, ranking=MODES[mode])
        (wrong,) = store.rank(
            [
                "nothing of that",
            ],
            1,
            ranking=MODES[mode],
        )
        assert right[0].passage.id == "0"
        assert calibration.relevance(right[0].score) > 0.5 or mode == "hybrid rrf"
        assert calibration == store.calibration_of(MODES[mode])
        if wrong and mode != "hybrid rrf":
            assert calibration.relevance(wrong[0].score) < calibration.relevance(right[0].score)


def test_passages_of_the_same_title_are_no_other_topic() -> None:
    """Their scores would push the threshold beyond what right hits reach."""
    text = "the same words of a handbook stand in every part of it but for one or two "
    passages = [Passage(str(at), f"{text} part{at} {text} own{at}", "handbook") for at in range(60)]
    other = [Passage(f"o{at}", " ".join(f"else{at}n{one}" for one in range(20)), f"t{at}") for at in range(60)]
    with PassageStore.temporary(encoder=UnitEncoder(256)) as store:
        store.add([*passages, *other])
        (hits,) = store.rank(["part7 own7 of the handbook"], 1, ranking=Ranking("bm25"))
        assert hits[0].passage.id == "7"
        assert store.calibration_of(Ranking("bm25")).relevance(hits[0].score) > 0.5


@pytest.mark.timeout(300)
def test_a_hybrid_ranking_with_a_threshold_may_be_the_first_that_is_asked() -> None:
    """What is fitted for it draws passages to find λ with, in the thread that holds the lock."""
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add([Passage(str(at), f"text number {at} of play {at % 3}") for at in range(4)])
        hits = Retriever(store, mode="hybrid").retrieve("play 1", min_relevance=0.0)
        assert {hit.passage.id for hit in hits} == {"0", "1", "2", "3"}
        assert hits == Retriever(store, mode="hybrid").retrieve("play 1")

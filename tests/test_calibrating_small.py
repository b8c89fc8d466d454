"""Where relevances lie, by value, and from how few passages and scores on a store says anything of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from conftest import HashEncoder

from dpr_rag import Calibration, Passage, PassageStore, Ranking
from dpr_rag.storage.state import State
from dpr_rag.store import calibrating
from dpr_rag.store.fitted import Fitted


class ListeningEncoder(HashEncoder):
    """Remembers what it was asked, call by call."""

    def __init__(self) -> None:
        super().__init__(256)
        self.asked: list[list[str]] = []

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        self.asked.append(list(questions))
        return super().encode_questions(questions)


def passages(count: int, words: int = 40) -> list[Passage]:
    return [Passage(str(at), " ".join(f"w{at}of{one}" for one in range(words)), f"title {at}") for at in range(count)]


@pytest.mark.parametrize(
    ("right", "other", "half", "nine_tenths"),
    [
        # four of five right ones lie above 120, two of five above 160, seven of eight others below 7
        (range(100, 201), range(9), 120, 160),
        # one score for all right ones: a tenth of the way to the others' median of 4
        ([120] * 20, range(9), 120 - 11.6, 120),
        # one score for all right ones that is the border of the others as well
        ([70] * 20, range(81), 67, 70),
        # seven of eight others below 70, which more than one of five right ones are, too: half of the way to their median of 40
        (range(101), range(81), 70, 85),
        # the same where two of five right ones lie further above
        ([60] * 50 + [200] * 51, range(81), 70, 200),
    ],
)
def test_anchors_by_value(right: Sequence[float], other: Sequence[float], half: float, nine_tenths: float) -> None:
    found = Calibration.anchored(list(right), list(other))
    width = nine_tenths - half
    assert found.slope == pytest.approx(math.log(9) / width, rel=1e-9)
    assert found.relevance(half) == pytest.approx(0.5, abs=1e-5)
    assert found.relevance(nine_tenths) == pytest.approx(0.9, abs=1e-5)
    assert found.relevance(half) > 0.5 > found.relevance(half - 1e-5 * width)  # on the border itself counts as above it


def test_scores_that_are_all_one_lie_at_a_half() -> None:
    found = Calibration.anchored([5.0] * 20, [5.0] * 20)
    assert found.relevance(5.0) == pytest.approx(0.5, abs=1e-5)
    assert found.relevance(6.0) == pytest.approx(0.9, abs=1e-5)


def test_of_two_passages_no_weight_is_suggested_and_nothing_is_asked() -> None:
    """Beside its own, a question has one passage left, and one score has no spread."""
    encoder = ListeningEncoder()
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(passages(2))
        assert (store.suggested_weight(), encoder.asked) == (1.0, [])


def test_of_three_passages_the_weight_is_the_ratio_of_the_spreads() -> None:
    encoder = ListeningEncoder()
    texts = ["red green blue red", "green blue grey green", "blue grey black white red"]
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(Passage(str(at), text) for at, text in enumerate(texts))
        found = store.suggested_weight()
        (asked,) = encoder.asked
        words, dense = [], []
        for question in asked:
            own = next(str(number) for number, text in enumerate(texts) if question in text)
            hits = {hit.passage.id: hit.score for hit in store.rank([question], 3, ranking=Ranking("bm25"))[0]}
            words.append(np.std([hits.get(str(one), 0.0) for one in range(3) if str(one) != own]))
            (hits_by_vector,) = store.search(encoder.encode_questions([question]), 3)
            dense.append(np.std([hit.score for hit in hits_by_vector if hit.passage.id != own]))
    assert found == pytest.approx(np.mean(words) / np.mean(dense))
    assert found != 1.0


@pytest.mark.parametrize(
    ("count", "how", "right", "other"),
    [(15, "fit", 15, 15 + 8), (16, "anchored", 16, 16), (128, "anchored", 128, 128), (129, "anchored", 128, 128)],
)
def test_sixteen_scores_of_each_kind_are_enough_for_quantiles(
    monkeypatch: pytest.MonkeyPatch, count: int, how: str, right: int, other: int
) -> None:
    """With fewer, questions of other topics come to the others, and a logistic function is fitted; 128 passages are asked for."""
    seen: list[tuple[str, int, int]] = []
    for name in ("fit", "anchored"):
        made = getattr(Calibration, name)

        def spy(right: Sequence[float], other: Sequence[float], name: str = name, made=made) -> Calibration:
            seen.append((name, len(right), len(other)))
            return made(right, other)

        monkeypatch.setattr(Calibration, name, staticmethod(spy))
    with PassageStore.temporary(encoder=ListeningEncoder()) as store:
        store.add(passages(count))
        assert store.calibration.relevance(1e9) > 0.9
    assert seen == [(how, right, other)]


def test_how_much_of_a_passage_is_asked_for() -> None:
    encoder = ListeningEncoder()
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(passages(70))
        store.suggested_weight()
        (asked,) = encoder.asked
        assert [len(asked), {len(question.split()) for question in asked}] == [64, {12}]
    one = Passage("1", " ".join(f"w{at}" for at in range(40)))
    assert calibrating._some_words(one) == "w12 w14 w16 w18 w20 w22 w24 w26"
    assert calibrating.stretch_of(one) == " ".join(f"w{at}" for at in range(14, 26))
    short = Passage("1", "a b c d e")
    assert (calibrating.stretch_of(short), calibrating._some_words(short)) == ("b c d", "b d")


@pytest.mark.parametrize(("now", "holds"), [(9, False), (10, True), (20, True), (40, True), (41, False)])
def test_what_was_fitted_holds_until_the_store_has_doubled_or_halved(now: int, holds: bool) -> None:
    state = replace(State(dtype="float32", index="auto", language="english", store="x"), passages=now)
    fitted = Fitted(1.0, 20, "a model", "english")
    assert fitted.is_valid_for(state, "a model") is holds
    assert not fitted.is_valid_for(state, "another")
    assert not fitted.is_valid_for(replace(state, language="german"), "a model")


def test_an_encoder_that_ranks_backwards_still_gets_relevances_that_rise_but_hardly() -> None:
    right, other = [1.0, 2.0, 3.0], [11.0, 12.0, 13.0]
    found = Calibration.fit(right, other)
    assert found.slope == pytest.approx(1e-6 / np.std([*right, *other]))
    assert 0.5 < found.relevance(13.0) < 0.5001

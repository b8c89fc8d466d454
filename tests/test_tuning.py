"""Tuning: the legs it judges are those that a retriever serves, noise crowns nobody, and the choice stays with the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder

from dpr_rag import BM25, Calibration, Passage, PassageStore, Ranking, Retriever, Tuned
from dpr_rag.corpora import Question
from dpr_rag.errors import EncoderMismatchError, EvaluationError, StoreReadOnlyError
from dpr_rag.evaluation import tune
from dpr_rag.evaluation.legs import read_legs, spreads

COUNT = 60


class Pointing:
    """An encoder that knows the right passage of some questions, and otherwise points anywhere."""

    dim = COUNT
    source = "tests"

    def __init__(self, knows: range, fingerprint: str = "pointing") -> None:
        self.knows, self.fingerprint = knows, fingerprint

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        return np.eye(COUNT, dtype=np.float32)[[int(passage.id) for passage in passages]]

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        return np.stack([self._question(question.split()[-1]) for question in questions])

    def _question(self, last: str) -> np.ndarray:
        at = int(last) if last.isdigit() else COUNT + len(last)
        noise = np.random.default_rng(at).normal(0, 0.1, COUNT)
        return (noise + (np.eye(COUNT)[at] if at in self.knows else 0)).astype(np.float32)


def passages(says: range) -> list[Passage]:
    """Passages whose words tell which question they answer, for some of them."""
    return [Passage(str(at), f"common {'talk ' * at}{f'word{at}' if at in says else 'else'}") for at in range(COUNT)]


def questions() -> list[Question]:
    return [Question(f"q{at}", f"common word{at} {at}", (), (str(at),)) for at in range(COUNT)]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[PassageStore]:
    """A store in which vectors answer two thirds of the questions, words two thirds, and one third is answered by both."""
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(40))) as store:
        store.add(passages(range(20, 60)))
        yield store


def first(store: PassageStore, question: Question, ranking: Ranking, k: int = COUNT) -> float:
    ids = [hit.passage.id for hit in Retriever(store, k=k, ranking=ranking).retrieve(question.question)]
    return ids.index(question.positive_ids[0]) + 1 if question.positive_ids[0] in ids else np.inf


@pytest.mark.parametrize(
    "ranking",
    [
        Ranking(),
        Ranking("bm25"),
        Ranking("hybrid", fusion="rrf", candidates=9),
        Ranking("hybrid", 0.3, candidates=9),
        Ranking("hybrid", 7.0, candidates=9),
    ],
)
def test_legs_rank_as_a_retriever_does(tmp_path: Path, ranking: Ranking) -> None:
    draw = np.random.default_rng(3)
    words = [f"w{at}" for at in range(40)]
    texts = [" ".join(draw.choice(words, 5 + at % 7)) for at in range(COUNT)]
    asked = [
        Question(f"q{at}", " ".join(draw.choice(text.split(), 3)), (), (str(at),)) for at, text in enumerate(texts)
    ]
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(dim=6)) as store:
        store.add([Passage(str(at), text) for at, text in enumerate(texts)])
        legs = read_legs(store, asked, Ranking("hybrid", candidates=9), "passage")
        expected = [first(store, question, ranking, 9) for question in asked]
    ranks = [one.first(ranking) for one in legs]
    assert [rank if rank <= 9 else np.inf for rank in ranks] == expected
    assert len({*expected}) > 2


def test_legs_give_the_scores_of_right_and_wrong_passages(both: PassageStore) -> None:
    question = questions()[25]
    (one,) = read_legs(both, [question], Ranking("hybrid"), "passage")
    hits = both.rank([question.question], 7, ranking=Ranking())[0]
    right, wrong = one.scores(Ranking(), 7)
    assert right.tolist() == [hit.score for hit in hits if hit.passage.id == "25"]
    assert wrong.tolist() == [hit.score for hit in hits if hit.passage.id != "25"]
    assert (len(right), len(wrong)) == (1, 6)


def test_what_needs_both_legs_is_ranked_by_both(both: PassageStore) -> None:
    found = tune(both, questions(), k=1)
    names = [one.name for one in found.candidates]
    assert names == ["dense", "bm25", "hybrid rrf", "hybrid", "hybrid λ"]
    dense, words, _, hybrid, _ = found.candidates
    served = {one.name: np.mean([first(both, q, one.ranking) <= 1 for q in questions()]) for one in found.candidates}
    assert dense.value.value == served["dense"] == dense.accuracy[1].value
    assert words.value.value == served["bm25"]
    assert found.chosen is hybrid
    assert served["hybrid"] > served["dense"] + 0.2
    assert dense.less_than_best.low > 0
    assert hybrid.less_than_best.low <= 0
    assert (hybrid.ranking, both.ranking, found.tuned.weight) == (Ranking("hybrid"), Ranking("hybrid"), None)


def scale(store: PassageStore, asked: Sequence[Question]) -> float:
    """The scale of λ, from the lists that a retriever gives."""
    deviations = []
    for ranking in (Ranking("bm25", bm25=Ranking("hybrid").words), Ranking()):
        hits = store.rank([one.question for one in asked], 200, ranking=ranking)
        deviations.append(np.mean([np.std([hit.score for hit in one]) for one in hits]))
    expected = float(deviations[0] / deviations[1])
    assert spreads(read_legs(store, asked, Ranking("hybrid"), "passage")) == pytest.approx(expected, rel=1e-6)
    return expected


@pytest.mark.parametrize(("missed", "chosen"), [(3, "dense"), (20, "bm25")])
def test_a_lead_that_may_be_chance_crowns_nobody(tmp_path: Path, missed: int, chosen: str) -> None:
    # words answer all questions, vectors all but some
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(COUNT - missed))) as store:
        store.add(passages(range(COUNT)))
        found = tune(store, questions(), k=1)
        assert found.best.name == "bm25"
        assert found.candidates[0].less_than_best.value == pytest.approx(1 - found.candidates[0].accuracy[1].value)
        assert found.chosen.name == chosen
        assert store.ranking.mode == chosen
        assert store.tuned is not None
        assert store.tuned.questions == COUNT


def test_each_fold_is_ranked_with_the_weight_of_the_others(tmp_path: Path) -> None:
    draw = np.random.default_rng(8)
    words = [f"w{at}" for at in range(30)]
    texts = [" ".join(draw.choice(words, 6 + at % 9)) for at in range(COUNT)]
    asked = [
        Question(f"q{at}", " ".join(draw.choice(text.split(), 2)), (), (str(at),)) for at, text in enumerate(texts)
    ]
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(dim=12)) as store:
        store.add([Passage(str(at), text) for at, text in enumerate(texts)])
        found = tune(store, asked, seed=4)
        spread = scale(store, asked)
        weights = [float(f"{spread * 2 ** (step / 2):.3g}") for step in range(-8, 9)]
        values = [[rank(store, one, weight) for one in asked] for weight in weights]
    folds = np.random.default_rng(4).permutation(COUNT) % 5
    held_out, chosen = [0.0] * COUNT, []
    for fold in range(5):
        means = [np.mean([value for at, value in enumerate(line) if folds[at] != fold]) for line in values]
        best = [at for at, mean in enumerate(means) if mean == max(means)]
        at = best[len(best) // 2]
        chosen.append(weights[at])
        for place in range(COUNT):
            if folds[place] == fold:
                held_out[place] = values[at][place]
    assert found.weights == tuple(chosen)
    assert found.candidates[4].value.value == pytest.approx(np.mean(held_out))
    by_question, by_weight = found.candidates[3:]
    assert by_weight.value.value > by_question.value.value
    assert found.tuned.weight == by_weight.ranking.weight  # for hybrid by name
    assert len({*chosen}) > 1
    assert max(np.mean(line) for line in values) > np.mean(held_out)


def rank(store: PassageStore, question: Question, weight: float) -> float:
    """The reciprocal rank that a retriever serves."""
    found = first(store, question, Ranking("hybrid", weight))
    return 1 / found if found <= 10 else 0.0


def test_words_alone_are_chosen_where_vectors_add_nothing(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(0))) as store:
        store.add(passages(range(60)))
        assert tune(store, questions(), bm25=BM25(1.2, 0.75)).chosen.name == "bm25"
        assert store.ranking == Ranking("bm25", bm25=BM25(1.2, 0.75))


def test_the_choice_stays_with_the_store(both: PassageStore) -> None:
    question = questions()[50].question
    assert Retriever(both).retrieve(question)[0].bm25 is None
    found = tune(both, questions(), k=1)
    chosen = found.chosen.ranking
    with PassageStore.open(both.path, encoder=Pointing(range(40)), read_only=True) as again:
        assert again.ranking == chosen
        assert again.info().ranking == "hybrid with λ for each question, tuned on 60 questions"
        hits = Retriever(again).retrieve(question)
        assert hits == Retriever(again, ranking=chosen).retrieve(question)
        assert hits[0].passage.id == "50"
        assert Retriever(again, mode="hybrid").retrieve(question) == hits
        assert Retriever(again, mode="dense").retrieve(question)[0].bm25 is None
        assert again.tuned == found.tuned
        vectors = again.encode_questions([question])
        assert Retriever(again).retrieve_by_vectors(vectors) == Retriever(again, mode="dense").retrieve_batch(
            [question]
        )
    both.set_tuned(None)
    assert (both.ranking, both.info().ranking, both.tuned) == (Ranking(), "dense", None)
    assert both.check().passages == COUNT


def test_the_questions_say_what_scores_mean(both: PassageStore) -> None:
    before = both.calibration_of(Ranking("bm25"))
    found = tune(both, questions())
    for ranking in (Ranking(), Ranking("bm25"), found.candidates[3].ranking):
        hits = both.rank([one.question for one in questions()], 10, ranking=ranking)
        pairs = [
            (hit, hit.passage.id in one.positive_ids) for one, own in zip(questions(), hits, strict=True) for hit in own
        ]
        sides = [[hit.score for hit, is_right in pairs if is_right is side] for side in (True, False)]
        expected = Calibration.fit(*sides)
        assert both.calibration_of(ranking).slope == pytest.approx(expected.slope)
        assert both.calibration_of(ranking).relevance(np.mean(sides[0])) > 0.6
        assert both.calibration_of(ranking).relevance(np.mean(sides[1])) < 0.4
    assert both.calibration_of(Ranking("bm25")) != before
    threshold = both.calibration_of(found.chosen.ranking)
    hits = Retriever(both).retrieve(questions()[30].question, min_relevance=0.5)
    assert hits
    assert all(threshold.relevance(hit.score) >= 0.5 for hit in hits)


def test_scores_that_mislead_keep_their_own_calibration(tmp_path: Path) -> None:
    # vectors point anywhere, so that among the first ten right passages score no higher than wrong ones
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(0))) as store:
        store.add(passages(range(COUNT)))
        before = store.calibration
        found = tune(store, questions())
        assert Ranking("bm25") in found.tuned.calibrations
        assert (Ranking() in found.tuned.calibrations) == (store.calibration != before)
        assert all(one.slope > 0.01 for one in found.tuned.calibrations.values())


def test_hybrid_by_name_finds_its_weights_where_one_for_all_is_no_better(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(57))) as store:
        store.add(passages(range(COUNT)))
        suggested = store.suggested_weight()
        assert store.settled(Ranking("hybrid")) == Ranking("hybrid")
        found = tune(store, questions(), k=1)
        assert found.chosen.name == "dense"
        assert found.candidates[4].value.value <= found.candidates[3].value.value
        assert store.settled(Ranking("hybrid")) == Ranking("hybrid")
        assert store.suggested_weight() == suggested  # what is suggested without labels does not move


def test_another_encoder_undoes_the_choice(both: PassageStore) -> None:
    tune(both, questions(), k=1)
    both.reencode(Pointing(range(60), "another"))
    assert (both.ranking, both.tuned) == (Ranking(), None)
    assert both.info().ranking == "dense, as it was tuned for another encoder or language; tune it again"


def test_a_choice_of_another_encoder_or_language_is_refused(both: PassageStore) -> None:
    found = tune(both, questions(), k=1)
    assert found.tuned.fingerprint == "pointing"
    both.optimize(language="german")
    assert both.tuned is None
    with pytest.raises(EncoderMismatchError, match="made with the language 'english', and the store has 'german' now"):
        both.set_tuned(found.tuned)
    both.reencode(Pointing(range(60), "another"))
    with pytest.raises(EncoderMismatchError, match="made with the encoder 'pointing', and the store has 'another' now"):
        both.set_tuned(found.tuned)
    both.set_tuned(Tuned(found.chosen.ranking))
    assert both.tuned == Tuned(found.chosen.ranking, {}, 0, "another", "german")


def test_what_a_call_leaves_open_is_as_tuned(both: PassageStore) -> None:
    tuned = Ranking("hybrid", fusion="rrf", candidates=30, bm25=BM25(1.2, 0.75))
    both.set_tuned(Tuned(tuned))
    assert Retriever(both, mode="hybrid").ranking == tuned
    assert Retriever(both, mode="bm25").ranking == Ranking("bm25", candidates=30, bm25=BM25(1.2, 0.75))
    assert Retriever(both, mode="hybrid", weight=2).ranking == Ranking("hybrid", 2, candidates=30, bm25=BM25(1.2, 0.75))
    assert Retriever(both, ranking=Ranking("hybrid")).ranking == Ranking("hybrid")
    both.set_tuned(Tuned(Ranking("hybrid", 5.0), {Ranking("bm25"): Calibration(2, -1)}, weight=5.0))
    assert Retriever(both, mode="bm25").ranking == Ranking("bm25")
    assert Ranking("bm25").words == BM25(phrases=0.0)
    assert both.calibration_of(Retriever(both, mode="bm25").ranking) == Calibration(2, -1)
    both.set_tuned(Tuned(Ranking(), weight=5.0))
    assert both.settled(Retriever(both, mode="hybrid").ranking) == Ranking("hybrid", 5.0)
    assert both.settled(Ranking("hybrid", balance=2)) == Ranking("hybrid", 10.0)
    assert Ranking("hybrid", 5.0).words == BM25(phrases=0.5)
    both.set_tuned(Tuned(Ranking("hybrid", 5.0, bm25=BM25(1.2, 0.75)), weight=5.0))
    assert both.settled(Ranking("hybrid", bm25=BM25(1.2, 0.75))).weight == 5.0
    assert both.settled(Ranking("hybrid")) == Ranking("hybrid")


def test_few_candidates_are_told_as_they_are(both: PassageStore) -> None:
    found = tune(both, questions(), k=5, candidates=5)
    assert list(found.best.accuracy) == [1, 5]
    with pytest.raises(EvaluationError, match="k is 6, expected 1 to 5"):
        tune(both, questions(), k=6, candidates=5)


def test_a_look_leaves_the_store_as_it_is(both: PassageStore) -> None:
    before = both.info()
    found = tune(both, questions(), k=1, keep=False)
    assert both.info() == before
    both.set_tuned(found.tuned)
    assert both.ranking == found.chosen.ranking


def test_progress_counts_questions(both: PassageStore) -> None:
    told: list[int] = []
    tune(
        both,
        [*questions(), *(Question(f"r{at}", f"common {at}", (), ("1",)) for at in range(20))],
        progress=told.append,
    )
    assert told == [64, 80]


def test_what_cannot_be_tuned_is_refused(both: PassageStore, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="there are 19 questions; tuning needs at least 20"):
        tune(both, questions()[:19])
    with pytest.raises(EvaluationError, match="k is 0, expected 1 to 200, the number of candidates"):
        tune(both, questions(), k=0)
    strange = [Question(f"q{at}", f"common word{at} {at}", (), ("nowhere",)) for at in range(COUNT)]
    with pytest.raises(EvaluationError, match="none of the 60 questions has a right passage among the best 200"):
        tune(both, strange)
    with PassageStore.open(both.path, encoder=Pointing(range(40)), read_only=True) as read:
        with pytest.raises(StoreReadOnlyError):
            tune(read, questions())
        tune(read, questions(), keep=False)
    with PassageStore.open(both.path) as bare, pytest.raises(EncoderMismatchError, match="without an encoder"):
        tune(bare, questions())
    assert both.tuned is None


def test_a_choice_survives_its_form_in_the_record() -> None:
    choice = Tuned(Ranking("hybrid", 2.5, candidates=7, bm25=BM25(1, 0)), {Ranking(): Calibration(2, -1)}, 30, "f")
    assert Tuned.from_dict(choice.as_dict()) == choice


def test_answers_judge_too(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add(passages(range(60)))
        asked = [Question(f"q{at}", f"common word{at}", (f"word{at}",)) for at in range(COUNT)]
        found = tune(store, asked)
        assert found.by == "answer"
        assert found.candidates[1].accuracy[1].value == 1.0

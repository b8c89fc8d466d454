"""``evaluate`` by hand-computed examples and against oracles: accuracy, ranking measures, intervals, tests, latencies."""

from __future__ import annotations

import builtins
import math

import ir_measures
import numpy as np
import pytest
from asking import Fixed, ranked
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from dpr_rag import Hit, Passage
from dpr_rag.corpora import Judgement, Question
from dpr_rag.errors import EvaluationError, MissingExtraError
from dpr_rag.evaluation import Estimate, evaluate, judge_for, running
from dpr_rag.evaluation.statistics import Bootstrap, mcnemar

RANK = st.none() | st.integers(1, 10)


def values(estimates: dict) -> dict:
    return {name: one.value for name, one in estimates.items()}


@pytest.mark.parametrize("by", ["answer", "passage"])
def test_accuracy_and_reciprocal_rank_by_hand(by: str) -> None:
    questions, system = ranked(1, 3, 6, None)
    found = evaluate({"one": system}, questions, k=10, by=by)
    assert (found.by, found.k, found.questions, found.ks) == (by, 10, 4, (1, 5, 10))
    assert values(found["one"].accuracy) == {1: 0.25, 5: 0.5, 10: 0.75}
    assert found["one"].ranking["RR@10"].value == pytest.approx((1 + 1 / 3 + 1 / 6) / 4)
    assert [one.first for one in found["one"].results] == [1, 3, 6, None]
    assert found["one"].curve(10).tolist() == [0.25, 0.25, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75]
    assert found["one"].first_ranks().tolist() == [1, 3, 6, math.inf]


def test_by_answer_reads_the_text_and_not_the_title() -> None:
    passages = [Passage("1", "A play.", "Hamlet"), Passage("2", "Hamlets"), Passage("3", "a HAMLET: small place")]
    found = evaluate({"one": Fixed({"what?": passages})}, [Question("1", "what?", ("hamlet",), ("1",))])
    assert found.by == "answer"
    assert found["one"].results[0].right == (False, False, True)
    assert found.ks == (1, 5, 20, 100)


def test_regular_expressions_as_answers() -> None:
    system = Fixed({"when?": [Passage("1", "In the year 1601.")]})
    question = Question("1", "when?", (r"16\d\d",))
    assert evaluate({"one": system}, [question], k=1)["one"].accuracy[1].value == 0
    assert evaluate({"one": system}, [question], k=1, regex=True)["one"].accuracy[1].value == 1


def test_ranking_measures_by_passage_by_hand() -> None:
    passages = [Passage(str(at), "text") for at in range(5)]
    question = Question("q", "what?", (), ("1", "3", "elsewhere"))
    system = Fixed({"what?": passages})
    found = values(evaluate({"one": system}, [question], k=5)["one"].ranking)
    dcg, ideal = 1 / math.log2(3) + 1 / math.log2(5), 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == pytest.approx({"RR@5": 0.5, "nDCG@5": dcg / ideal, "R@5": 2 / 3})
    graded = [Judgement("q", "3", 3), Judgement("q", "0", 0), Judgement("q", "2", -1), Judgement("other", "0", 9)]
    found = values(evaluate({"one": system}, [question], k=5, judgements=graded)["one"].ranking)
    dcg, ideal = 1 / math.log2(3) + 3 / math.log2(5), 3 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == pytest.approx({"RR@5": 0.5, "nDCG@5": dcg / ideal, "R@5": 2 / 3})


def test_ties_keep_the_systems_order() -> None:
    class Tied(Fixed):
        def retrieve(self, question: str, k: int) -> list[Hit]:
            return [Hit(hit.passage, 1.0, hit.rank) for hit in super().retrieve(question, k)]

    system = Tied({"what?": [Passage(name, "text") for name in "abc"]})
    found = evaluate({"one": system}, [Question("q", "what?", (), ("a",))], k=3)
    assert values(found["one"].ranking) == {"RR@3": 1, "nDCG@3": 1, "R@3": 1}


@settings(max_examples=30)
@given(st.lists(RANK, min_size=1, max_size=8))
def test_measures_equal_those_of_ir_measures_on_the_run(ranks: list[int | None]) -> None:
    questions, system = ranked(*ranks)
    by_answer, by_passage = (evaluate({"one": system}, questions, k=10, by=by)["one"] for by in ("answer", "passage"))
    qrels = [ir_measures.Qrel(one.id, one.positive_ids[0], 1) for one in questions]
    run = [
        ir_measures.ScoredDoc(one.question.id, hit.passage.id, hit.score)
        for one in by_answer.results
        for hit in one.hits
    ]
    names = ["RR", "nDCG@10", "R@10", "Success@1", "Success@5", "Success@10"]
    expected = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in names], qrels, run)
    expected = {str(measure): value for measure, value in expected.items()}
    assert by_passage.accuracy == by_answer.accuracy
    assert by_passage.ranking["RR@10"] == pytest.approx(by_answer.ranking["RR@10"])
    assert by_passage.ranking["RR@10"].value == pytest.approx(expected["RR"])
    assert by_passage.ranking["nDCG@10"].value == pytest.approx(expected["nDCG@10"])
    assert by_passage.ranking["R@10"].value == pytest.approx(expected["R@10"])
    assert values(by_passage.accuracy) == pytest.approx({at: expected[f"Success@{at}"] for at in (1, 5, 10)})


def test_nothing_found_counts_as_failure() -> None:
    questions, system = ranked(1, 1)
    system.found["question 1?"] = []
    found = evaluate({"one": system}, questions, by="passage", k=5)["one"]
    assert values(found.accuracy) == {1: 0.5, 5: 0.5}
    assert values(found.ranking) == {"RR@5": 0.5, "nDCG@5": 0.5, "R@5": 0.5}


def test_bootstrap_is_the_percentile_interval_of_resampled_means() -> None:
    generator = np.random.default_rng(3)
    columns = {"a": generator.random(40), "b": (generator.random(40) < 0.3).astype(float)}
    drawn = np.random.default_rng(7)
    rows = [drawn.integers(0, 40, 40) for _ in range(200)]
    bootstrap = Bootstrap(columns, seed=7, draws=200)
    for name, column in columns.items():
        low, high = np.percentile([column[row].mean() for row in rows], [2.5, 97.5])
        expected = Estimate(column.mean(), low, high)
        assert vars_of(bootstrap.estimate(name)) == pytest.approx(vars_of(expected))
    difference = columns["a"] - columns["b"]
    low, high = np.percentile([difference[row].mean() for row in rows], [2.5, 97.5])
    assert vars_of(bootstrap.difference("a", "b")) == pytest.approx([difference.mean(), low, high])


def vars_of(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]


def test_bootstrap_interval_covers_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        estimate = Bootstrap({0: (generator.random(150) < 0.7).astype(float)}, seed=seed, draws=300).estimate(0)
        hits += estimate.low <= 0.7 <= estimate.high
    assert 180 <= hits <= 198


def test_equal_seeds_give_equal_intervals() -> None:
    questions, system = ranked(1, 3, 6, None, 2, 9, None, 1)
    one, same, other = (evaluate({"one": system}, questions, k=10, seed=seed)["one"] for seed in (1, 1, 2))
    assert one.accuracy == same.accuracy
    assert values(one.accuracy) == values(other.accuracy)
    assert one.ranking != other.ranking


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected)


def test_mcnemar_of_thousands() -> None:
    assert mcnemar(4000, 3800) == pytest.approx(binomtest(3800, 7800).pvalue)
    assert 0 <= mcnemar(5000, 0) < 1e-300


def test_two_systems_are_compared_question_by_question() -> None:
    questions, one = ranked(1, 1, 1, 6, None, 2)
    _, other = ranked(1, 8, None, 1, None, 2)
    found = evaluate({"other": other, "one": one}, questions, k=10)
    compared = {item.k: (item.gained, item.lost, item.difference.value) for item in found.comparisons}
    assert {(item.first, item.second) for item in found.comparisons} == {("one", "other")}
    assert compared == {
        1: (2, 1, pytest.approx(1 / 6)),
        5: (2, 1, pytest.approx(1 / 6)),
        10: (1, 0, pytest.approx(1 / 6)),
    }
    assert [item.p_value for item in found.comparisons] == [1.0, 1.0, 1.0]
    assert all(item.difference.low <= item.difference.value <= item.difference.high for item in found.comparisons)
    assert found.focus == 10


def test_a_system_equals_itself() -> None:
    questions, system = ranked(1, 3, None)
    for item in evaluate({"one": system, "again": system}, questions, k=5).comparisons:
        assert (item.gained, item.lost, item.p_value, item.difference) == (0, 0, 1.0, Estimate(0.0, 0.0, 0.0))


def test_latencies_are_those_of_single_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    questions, system = ranked(*[1] * 20)
    slow = {f"question {at}?" for at in (3, 7)}
    now = [100.0]
    monkeypatch.setattr(running, "perf_counter", lambda: now[0])

    class Slow(Fixed):
        def retrieve(self, question: str, k: int) -> list[Hit]:
            now[0] += 0.05 if question in slow else 0.001
            return super().retrieve(question, k)

    system = Slow(system.found)
    latency = evaluate({"one": system}, questions, k=1)["one"].latency
    assert system.calls == ["question 0?", *(one.question for one in questions)]
    assert latency.questions == 20
    assert (latency.p50, latency.p95, latency.p99) == pytest.approx((0.001, 0.05, 0.05))


def test_batches_measure_the_same_and_no_latency() -> None:
    questions, system = ranked(1, 3, 6, None, 2)
    single = evaluate({"one": system}, questions, k=10)["one"]
    system.calls.clear()
    seen: list[int] = []
    batched = evaluate({"one": system, "two": system}, questions, k=10, batch_size=2, progress=seen.append)["one"]
    assert [len(call) for call in system.calls] == [2, 2, 1] * 2
    assert seen == [2, 4, 5, 7, 9, 10]
    assert batched.latency is None
    assert (batched.results, batched.accuracy, batched.ranking) == (single.results, single.accuracy, single.ranking)


def test_passages_found_by_many_are_kept_once() -> None:
    def fresh(text: str) -> Passage:
        return Passage("1", text)

    system = Fixed({"a": [fresh("one")], "b": [fresh("one")], "c": [fresh("changed meanwhile")]})
    asked = evaluate({"one": system}, [Question(name, name, ("one",)) for name in "abc"], k=1)["one"].results
    assert asked[0].hits[0].passage is asked[1].hits[0].passage
    assert asked[2].hits[0].passage.text == "changed meanwhile"


@pytest.mark.parametrize(
    ("questions", "by", "said"),
    [
        ([], "auto", "there are no questions"),
        ([Question("1", "a")], "auto", "1 of 1 questions have no answers .* and 1 of 1 .* positive_ids"),
        ([Question("1", "a", ("x",)), Question("2", "b", (), ("p",))], "auto", "the first is '2'.*the first is '1'"),
        ([Question("1", "a", ("x",))], "passage", "have no positive_ids"),
        ([Question("1", "a", (), ("p",))], "answer", "have no answers"),
        ([Question("1", "a", ("x",)), Question("1", "b", ("x",))], "auto", "2 questions have the id '1'"),
        ([Question("1", "a", ("x",))], "title", "by is 'title', expected one of auto, answer, passage"),
    ],
)
def test_what_cannot_be_judged_is_refused(questions: list[Question], by: str, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        evaluate({"one": Fixed({})}, questions, by=by)


def test_auto_takes_what_all_questions_have() -> None:
    assert judge_for([Question("1", "a", ("x",), ("p",))]) == "answer"
    assert judge_for([Question("1", "a", ("x",), ("p",)), Question("2", "b", (), ("p",))]) == "passage"


@pytest.mark.parametrize("options", [{"k": 0}, {"batch_size": 0}, {"systems": {}}])
def test_options_out_of_range(options: dict) -> None:
    questions, system = ranked(1)
    with pytest.raises(EvaluationError, match=r"expected (an integer of at least 1|a dict of at least one)"):
        evaluate(options.pop("systems", {"one": system}), questions, **options)


def test_without_ir_measures_answers_are_still_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name == "ir_measures":
            raise ImportError("No module named 'ir_measures'")
        return real(name, *args, **kwargs)

    questions, system = ranked(1, 2)
    monkeypatch.setattr(builtins, "__import__", missing)
    assert evaluate({"one": system}, questions, k=5)["one"].ranking["RR@5"].value == 0.75
    system.calls.clear()
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '\.\[evaluation\]'"):
        evaluate({"one": system}, questions, by="passage")
    assert system.calls == []


def test_judgements_of_zero_alone_are_called_what_they_are() -> None:
    asked = [Question("1", "who", ()), Question("2", "what", ())]
    with pytest.raises(EvaluationError, match=r"^every judgement of the 2 questions is 0 or less"):
        judge_for(asked, judged={"1", "2"})
    with pytest.raises(EvaluationError, match="2 of 2 questions have no positive_ids"):
        judge_for(asked, "passage", judged={"1"})

"""The files of an evaluation, read back by other readers: DPR's result JSON, and runs by trec_eval's own parser."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import numpy as np
import pytest
from asking import Fixed, ranked
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag import Hit, Passage
from dpr_rag.corpora import Question, read_results
from dpr_rag.errors import CorpusError
from dpr_rag.evaluation import QuestionResult, SystemResult, evaluate, write_dpr_results, write_run


def test_dpr_results_hold_questions_answers_hits_and_what_was_judged(tmp_path: Path) -> None:
    questions, system = ranked(1, 3)
    found = evaluate({"one": system}, questions, k=3)
    assert write_dpr_results(tmp_path / "r.json", found["one"], found.by) == 2
    read = list(read_results(tmp_path / "r.json"))
    assert [one.question for one in read] == ["question 0?", "question 1?"]
    assert [one.answers for one in read] == [("Answer0",), ("Answer1",)]
    assert [one.has_answer for one in read] == [(True, False, False), (False, False, True)]
    assert [one.hits for one in read] == [one.hits for one in found["one"].results]


def test_dpr_results_do_not_claim_answers_that_nobody_looked_for(tmp_path: Path) -> None:
    questions, system = ranked(1)
    found = evaluate({"one": system}, questions, k=2, by="passage")
    write_dpr_results(tmp_path / "r.json", found["one"], found.by)
    assert [one.has_answer for one in read_results(tmp_path / "r.json")] == [(None, None)]


def test_run_has_six_columns(tmp_path: Path) -> None:
    questions, system = ranked(2, size=3)
    found = evaluate({"my system": system}, questions, k=2)
    assert write_run(tmp_path / "run.trec", found["my system"]) == 2
    assert (tmp_path / "run.trec").read_text() == "q0 Q0 p-0-0 1 10 my-system\nq0 Q0 right-0 2 9 my-system\n"


@settings(max_examples=40)
@given(st.lists(st.sampled_from([1.0, 1.0 + 1e-12, 0.5, 81.25, 81.2500001, -3.0, 0.0, 1e-40]), min_size=1, max_size=9))
def test_trec_eval_sees_the_order_that_the_system_gave(tmp_path: Path, scores: list[float]) -> None:
    hits = tuple(Hit(Passage(f"p{at}", "x"), score, at + 1) for at, score in enumerate(scores))
    asked = QuestionResult(Question("q", "?"), hits, (False,) * len(hits))
    write_run(tmp_path / "run.trec", SystemResult("s", (asked,), {}, {}, None))
    read = list(ir_measures.read_trec_run(str(tmp_path / "run.trec")))
    as_float32 = [np.float32(doc.score) for doc in read]
    assert [doc.doc_id for doc in read] == [f"p{at}" for at in range(len(hits))]
    assert sorted(set(as_float32), reverse=True) == as_float32
    if sorted(scores, reverse=True) == scores:
        assert as_float32 == pytest.approx(scores, rel=1e-5, abs=1e-5)
    for at in range(len(hits)):
        metric = ir_measures.calc_aggregate([ir_measures.RR], [ir_measures.Qrel("q", f"p{at}", 1)], read)
        assert metric[ir_measures.RR] == pytest.approx(1 / (at + 1))


@pytest.mark.parametrize("name", ["my notes.md#1", "a\tb", "a\n", "\u00a0"])
def test_ids_with_white_space_do_not_fit_a_run(tmp_path: Path, name: str) -> None:
    system = Fixed({"?": [Passage(name, "x")]})
    found = evaluate({"one": system}, [Question("q", "?", ("x",))], k=1)
    with pytest.raises(CorpusError, match="holds white space"):
        write_run(tmp_path / "run.trec", found["one"])
    assert list(tmp_path.iterdir()) == []

"""BEIR's protocol and trec_eval's counting: own hits, judgements of 0, and judgements that contradict each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Hit, Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Judgement, Question, SkipReport, read_qrels, write_beir
from dpr_rag.errors import CorpusError, EvaluationError
from dpr_rag.evaluation import evaluate

pytest.importorskip("ir_measures")


class Fixed:
    """A system that finds the same passages whatever it is asked."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def retrieve(self, question: str, k: int, /) -> list[Hit]:
        return [Hit(Passage(name, "x"), -float(rank), rank) for rank, name in enumerate(self.ids[:k], 1)]

    def retrieve_batch(self, questions: Sequence[str], k: int, /) -> list[list[Hit]]:
        return [self.retrieve(question, k) for question in questions]


def test_a_question_judged_with_zero_alone_is_lost_as_in_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    judgements = [Judgement("1", "a", 1), Judgement("2", "b", 0)]
    asked = [Question("1", "x", (), ("a",)), Question("2", "y")]
    found = evaluate({"s": Fixed("b", "a")}, asked, k=2, judgements=judgements)["s"]
    run = {name: {"b": 2.0, "a": 1.0} for name in "12"}
    per_question = pytrec_eval.RelevanceEvaluator({"1": {"a": 1}, "2": {"b": 0}}, {"recip_rank", "recall_2"}).evaluate(
        run
    )
    assert found.ranking["RR@2"].value == sum(one["recip_rank"] for one in per_question.values()) / 2 == 0.25
    assert found.ranking["R@2"].value == sum(one["recall_2"] for one in per_question.values()) / 2 == 0.5
    assert found.accuracy[2].value == 0.5


def test_questions_without_any_relevant_passage_cannot_be_judged() -> None:
    with pytest.raises(EvaluationError, match="every judgement of the 1 questions is 0 or less"):
        evaluate({"s": Fixed("a")}, [Question("1", "x")], by="passage", judgements=[Judgement("1", "a", 0)])


def test_own_hits_are_left_out_and_the_next_one_takes_the_place() -> None:
    asked = [Question("a", "x", (), ("c",)), Question("d", "y", (), ("b",))]
    found = evaluate({"s": Fixed("a", "b", "c")}, asked, k=2, own_hits=False)
    assert [[(hit.passage.id, hit.rank) for hit in one.hits] for one in found["s"].results] == [
        [("b", 1), ("c", 2)],
        [("a", 1), ("b", 2)],
    ]
    assert found.own_hits == {"s": 1}
    assert found["s"].accuracy[2].value == 1.0
    whole = evaluate({"s": Fixed("a", "b", "c")}, asked, k=2)
    assert (whole["s"].accuracy[2].value, whole.own_hits) == (0.5, {})


def test_an_own_hit_that_is_judged_relevant_stays() -> None:
    found = evaluate({"s": Fixed("a")}, [Question("a", "x", (), ("a",))], k=1, own_hits=False)
    assert (found["s"].accuracy[1].value, found.own_hits) == (1.0, {"s": 0})


def test_contradictory_judgements_are_named_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nq\tp\t1\nq\tp\t1\nq\tp\t0\n", "utf-8")
    with pytest.raises(CorpusError, match=r"test\.tsv:4: the passage 'p' is judged 0 .* and 1 on line 2; keep one"):
        list(read_qrels(path))
    report = SkipReport()
    assert list(read_qrels(path, on_bad=report)) == [Judgement("q", "p", 1)]
    assert report.count == 1


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder("tiny"))
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder("tiny")) as opened:
        opened.add([Passage("1", "Hamlet"), Passage("2", "Faust bargain"), Passage("4", "novel matchmaker", "Emma")])
    return tmp_path / "s"


def test_a_folder_of_beir_is_judged_by_its_protocol(store: Path, tmp_path: Path) -> None:
    questions = [Question("4", "novel matchmaker"), Question("q2", "Hamlet"), Question("q3", "bargain")]
    judgements = [Judgement("4", "4", 0), Judgement("q2", "1", 1), Judgement("q3", "2", 2), Judgement("q9", "2", 1)]
    write_beir(tmp_path / "beir", [], questions=questions, splits={"test": judgements})
    done = run("evaluate", store, tmp_path / "beir", "--mode", "bm25", "--json")
    found = json.loads(done.stdout)
    assert found["questions"] == 3
    assert found["left_out"] == {"judged in qrels/test.tsv and not among the questions": 1}
    assert found["own_hits_left_out"] == {"bm25": 1}
    assert found["systems"]["bm25"]["accuracy"]["1"]["value"] == pytest.approx(2 / 3)
    said = run("evaluate", store, tmp_path / "beir", "--mode", "bm25", "--report", tmp_path / "r.html").stdout
    assert "hits left out whose id is the question's, as BEIR does: 1 of bm25\n" in said
    assert "Hits left out whose id is the question&#x27;s" in (tmp_path / "r.html").read_text("utf-8")


def test_queries_and_qrels_of_trec_are_judged_together(store: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.tsv").write_text("4\tnovel matchmaker\n301\tHamlet\n", "utf-8")
    (tmp_path / "qrels.txt").write_text("4 0 4 1\n301 0 2 1\n", "utf-8")
    named = ("--qrels", tmp_path / "qrels.txt", "--mode", "bm25", "--json")
    found = json.loads(run("evaluate", store, tmp_path / "queries.tsv", *named).stdout)
    assert (found["by"], found["questions"], found["own_hits_left_out"]) == ("passage", 2, {})
    assert found["systems"]["bm25"]["accuracy"]["1"]["value"] == 0.5
    done = run("evaluate", store, tmp_path / "queries.tsv", "--mode", "bm25")
    assert "2 of 2 questions have no answers (the first is '4')" in done.stderr


def test_keys_that_are_not_read_are_named(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "q", "gold": ["x"], "year": 1}\n', "utf-8")
    assert run("evaluate", store, path, "--mode", "bm25").stderr.rstrip().endswith("; not read were gold, year")

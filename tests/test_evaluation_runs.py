"""Runs of other systems are judged beside ours, by the same measures and on the same questions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, write_questions
from dpr_rag.errors import CorpusError, EvaluationError
from dpr_rag.evaluation import evaluate, read_run

pytest.importorskip("ir_measures")
ASKED = [Question("1", "Hamlet", (), ("p1",)), Question("2", "Faust", (), ("p2",)), Question("3", "Emma", (), ("p3",))]
TREC = "2 Q0 p2 1 0.5 x\n1 Q0 p9 1 0.25 x\n1\tQ0\tp1\t2\t0.75\tx\n2 Q0 p3 7 0.5 x\n"


def file(path: Path, data: str) -> Path:
    path.write_text(data, "utf-8")
    return path


def test_trec_runs_are_in_the_order_of_trec_eval(tmp_path: Path) -> None:
    run = read_run(file(tmp_path / "r.trec", TREC))
    assert [[hit.passage.id for hit in run.hits(one)] for one in ASKED] == [["p1", "p9"], ["p3", "p2"], []]
    marco = read_run(file(tmp_path / "r.tsv", "1\tp9\t2\n1\tp1\t1\n"))
    assert [hit.passage.id for hit in marco.hits(ASKED[0])] == ["p1", "p9"]
    alike = read_run(file(tmp_path / "s.trec", "1 Q0 p1 1 2e-50 x\n1 Q0 p9 2 1e-50 x\n"))  # both 0 as float32
    assert [hit.passage.id for hit in alike.hits(ASKED[0])] == ["p9", "p1"]


def test_the_figures_are_those_of_trec_eval(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    found = evaluate({"theirs": read_run(file(tmp_path / "r.trec", TREC))}, ASKED, k=10)["theirs"]
    qrels = {one.id: dict.fromkeys(one.positive_ids, 1) for one in ASKED}
    run = {"1": {"p9": 0.25, "p1": 0.75}, "2": {"p2": 0.5, "p3": 0.5}}
    each = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank", "ndcg_cut_10"}).evaluate(run)
    assert found.ranking["RR@10"].value == pytest.approx(sum(one["recip_rank"] for one in each.values()) / 3)
    assert found.ranking["nDCG@10"].value == pytest.approx(sum(one["ndcg_cut_10"] for one in each.values()) / 3)
    assert (found.accuracy[1].value, found.latency) == (pytest.approx(1 / 3), None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 Q0 a b 1 0.5 x", "7 columns, expected the 6 of a TREC run"),
        ("1 Q0 p1 1 nan x", "the score is 'nan'"),
        ("1 Q0 p1 1 1e39 x", "the score is '1e39', expected a finite number of 3.4e\\+38 at most, as float32 has"),
        ("1 Q0 p1 1 1_0 x", "the score is '1_0'"),
        ("1 p1 " + "9" * 5_000, "the rank is '9{59}, expected an integer from 1, of 7 digits at most"),
        ("1 Q0 p1 1 0.5 x\n1 Q0 p1 2 0.4 x", "the passage 'p1' comes twice"),
    ],
)
def test_bad_lines_of_a_run_are_named(tmp_path: Path, line: str, said: str) -> None:
    path = file(tmp_path / "r.trec", f"9 Q0 p 1 1 x\n{line}\n")
    with pytest.raises(CorpusError, match=rf"r\.trec:{2 + line.count(chr(10))}: {said}"):
        read_run(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"1": {"p\xff": 1}}', r"byte 10 \(0xff\) is not UTF-8"),
        (b'{"1": {"p": 1}', r"is not JSON \(.*\); write it anew"),
        (b'{"1": {"p": "a"}}', "'1' has 'a' for 'p', expected a number"),
        (b'{"1": {"p": 1}, "2": 5}', "'2' has 5, expected an object of numbers"),
        (b'{"1": {"p": 1e999}}', "of the question '1', the score is inf, expected a finite number"),
        (b'{"1": {"p": 1%s}}' % (b"0" * 400), "of the question '1', the score is 10{59}, expected a finite number"),
        (b'{"1": {"": 1}}', "of the question '1', the passage's id is '', expected a non-empty string"),
    ],
)
def test_a_bad_run_of_one_object_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "r.json").write_bytes(data)
    with pytest.raises(CorpusError, match=rf"r\.json: {said}"):
        read_run(tmp_path / "r.json")


def test_a_result_file_with_anything_twice_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    def results(*found: tuple[str, ...]) -> Path:
        lists = [[{"id": name, "text": name, "score": -n} for n, name in enumerate(names)] for names in found]
        return file(
            tmp_path / "r.json", json.dumps([{"question": "Hamlet", "answers": [], "ctxs": one} for one in lists])
        )

    assert [hit.passage.id for hit in read_run(results(("p1", "p2"), ("p1", "p2"))).hits(ASKED[0])] == ["p1", "p2"]
    with pytest.raises(CorpusError, match=r"r\.json: the question 'Hamlet' comes twice, with other passages or scores"):
        read_run(results(("p1", "p2"), ("p2", "p1")))
    with pytest.raises(CorpusError, match=r"r\.json: the passage 'p2' comes twice for the question 'Hamlet'"):
        read_run(results(("p1", "p2", "p2")))


def test_a_pipe_is_refused_before_anything_is_read_from_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run")  # to read from it would wait for a writer
    with pytest.raises(CorpusError, match=r"run: is a pipe, which can be read only once"):
        read_run(tmp_path / "run")


def test_a_run_of_other_questions_or_without_texts_is_refused(tmp_path: Path) -> None:
    run = read_run(file(tmp_path / "r.trec", "q7 Q0 p1 1 0.5 x\n"))
    with pytest.raises(EvaluationError, match=r"hits for none of the 3 questions: the first asked is '1', .* run 'q7'"):
        evaluate({"r": run}, ASKED)
    with pytest.raises(EvaluationError, match="ids of passages and no texts"):
        evaluate({"r": run}, [Question("q7", "x", ("a",))])


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


def test_runs_are_judged_without_a_store(tmp_path: Path) -> None:
    theirs, queries = file(tmp_path / "theirs.trec", TREC), file(tmp_path / "q.tsv", "1\tHamlet\n2\tFaust\n3\tEmma\n")
    qrels = file(tmp_path / "qrels", "1 0 p1 1\n2 0 p2 1\n3 0 p3 1\n")
    other = file(tmp_path / "other.trec", "1 Q0 p9 1 1 x\n2 Q0 p2 1 1 x\n3 Q0 p3 1 1 x\n")
    named = ("--run", theirs, "--run", other, "--questions", queries, "--qrels", qrels)
    done = run("evaluate", *named, "--json", "--report", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {name: one["accuracy"]["1"]["value"] for name, one in found["systems"].items()} == {
        "theirs.trec": pytest.approx(1 / 3),
        "other.trec": pytest.approx(2 / 3),
    }
    (first,) = [one for one in found["comparisons"] if one["k"] == 1]
    assert (first["first"], first["gained"], first["lost"]) == ("other.trec", 2, 1)
    assert "theirs.trec has no hits for 1 of 3 questions, which count as lost\n" in done.stderr
    assert "theirs.trec" in (tmp_path / "r.html").read_text("utf-8")


def test_runs_stand_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder("tiny"))
    store, questions = tmp_path / "s", tmp_path / "q.jsonl"
    with PassageStore.open(store, encoder=TinyEncoder("tiny")) as opened:
        opened.add([Passage("p1", "Hamlet tragedy"), Passage("p2", "Faust bargain"), Passage("p3", "Emma novel")])
    answers = {"1": "tragedy", "2": "bargain", "3": "novel"}
    write_questions(questions, [Question(one.id, one.question, (answers[one.id],)) for one in ASKED])
    theirs = file(tmp_path / "theirs.trec", TREC)
    done = run("evaluate", store, questions, "--mode", "bm25", "--run", theirs)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split() == ["bm25", "theirs.trec"]
    assert done.stdout.splitlines()[2].split()[:2] == ["top-1", "accuracy"]
    assert "100.0" in done.stdout.splitlines()[2]
    assert "33.3" in done.stdout.splitlines()[2]
    assert "1 of 4 passages of theirs.trec are not in the store (one is 'p9')" in done.stderr
    ours = tmp_path / "ours.json"
    assert run("evaluate", store, questions, "--mode", "bm25", "--output", ours).exit_code == 0
    again = json.loads(run("evaluate", "--run", ours, "--questions", questions, "--json").stdout)
    assert again["systems"]["ours.json"]["accuracy"]["1"]["value"] == 1.0


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    queries = file(tmp_path / "q.tsv", "1\tHamlet\n")
    assert run("evaluate", "--questions", queries).exit_code == 2
    assert run("evaluate", "--run", queries).exit_code == 2
    done = run("evaluate", "--run", tmp_path / "new.trec", "--questions", queries)
    assert (done.exit_code, "--run reads a run, and --write-run writes one" in done.stderr) == (1, True)


def test_a_run_without_a_hit_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "e.trec").write_text("# nothing\n", "utf-8")
    with pytest.raises(EvaluationError, match=r"^it holds no hits at all; write the run anew$"):
        evaluate({"it": read_run(tmp_path / "e.trec")}, ASKED)

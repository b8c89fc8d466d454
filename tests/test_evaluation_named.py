"""Measures by name: their values beside a plain calculation of trec_eval's definitions, per question and in the mean."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Judgement, Question, write_beir, write_questions
from dpr_rag.errors import CorpusError, EvaluationError
from dpr_rag.evaluation import check_run_ids, evaluate, write_per_question
from dpr_rag.evaluation.named import parse_measure
from dpr_rag.evaluation.runs import Run
from dpr_rag.passages import Hit

NAMES = [
    "nDCG@10",
    "nDCG@3",
    "nDCG",
    "R@100",
    "R@5",
    "MAP",
    "MAP@5",
    "MRR@10",
    "MRR",
    "P@5",
    "P@20",
    "accuracy@20",
    "accuracy@1",
]


def reference(name: str, found: Sequence[str], grades: dict[str, int]) -> float:
    """trec_eval's definitions, written out for one question."""
    family, _, cutoff = name.partition("@")
    top = list(found[: int(cutoff)] if cutoff else found)
    right = [grades.get(one, 0) > 0 for one in top]
    relevant = sum(grade > 0 for grade in grades.values())
    if family == "nDCG":
        gains = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
        ideal = gains[: int(cutoff)] if cutoff else gains
        best = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(ideal))
        return sum(grades.get(one, 0) / math.log2(rank + 2) for rank, one in enumerate(top)) / best if best else 0.0
    if family == "MAP":
        precisions = [sum(right[: rank + 1]) / (rank + 1) for rank in range(len(top)) if right[rank]]
        return sum(precisions) / relevant if relevant else 0.0
    if family == "MRR":
        return 1 / (right.index(True) + 1) if True in right else 0.0
    if family == "R":
        return sum(right) / relevant if relevant else 0.0
    return sum(right) / int(cutoff) if family == "P" else float(any(right))


@pytest.fixture(scope="module")
def judged() -> tuple[list[Question], list[Judgement], dict[str, list[str]]]:
    """Forty questions with graded judgements, and a run: of some questions nothing is relevant, of others nothing is found."""
    rng = np.random.default_rng(3)
    questions, judgements, found = [], [], {}
    for at in range(40):
        name = f"q{at}"
        order = [f"p{one}" for one in rng.permutation(60)]
        grades = {one: int(rng.integers(0, 4)) for one in rng.permutation(order)[: int(rng.integers(1, 40))]}
        if at % 10 == 4:
            grades = dict.fromkeys(grades, 0)
        judgements += [Judgement(name, one, grade) for one, grade in grades.items()]
        questions.append(Question(name, f"question {at}", (), tuple(one for one, grade in grades.items() if grade)))
        found[name] = [] if at % 10 == 7 else order[: int(rng.integers(1, 60))]
    return questions, judgements, found


def run_of(found: dict[str, list[str]]) -> Run:
    hits = {
        name: tuple(Hit(Passage(one, one), float(-rank), rank) for rank, one in enumerate(ids, 1))
        for name, ids in found.items()
    }
    return Run({name: one for name, one in hits.items() if one}, bare=True)


def grades_of(judgements: Sequence[Judgement], name: str) -> dict[str, int]:
    return {one.passage_id: one.relevance for one in judgements if one.question_id == name}


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_is_trec_evals_for_every_question(
    name: str, judged: tuple[list[Question], list[Judgement], dict[str, list[str]]]
) -> None:
    questions, judgements, found = judged
    done = evaluate({"run": run_of(found)}, questions, judgements=judgements, measures=[name], by="passage")
    expected = [reference(name, found[one.id], grades_of(judgements, one.id)) for one in questions]
    assert 0 < np.mean(expected) < 1
    assert done["run"].values[name] == pytest.approx(expected, abs=1e-9)
    assert done["run"].ranking[name].value == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("ndcg@10", "nDCG@10"),
        ("NDCG_CUT_10", "nDCG@10"),
        ("ndcg_cut.10", "nDCG@10"),
        ("recall@100", "R@100"),
        ("Recall_100", "R@100"),
        ("map", "MAP"),
        ("ap@5", "AP@5"),
        ("mrr@10", "MRR@10"),
        ("recip_rank", "RR"),
        ("p_5", "P@5"),
        ("Precision@5", "P@5"),
        ("ACCURACY@20", "accuracy@20"),
        ("top-20", "accuracy@20"),
        ("success@1", "Success@1"),
    ],
)
def test_names_are_understood_whatever_their_spelling(given: str, name: str) -> None:
    assert str(parse_measure(given)) == name


@pytest.mark.parametrize("given", ["bpref", "nDCG@", "nDCG@ten", "@10", "", "nDCG@10@5", "nDCG@-1", "R@1e9"])
def test_an_unknown_name_is_answered_with_the_valid_ones(given: str) -> None:
    with pytest.raises(EvaluationError, match=r"there is no measure .*; expected nDCG, nDCG@k, MAP, .*accuracy@k"):
        parse_measure(given)


@pytest.mark.parametrize("given", ["R", "P", "accuracy", "success", "nDCG@0"])
def test_a_cutoff_is_asked_for_where_there_is_none(given: str) -> None:
    with pytest.raises(EvaluationError, match="needs a cutoff of at least 1; write for example"):
        parse_measure(given)


def test_by_answer_only_what_was_found_is_measured() -> None:
    asked = [Question("a", "who", ("Goethe",)), Question("b", "what", ("Faust",))]
    hits = (
        Hit(Passage("1", "by Schiller"), 3.0, 1),
        Hit(Passage("2", "by Goethe"), 2.0, 2),
        Hit(Passage("3", "Goethe"), 1.0, 3),
    )
    run = Run({"a": hits, "b": hits})
    done = evaluate({"run": run}, asked, measures=["MRR", "P@5", "accuracy@1", "accuracy@2"])
    assert done.measures == ("MRR", "P@5", "accuracy@1", "accuracy@2")
    assert done["run"].values == {
        "MRR": (0.5, 0.0),
        "P@5": (0.4, 0.0),
        "accuracy@1": (0.0, 0.0),
        "accuracy@2": (1.0, 0.0),
    }
    with pytest.raises(EvaluationError, match="nDCG@10 counts the right passages that were not found"):
        evaluate({"run": run}, asked, measures=["nDCG@10"])
    with pytest.raises(EvaluationError, match="MRR@200 looks at 200 hits, and 100 are asked for; pass k=200"):
        evaluate({"run": run}, asked, measures=["MRR@200"])


def test_the_usual_measures_are_kept_per_question_too(
    judged: tuple[list[Question], list[Judgement], dict[str, list[str]]],
) -> None:
    questions, judgements, found = judged
    done = evaluate({"run": run_of(found)}, questions, judgements=judgements, by="passage")
    values = done["run"].values
    assert list(values) == [*(f"accuracy@{k}" for k in (1, 5, 20, 100)), "RR@100", "nDCG@10", "R@100"]
    assert np.mean(values["accuracy@5"]) == pytest.approx(done["run"].accuracy[5].value)
    assert np.mean(values["nDCG@10"]) == pytest.approx(done["run"].ranking["nDCG@10"].value)


def test_questions_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    asked = [Question("1\t", 'a "tab"\there', ("x",)), Question("2", "two\nlines", ("y",)), Question("3", "ü", ("z",))]
    run = Run({"1\t": (Hit(Passage("p", "x"), 1.0, 1),)})
    done = evaluate({"one": run, "two": run}, asked, measures=["MRR", "P@3"])
    assert write_per_question(tmp_path / "q.tsv", done) == 6
    with (tmp_path / "q.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["question_id"], row["question"], row["system"]) for row in rows] == [
        (one.id, one.question, system) for one in asked for system in ("one", "two")
    ]
    assert [(float(row["MRR"]), float(row["P@3"])) for row in rows[:4]] == [(1, 1 / 3), (1, 1 / 3), (0, 0), (0, 0)]
    write_per_question(tmp_path / "q.jsonl.gz", done)
    lines = gzip.open(tmp_path / "q.jsonl.gz", "rt", encoding="utf-8").read().splitlines()
    assert json.loads(lines[0]) == {
        **{"question_id": "1\t", "question": 'a "tab"\there', "system": "one"},
        **{"MRR": 1.0, "P@3": 1 / 3},
    }
    with pytest.raises(CorpusError, match=r"ends in neither \.tsv nor \.jsonl"):
        write_per_question(tmp_path / "q.txt", done)


def cli(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    words = ["king", "denmark", "play", "winter", "cold", "tale", "queen", "ghost"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 6)) for _ in range(30)]
    passages = [Passage(f"p{at}", text) for at, text in enumerate(texts)]
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as opened:
        opened.add(passages)
    asked = [Question(f"q{at}", " ".join(rng.choice(words, 3))) for at in range(12)]
    judgements = [
        Judgement(one.id, f"p{row}", int(rng.integers(0, 3))) for one in asked for row in rng.permutation(30)[:9]
    ]
    write_beir(tmp_path / "beir", passages, questions=asked, splits={"test": judgements})
    return tmp_path / "s"


def test_the_command_shows_and_writes_what_was_asked_for(store: Path, tmp_path: Path) -> None:
    names = ("nDCG@10", "r@20", "MRR@10", "map", "P@5", "accuracy@20")
    options = [part for name in names for part in ("--measure", name)]
    line = ("evaluate", store, tmp_path / "beir", "--mode", "dense", "--mode", "bm25", *options)
    trec, table = tmp_path / "r.trec", tmp_path / "q.tsv"
    done = cli(*line, "--json", "--write-run", trec, "--per-question", table)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["measures"] == ["nDCG@10", "R@20", "MRR@10", "MAP", "P@5", "accuracy@20"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    qrels = [one.split() for one in (tmp_path / "beir" / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    for system in ("dense", "bm25"):
        written = [one.split() for one in (tmp_path / f"r.{system}.trec").read_text().splitlines()]
        own = [row for row in rows if row["system"] == system]
        assert len(own) == 12
        for row in own:
            grades = {passage: int(grade) for name, passage, grade in qrels if name == row["question_id"]}
            order = [one[2] for one in written if one[0] == row["question_id"]]
            for name in found["measures"]:
                assert float(row[name]) == pytest.approx(reference(name, order, grades), abs=1e-9)
        for name in found["measures"]:
            mean = found["systems"][system]["ranking"][name]["value"]
            assert mean == pytest.approx(np.mean([float(row[name]) for row in own]))
    shown = cli(*line)
    rows_shown = [line.split()[0] for line in shown.stdout.splitlines()[2:]]
    assert rows_shown[:6] == found["measures"]
    assert "top-" not in shown.stdout
    again = cli(
        *("evaluate", "--run", tmp_path / "r.dense.trec", "--questions", tmp_path / "beir", "--json", *options),
        *("--per-question", tmp_path / "runs.jsonl"),
    )
    assert again.exit_code == 0, again.output
    records = [json.loads(one) for one in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [one["nDCG@10"] for one in records] == pytest.approx(
        [float(row["nDCG@10"]) for row in rows if row["system"] == "dense"]
    )


def test_as_many_passages_are_asked_for_as_a_measure_looks_at(store: Path, tmp_path: Path) -> None:
    done = cli("evaluate", store, tmp_path / "beir", "--measure", "R@1000", "--mode", "dense", "--json")
    assert json.loads(done.stdout)["k"] == 1000
    assert json.loads(done.stdout)["systems"]["dense"]["ranking"]["R@1000"]["value"] == 1.0


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (2, ("--measure", "bpref"), "there is no measure 'bpref'; expected nDCG, nDCG@k"),
        (2, ("--measure", "R@50", "--k", 10), "R@50 looks at 50 hits, and 10 are asked for; pass --k 50"),
        (2, ("--per-question", "{there}/q.csv"), "the name ends in neither .tsv nor .jsonl"),
        (1, ("--per-question", "{there}/none/q.tsv"), "none/q.tsv: cannot be written"),
    ],
)
def test_mistakes_are_found_before_the_work(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, options: tuple[object, ...], said: str
) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: pytest.fail("a model was loaded"))
    done = cli("evaluate", store, tmp_path / "beir", *(str(one).format(there=tmp_path) for one in options))
    assert done.exit_code == code, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", "\u2003", "\u3000", "\x1f", "\n"])
def test_ids_that_no_run_can_name_are_found_before_the_work(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    with PassageStore.open(store, encoder=TinyEncoder()) as opened:
        opened.add([Passage(f"my{space}notes.md#1", "a ghost")])
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: pytest.fail("a model was loaded"))
    done = cli("evaluate", store, tmp_path / "beir", "--write-run", tmp_path / "r.trec")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.output
    assert f"{f'my{space}notes.md#1'!r}".replace("\\", "") in done.stderr.replace("\\", "")
    assert (
        "holds white space, which TREC's run form cannot hold; write DPR's result JSON with --output instead"
        in done.stderr
    )
    assert not (tmp_path / "r.trec").exists()


def test_ids_of_questions_and_of_other_runs_count_too(store: Path, tmp_path: Path) -> None:
    write_questions(tmp_path / "q.jsonl", [Question("q 1", "the ghost", (), ("p1",))])
    done = cli("evaluate", store, tmp_path / "q.jsonl", "--by", "passage", "--write-run", tmp_path / "r.trec")
    assert (done.exit_code, "the id 'q 1' holds white space" in done.stderr) == (1, True)
    check_run_ids(tmp_path / "r.trec", ["p1", "p2"])
    with pytest.raises(CorpusError, match="the id ' p2' holds white space"):
        check_run_ids(tmp_path / "r.trec", ["p1", " p2"])

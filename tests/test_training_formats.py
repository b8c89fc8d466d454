"""Training data as other projects write them, from the command line to a trained encoder; what is not read is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
from test_cli_training import run
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.corpora import TrainingPassage, read_training, write_jsonl
from dpr_rag.errors import CorpusError
from dpr_rag.training import read_samples
from dpr_rag.training.inputs import is_training

ROWS = [
    ("who wrote hamlet", "hamlet is a tragedy", "the king of denmark"),
    ("who is king", "the king of denmark", "a tragedy by it"),
    ("what is it ?", "it is a tragedy by the king", "hamlet of denmark"),
]
JSON: dict[str, Any] = {
    "tevatron": lambda q, p, n: {
        "query_id": "1",
        "query": q,
        "positive_passages": [{"docid": "p", "title": "", "text": p}],
        "negative_passages": [{"docid": "n", "title": "", "text": n}],
    },
    "flag": lambda q, p, n: {"query": q, "pos": [p], "neg": [n]},
    "scored": lambda q, p, n: {"query": q, "pos": [p], "neg": [n], "pos_scores": [2.5], "neg_scores": ["-1"]},
    "triplets": lambda q, p, n: {"anchor": q, "positive": p, "negative": n},
    "numbered": lambda q, p, n: {"query": q, "positive": p, "negative_1": n},
}
TABLES: dict[str, str] = {
    "marco.tsv": "".join("\t".join(row) + "\n" for row in ROWS),
    "headed.tsv": "anchor\tpositive\tnegative\n" + "".join("\t".join(row) + "\n" for row in ROWS),
    "t.csv": "query,positive,negative_1\n" + "".join(f'"{q}","{p}",{n}\n' for q, p, n in ROWS),
    "turned.csv": "id;negative;Positive;Anchor\n" + "".join(f"{at};{n};{p};{q}\n" for at, (q, p, n) in enumerate(ROWS)),
}


def written(folder: Path, form: str) -> Path:
    if form in TABLES:
        (folder / form).write_text(TABLES[form], "utf-8")
        return folder / form
    path = folder / f"{form}.jsonl"
    path.write_text("".join(json.dumps(JSON[form](*row)) + "\n" for row in ROWS), "utf-8")
    return path


@pytest.mark.parametrize("form", [*JSON, *TABLES])
def test_every_form_is_read_the_same(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    found = list(read_training(path))
    assert [(one.question, one.positives[0].text, one.hard_negatives[0].text) for one in found] == ROWS
    assert all(len(one.positives) == len(one.hard_negatives) == 1 for one in found)
    assert is_training(path)
    if form == "scored":
        assert [(one.positives[0].score, one.hard_negatives[0].score) for one in found] == [(2.5, -1.0)] * 3


@pytest.mark.parametrize("form", [*JSON, *TABLES])
def test_every_form_is_trained_on(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    tiny.bert(tmp_path / "bert")
    given = ("--init", tmp_path / "bert", "--profile", "dpr", "--batch", 3, "--epochs", 25, "--lr", 1e-3, "--warmup", 0)
    done = run("train", path, *given, "--dropout", 0, "-q", "-o", tmp_path / "out", "--dev", path, "--select", "nll")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == "3 samples"
    logged = [json.loads(one) for one in (tmp_path / "out" / "training" / "log.jsonl").read_text().splitlines()]
    losses = [one["validation"]["nll"] for one in logged if "validation" in one]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("form", [*JSON, *TABLES, "kilt"])
def test_every_form_is_mined(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "kilt":
        items = [
            {"id": str(at), "input": q, "output": [{"answer": p.split()[-1]}]} for at, (q, p, _) in enumerate(ROWS)
        ]
        path = tmp_path / "kilt.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in items))
    else:
        path = written(tmp_path, form)
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as store:
        store.add(
            [
                Passage(f"{at}{side}", text)
                for at, row in enumerate(ROWS)
                for side, text in zip("pn", row[1:], strict=True)
            ]
        )
    done = run("mine", path, "--store", tmp_path / "s", "-o", tmp_path / "out.json", "-n", 2)
    assert done.exit_code == 0, done.output
    expected = ROWS[:2] if form == "kilt" else ROWS  # "what is it ?" has stop words alone, so that nothing is found
    for sample, (question, _, _) in zip(read_training(tmp_path / "out.json"), expected, strict=True):
        assert sample.question == question
        assert sample.hard_negatives
        assert sample.positives[0].text not in {one.text for one in sample.hard_negatives}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"query": "who", "gold": "x", "wrong": "y"},
            r"no key of query, gold, wrong is known for the positives .*dpr-rag mine",
        ),
        ({"frage": "who", "pos": ["x"]}, "no key of frage, pos is known for the question"),
        (
            {"id": "1", "input": "who", "output": [{"answer": "he"}]},
            r"no key of id, input, output is known .*dpr-rag mine",
        ),
        ({"query": "who", "pos": ["x"], "pos_scores": [1, 2]}, r"pos_scores is \[1, 2\], expected a list of 1 numbers"),
        (
            {"query": "who", "pos": ["x"], "neg": ["y"], "neg_scores": [None]},
            "the score is None, expected a finite number",
        ),
    ],
)
def test_keys_that_are_not_read_are_named(tmp_path: Path, item: dict[str, Any], message: str) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(item) + "\n")
    with pytest.raises(CorpusError, match=message):
        list(read_training(tmp_path / "t.jsonl"))
    done = run("train", tmp_path / "t.jsonl", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "nothing to train on" in done.stderr.splitlines()[-1]


def test_negatives_under_an_unknown_key_are_said(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"query": q, "pos": [p], "negs": [n]}) + "\n" for q, p, n in ROWS)
    )
    done = run("train", tmp_path / "t.jsonl", "-o", tmp_path / "out", "--dev", tmp_path / "no.jsonl")
    assert "3 samples have no hard negative and learn from in-batch negatives only" in done.stderr
    assert "not read were the keys negs" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "id\ttext\ttitle\n1\tthe text of it\tthe title of it\n",
        "1\tthe text of it\tthe title of it\n",
        "question\tanswers\tpositive_ids\nwho wrote it\the wrote\tp 1\n",
        "q 1\twho wrote it\t['he wrote']\n",
        "1\t2\t3\n",
        "who wrote it\t['he wrote']\n",
    ],
)
def test_other_tables_are_no_triples(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.tsv").write_text(text)
    assert not is_training(tmp_path / "t.tsv")
    with pytest.raises(CorpusError, match=r"t\.tsv:1: "):
        list(read_training(tmp_path / "t.tsv"))


def test_bad_rows_of_triples_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(TABLES["marco.tsv"] + "who is it\tthe king of it\n")
    bad: list[CorpusError] = []
    found = list(read_training(tmp_path / "t.tsv", on_bad=bad.append))
    assert len(found) == 3
    assert found[0].positives == (TrainingPassage("hamlet is a tragedy"),)
    assert "t.tsv:4: " in str(bad[0])


def test_tevatrons_ids_are_mined(tmp_path: Path) -> None:
    item = {
        "query_id": "1",
        "query_text": "who wrote hamlet",
        "positive_document_ids": ["p"],
        "negative_document_ids": [],
    }
    (tmp_path / "q.jsonl").write_text(json.dumps(item) + "\n")
    write_jsonl(tmp_path / "c.jsonl", [Passage("p", "hamlet is a tragedy"), Passage("n", "who is the king")])
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as store:
        store.add([Passage("p", "hamlet is a tragedy"), Passage("n", "who is the king")])
    done = run("mine", tmp_path / "q.jsonl", "--store", tmp_path / "s", "-o", tmp_path / "t.json")
    assert done.exit_code == 0, done.output
    (sample,) = read_training(tmp_path / "t.json")
    assert [one.id for one in (*sample.positives, *sample.hard_negatives)] == ["p", "n"]


@pytest.mark.parametrize(
    "item",
    [
        {"Query": "who", "Pos": ["a king"], "Neg": ["a prince"], "Pos_Scores": [3], "NEG_SCORES": [1]},
        {"Question": "who", "Positive_ctxs": [{"text": "a king", "score": 3}]}
        | {"Hard_Negative_Ctxs": [{"text": "a prince", "score": 1}]},
        {
            "Anchor": "who",
            "Positive": [{"text": "a king", "score": 3}],
            "Negative_1": [{"text": "a prince", "score": 1}],
        },
    ],
)
def test_the_case_of_a_key_loses_no_negatives(tmp_path: Path, item: dict[str, object]) -> None:
    (tmp_path / "t.json").write_text(json.dumps([item]))
    (sample,), report = read_samples(tmp_path / "t.json")
    assert (sample.question, report.without_hard_negatives) == ("who", 0)
    assert [(one.text, one.score) for one in (*sample.positives, *sample.hard_negatives)] == [
        ("a king", 3.0),
        ("a prince", 1.0),
    ]


def test_a_key_that_is_a_number_holds_no_negatives(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(
        json.dumps([{"query": "who", "pos": ["a king"], "neg": ["a prince"], "2023": "x"}])
    )
    (tmp_path / "t.csv").write_text("question,positive,negative,1\nwho,a king,a prince,noise\n")
    for name in ("t.json", "t.csv"):
        (sample,), _ = read_samples(tmp_path / name)
        assert [one.text for one in sample.hard_negatives] == ["a prince"]

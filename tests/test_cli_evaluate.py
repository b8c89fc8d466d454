"""`evaluate`: the figures of known hits, the page, the files that other tools read, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Judgement, Question, write_beir, write_questions

PASSAGES = [Passage("1", "a tragedy", "Hamlet"), Passage("2", "a comedy", "Errors"), Passage("3", "an epic", "Iliad")]
ASKED = [
    Question("q1", "Hamlet tragedy", ("tragedy",), ("1",)),
    Question("q2", "epic Iliad", ("epic",), ("3",)),
    Question("q3", "Hamlet", ("comedy",), ("2",)),
    Question("q4", "comedy", ("comedy",), ("2",)),
]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder("tiny"))
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder("tiny")) as opened:
        opened.add(PASSAGES)
    write_questions(tmp_path / "q.jsonl", ASKED)
    return tmp_path / "s"


def table(done: Result) -> dict[str, list[str]]:
    """The first figure of every mode by the name of its row."""
    assert done.exit_code == 0, done.output
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    return {name: [cell.split()[0] for cell in cells] for name, *cells in rows if cells}


def test_figures_are_those_of_the_hits(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--mode", "dense", "--mode", "bm25", "--k", 3)
    lines = done.stdout.splitlines()
    assert lines[0] == "4 questions, judged by an answer in the passage; 95 % intervals in brackets"
    assert lines[1].split() == ["dense", "bm25"]
    # BM25 finds three of four answers first, and never q3's, whose words stand in another passage
    figures = table(done)
    assert figures["top-1 accuracy"] == ["75.0", "75.0"]
    assert figures["top-3 accuracy"] == ["100.0", "75.0"]
    assert figures["MRR@3"][1] == ".750"
    assert float(figures["latency p50"][0]) > 0
    assert lines[-1].startswith("bm25 against dense at 3: −25.0 points [")
    assert lines[-1].endswith("right alone on 0 and 1 questions; p = 1.000 (exact McNemar test)")
    assert max(map(len, lines[:-1])) <= 80
    assert "\x1b" not in done.output


def test_ranking_measures_come_with_known_passages(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--by", "passage", "-k", 2)
    assert "judged by the passage's id" in done.stdout
    figures = table(done)
    assert (figures["MRR@2"], figures["nDCG@2"], figures["R@2"]) == ([".750"], [".750"], [".750"])


def test_a_file_per_mode(store: Path, tmp_path: Path) -> None:
    results, trec = tmp_path / "r.json.gz", tmp_path / "r.trec"
    both = run("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--mode", "dense", "--output", results)
    assert both.exit_code == 0, both.output
    assert {path.name for path in tmp_path.glob("r.*")} == {"r.bm25.json.gz", "r.dense.json.gz"}
    results = tmp_path / "r.json"
    done = run(
        *("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--limit", 2),
        *("--output", results, "--write-run", trec, "--quiet"),
    )
    assert done.exit_code == 0, done.output
    assert done.stderr == f"wrote {results}\nwrote {trec}\n"
    written = json.loads(results.read_text())
    assert [(one["question"], [(ctx["id"], ctx["has_answer"]) for ctx in one["ctxs"]]) for one in written] == [
        ("Hamlet tragedy", [("1", True)]),
        ("epic Iliad", [("3", True)]),
    ]
    lines = [line.split() for line in trec.read_text().splitlines()]
    assert [[*line[:4], line[5]] for line in lines] == [["q1", "Q0", "1", "1", "bm25"], ["q2", "Q0", "3", "1", "bm25"]]


def test_the_page_holds_figures_and_settings(store: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    modes = [part for mode in ("dense", "bm25", "hybrid") for part in ("--mode", mode)]
    done = run("evaluate", store, tmp_path / "q.jsonl", *modes, "-k", 3, "--weight", 2, "--report", page)
    assert done.exit_code == 0, done.output
    assert done.stderr.endswith(f"wrote {page}\n")
    source = page.read_text("utf-8")
    assert "<h1>Retrieval from s</h1>" in source
    settings = dict(re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td>', source.split("<h2>Settings</h2>")[1]))
    assert set(settings) >= {
        "store",
        "passages",
        "modes",
        "encoder",
        "runtime",
        "index",
        "questions",
        "versions",
        "date",
        "command",
    }
    assert settings["store"] == str(store)
    assert settings["passages"].startswith("3, generation ")
    assert settings["modes"] == "dense, bm25, hybrid with λ = 2"
    assert settings["encoder"] == "tiny, fingerprint tiny-64"
    assert settings["runtime"] == "unknown"
    assert settings["index"] == "flat; 64 components of float32"
    assert "numpy" in settings["versions"]


def test_json_holds_every_figure(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--json", "-k", 3, "--index-recall", "--batch", 2, "--seed", 5)
    found = json.loads(done.stdout)
    assert (found["questions"], found["by"], found["k"], found["seed"]) == (4, "answer", 3, 5)
    assert found["systems"]["dense"]["accuracy"]["3"]["value"] == 1.0
    assert found["systems"]["dense"]["latency"] is None
    assert found["settings"]["index recall"] == "1.0000 of the exact top 20, on 4 questions"


def test_index_recall_stands_apart(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "-k", 3, "--index-recall")
    assert done.stdout.splitlines()[-1].startswith(
        "index recall, no part of the figures above: 1.0000 of the exact top 20"
    )


def test_words_alone_need_no_model(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: pytest.fail("a model was loaded"))
    done = run(
        "evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--index-recall", "--report", tmp_path / "r.html"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].endswith("not measured, as no vectors were searched")


def test_beir_folders_bring_graded_judgements(store: Path, tmp_path: Path) -> None:
    graded = [Judgement("q1", "1", 1), Judgement("q1", "2", 3), Judgement("q2", "3", 1), Judgement("q4", "1", 0)]
    write_beir(
        tmp_path / "beir", PASSAGES, questions=[Question(one.id, one.question) for one in ASKED], splits={"dev": graded}
    )
    done = run("evaluate", store, tmp_path / "beir", "--split", "dev", "--mode", "bm25", "-k", 2)
    assert done.stdout.startswith("3 questions, judged by the passage's id")  # q4, of grade 0 alone, counts as lost
    ideal = 3 + 1 / 1.5849625007211562  # q1's passage of grade 1 alone is found, at the first place
    assert table(done)["nDCG@2"] == [f"{(1 / ideal + 1) / 3:.3f}".removeprefix("0")]
    assert table(done)["R@2"] == [".500"]


def beir(folder: Path) -> Path:
    """Four questions: two with a positive passage, one judged with 0 alone, one not judged at all."""
    graded = [Judgement("q1", "1", 1), Judgement("q2", "3", 1), Judgement("q4", "1", 0)]
    write_beir(folder, PASSAGES, questions=[Question(one.id, one.question) for one in ASKED], splits={"test": graded})
    return folder


def test_questions_that_are_left_out_are_told_with_the_reason(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, beir(tmp_path / "beir"), "--mode", "bm25", "-k", 2, "--report", tmp_path / "r.html")
    told = "left out 1 of 4 questions: 1 without a judgement in qrels/test.tsv"
    assert done.stdout.splitlines()[1] == told
    assert told in (tmp_path / "r.html").read_text("utf-8")
    reasons = {"without a judgement in qrels/test.tsv": 1}
    found = json.loads(run("evaluate", store, tmp_path / "beir", "--mode", "bm25", "--json").stdout)
    assert (found["questions"], found["left_out"]) == (3, reasons)
    whole = json.loads(run("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25", "--json").stdout)
    assert whole["left_out"] == {}


def test_mine_and_tune_tell_of_questions_left_out_too(store: Path, tmp_path: Path) -> None:
    beir(tmp_path / "beir")
    done = run("mine", tmp_path / "beir", "--split", "test", "--store", store, "-o", tmp_path / "t.json", "-n", 1)
    assert "left out 2 of 4 questions: 1 judged with 0 alone, 1 without a judgement in qrels/test.tsv" in done.stderr
    refused = run("tune", store, tmp_path / "beir", "--split", "test")
    assert "there are 2 questions; tuning needs at least 20" in refused.stderr


def test_a_folder_with_nothing_but_zeros_says_so(store: Path, tmp_path: Path) -> None:
    asked = [Question("q1", "Hamlet tragedy")]
    write_beir(tmp_path / "beir", [], questions=asked, splits={"test": [Judgement("q1", "1", 0)]})
    done = run("evaluate", store, tmp_path / "beir")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "every judgement of the 1 questions is 0 or less" in done.stderr
    refused = run("mine", tmp_path / "beir", "--split", "test", "--store", store, "-o", tmp_path / "t.json")
    assert "left out 1 of 1 questions: 1 judged with 0 alone" in refused.stderr


def test_spreadsheets_and_regular_expressions(store: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,answers\nHamlet tragedy,tr.g.dy|nothing\nepic Iliad,Ep[iy]c\n", "utf-8")
    assert table(run("evaluate", store, tmp_path / "q.csv", "--mode", "bm25"))["top-1 accuracy"] == ["0.0"]
    done = run("evaluate", store, tmp_path / "q.csv", "--mode", "bm25", "--regex")
    assert table(done)["top-1 accuracy"] == ["100.0"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{there}/bare.jsonl"], "bare.jsonl: 1 of 1 questions have no answers"),
        (
            ["{there}/q.jsonl", "--report", "{there}/none/r.html"],
            "none/r.html: cannot be written; name a file in a folder",
        ),
        (["{there}/q.jsonl", "--output", "{there}"], "cannot be written"),
        (["{there}/none.jsonl"], "none.jsonl: cannot be read"),
        (["{there}/beir", "--split", "tset"], "no judgements qrels/tset.tsv; name the split: test"),
    ],
)
def test_errors_come_before_the_model(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str
) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: pytest.fail("a model was loaded"))
    write_questions(tmp_path / "bare.jsonl", [Question("q", "who?")])
    write_beir(tmp_path / "beir", [], questions=ASKED)
    done = run("evaluate", store, *[arg.format(there=tmp_path) for arg in args])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.output
    assert message in done.stderr


def test_weight_belongs_to_hybrid(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--weight", 2)
    assert done.exit_code == 2
    assert "need --mode hybrid" in " ".join(done.stderr.replace("│", " ").split())


def test_results_overwrite_neither_questions_nor_each_other(store: Path, tmp_path: Path) -> None:
    before = (tmp_path / "q.jsonl").read_text()
    for options in (("--report", tmp_path / "q.jsonl"), ("--output", tmp_path / "x", "--write-run", tmp_path / "x")):
        done = run("evaluate", store, tmp_path / "q.jsonl", *options)
        assert done.exit_code == 2
        assert "would overwrite the questions" in " ".join(done.stderr.replace("│", " ").split())
    assert (tmp_path / "q.jsonl").read_text() == before
    assert not (tmp_path / "x").exists()


def test_results_of_several_modes_overwrite_neither_runs_nor_judgements(store: Path, tmp_path: Path) -> None:
    write_beir(tmp_path / "beir", PASSAGES, questions=ASKED)
    for name, text in ("r.bm25.json", '{"q1": {"1": 2.0}}'), ("qrels.txt", "q1 0 1 1\n"):
        (tmp_path / name).write_text(text, "utf-8")
    modes = ("--mode", "bm25", "--run", tmp_path / "r.bm25.json")
    queries, judged = tmp_path / "beir" / "queries.jsonl", tmp_path / "beir" / "qrels" / "test.tsv"
    for questions, options in (
        (tmp_path / "q.jsonl", (*modes, "--by", "passage", "--output", tmp_path / "r.json")),
        (
            tmp_path / "q.jsonl",
            ("--mode", "bm25", "--qrels", tmp_path / "qrels.txt", "--output", tmp_path / "qrels.txt"),
        ),
        (tmp_path / "beir", ("--mode", "bm25", "--per-question", judged)),
        (tmp_path / "beir", ("--mode", "bm25", "--output", queries)),
    ):
        done = run("evaluate", store, questions, *options)
        assert done.exit_code == 2, done.output
        assert "would overwrite the questions, their judgements, a run" in " ".join(
            done.stderr.replace("│", " ").split()
        )
    assert (tmp_path / "r.bm25.json").read_text("utf-8") == '{"q1": {"1": 2.0}}'
    assert (tmp_path / "qrels.txt").read_text("utf-8") == "q1 0 1 1\n"
    assert [len(path.read_text("utf-8").splitlines()) for path in (queries, judged)] == [4, 5]


def test_runs_of_one_name_in_two_folders_are_written_apart(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.jsonl", ASKED)
    for folder, found in ("x", "1"), ("y", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.trec").write_text(f"q1 Q0 {found} 1 1.0 t\n", "utf-8")
    runs = ("--run", tmp_path / "x" / "r.trec", "--run", tmp_path / "y" / "r.trec")
    done = run(
        "evaluate", "--questions", tmp_path / "q.jsonl", "--by", "passage", *runs, "--write-run", tmp_path / "o.trec"
    )
    assert done.exit_code == 0, done.output
    name = str(tmp_path).strip("/").replace("/", "_")
    written = {path.name: path.read_text("utf-8").split()[2] for path in tmp_path.glob("o.*")}
    assert written == {f"o.{name}_x_r.trec.trec": "1", f"o.{name}_y_r.trec.trec": "2"}


def test_the_ranking_of_a_hybrid_is_told(store: Path, tmp_path: Path) -> None:
    done = run("evaluate", store, tmp_path / "q.jsonl", "--mode", "hybrid", "--weight", 2, "--k", 3)
    assert "ranked by: hybrid with λ = 2\n" in done.stdout

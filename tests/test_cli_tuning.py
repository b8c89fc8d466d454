"""`tune`: what it shows, what it leaves in the store, and which commands follow it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_tuning import COUNT, Pointing, passages, questions
from typer.testing import CliRunner, Result

from dpr_rag import PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Judgement, Question, write_beir, write_questions
from dpr_rag.errors import StoreError


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: Pointing(range(40)))
    with PassageStore.open(tmp_path / "s", encoder=Pointing(range(40))) as opened:
        opened.add(passages(range(20, 60)))
    write_questions(tmp_path / "q.jsonl", questions())
    return tmp_path / "s"


def test_the_table_and_what_follows_it(store: Path, tmp_path: Path) -> None:
    done = run("tune", store, tmp_path / "q.jsonl", "--k", 1, "--quiet")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "60 questions, judged by passage; 95 % intervals in brackets"
    assert [line.split()[0] for line in lines[2:5]] == ["dense", "bm25", "hybrid"]
    assert max(map(len, lines[:-2])) <= 80
    assert "chosen: hybrid with λ for each question, " in done.stdout
    facts = json.loads(run("info", store, "--json").stdout)
    assert facts["ranking"] == f"hybrid with λ for each question, tuned on {COUNT} questions"
    (hit,) = json.loads(run("search", store, questions()[50].question, "--k", 1, "--json").stdout)["hits"]
    assert (hit["id"], "bm25" in hit) == ("50", True)
    (hit,) = json.loads(run("search", store, questions()[50].question, "--mode", "dense", "-k", 1, "--json").stdout)[
        "hits"
    ]
    assert "bm25" not in hit
    told = json.loads(run("evaluate", store, tmp_path / "q.jsonl", "--json", "--quiet").stdout)
    assert list(told["systems"]) == ["hybrid"]
    assert told["settings"]["modes"] == "hybrid with λ for each question"
    told = json.loads(run("evaluate", store, tmp_path / "q.jsonl", "--mode", "hybrid", "--json", "--quiet").stdout)
    assert told["settings"]["modes"] == "hybrid with λ for each question"


@pytest.mark.parametrize("form", ["--quiet", "--json"])
def test_the_figures_are_shown_where_the_choice_cannot_be_kept(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def refuse(store: PassageStore, choice: object) -> None:
        raise StoreError("passages.sqlite cannot be written")

    shown = run("tune", store, tmp_path / "q.jsonl", "--quiet", "--dry-run", form).stdout
    monkeypatch.setattr(PassageStore, "set_tuned", refuse)
    done = run("tune", store, tmp_path / "q.jsonl", "--quiet", form)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "dpr-rag: error: passages.sqlite cannot be written")
    assert done.stdout == shown.replace("the store was left as it is\n", "")


def test_a_dry_run_changes_nothing(store: Path, tmp_path: Path) -> None:
    before = run("info", store).stdout
    done = run("tune", store, tmp_path / "q.jsonl", "--dry-run", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["candidates"]] == ["dense", "bm25", "hybrid rrf", "hybrid", "hybrid λ"]
    assert found["tuned"]["ranking"]["mode"] == found["chosen"] == "hybrid"
    assert run("info", store).stdout == before


def test_bad_questions_are_named(store: Path, tmp_path: Path) -> None:
    write_questions(tmp_path / "few.jsonl", questions()[:5])
    done = run("tune", store, tmp_path / "few.jsonl", "--quiet")
    assert done.exit_code == 1
    assert "there are 5 questions; tuning needs at least 20" in done.output


def test_a_choice_can_be_undone(store: Path, tmp_path: Path) -> None:
    run("tune", store, tmp_path / "q.jsonl", "--k", 1, "--quiet")
    assert run("tune", store, "--undo").stdout == "The store ranks by inner product again.\n"
    assert json.loads(run("info", store, "--json").stdout)["ranking"] == "dense"
    assert run("tune", store).exit_code == 2
    assert run("tune", store, tmp_path / "q.jsonl", "--undo").exit_code == 2


def test_a_beir_folder_is_not_tuned_on_its_test_split(store: Path, tmp_path: Path) -> None:
    judged = [Judgement(one.id, one.positive_ids[0], 1) for one in questions()]
    splits = {"test": judged, "dev": judged[:30]}
    write_beir(tmp_path / "beir", passages(range(20, 60)), questions=questions(), splits=splits)
    done = run("tune", store, tmp_path / "beir", "--json", "--quiet", "--dry-run")
    assert json.loads(done.stdout)["questions"] == 30
    (tmp_path / "beir" / "qrels" / "dev.tsv").unlink()
    done = run("tune", store, tmp_path / "beir", "--quiet")
    assert done.exit_code == 2
    assert "name one to tune on" in " ".join(done.stderr.replace("│", "").split())


def test_passages_that_the_store_lacks_are_counted(store: Path, tmp_path: Path) -> None:
    asked = [*questions(), Question("strange", "common word", (), ("nowhere",))]
    write_questions(tmp_path / "more.jsonl", asked)
    for command in ("tune", "evaluate"):
        done = run(command, store, tmp_path / "more.jsonl", "--quiet")
        assert "1 of 61 positive_ids are not in the store (one is 'nowhere')" in done.stderr


def test_questions_left_out_are_part_of_the_figures(store: Path, tmp_path: Path) -> None:
    judged = [Judgement(one.id, one.positive_ids[0], int(at > 1)) for at, one in enumerate(questions())]
    write_beir(tmp_path / "beir", passages(range(20, 60)), questions=questions(), splits={"dev": judged[:30]})
    done = run("tune", store, tmp_path / "beir", "--json", "--quiet", "--dry-run")
    found = json.loads(done.stdout)
    assert found["questions"] == 28
    assert found["left_out"] == {"judged with 0 alone": 2, "without a judgement in qrels/dev.tsv": 30}
    done = run("tune", store, tmp_path / "beir", "--quiet", "--dry-run")
    assert "left out 32 of 60 questions: 2 judged with 0 alone, 30 without" in done.stdout

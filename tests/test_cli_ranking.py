"""How the commands rank: what each option changes, by value, and what is said where one changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import BM25, Passage, PassageStore, Ranking, Retriever, Tuned
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, read_training, write_questions
from dpr_rag.errors import VectorError
from dpr_rag.fusion import RankingOptions

TEXTS = [
    "the old king of denmark wrote a play",
    "a play about a king, a king and the king of kings in the long and cold winters of the north",
    "denmark is cold in winter",
    "king",
    "who wrote the winter tale",
]
PASSAGES = [Passage(str(at), text, "north") for at, text in enumerate(TEXTS)]
QUESTION = "the king wrote a play in denmark"
WORDS = {"--k1", "--b", "--phrases", "--language"}


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


def told(done: Result) -> str:
    """What is said of wrong usage, out of its frame."""
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as opened:
        opened.add(PASSAGES)
    write_questions(tmp_path / "q.jsonl", [Question(f"q{at}", QUESTION, (), ("0",)) for at in range(20)])
    return tmp_path / "s"


def scores(store: Path, ranking: Ranking) -> list[tuple[str, float]]:
    with PassageStore.open(store, encoder=TinyEncoder()) as opened:
        return [(hit.passage.id, hit.score) for hit in Retriever(opened, k=5, ranking=ranking).retrieve(QUESTION)]


def found(done: Result) -> list[tuple[str, float]]:
    assert done.exit_code == 0, done.output
    return [(hit["id"], hit["score"]) for hit in json.loads(done.stdout)["hits"]]


def test_every_command_that_searches_takes_the_options_of_a_ranking() -> None:
    commands = typer.main.get_group(app).commands
    options = {name: {one for part in command.params for one in part.opts} for name, command in commands.items()}
    searching = ("search", "evaluate", "tune", "mine", "demo")
    assert {name: WORDS - options[name] for name in searching} == {name: set() for name in searching}
    assert [name for name in ("search", "evaluate", "tune", "demo") if "--candidates" not in options[name]] == []


@pytest.mark.parametrize(
    ("options", "ranking"),
    [
        (("--mode", "bm25", "--k1", 0), Ranking("bm25", bm25=BM25(k1=0.0))),
        (("--mode", "bm25", "--k1", 1.5, "--b", 1), Ranking("bm25", bm25=BM25(1.5, 1.0))),
        (("--mode", "bm25", "--phrases", 0.7), Ranking("bm25", bm25=BM25(phrases=0.7))),
        (("--mode", "hybrid", "--weight", 2, "--b", 0), Ranking("hybrid", 2.0, bm25=BM25(b=0.0))),
        (("--mode", "hybrid", "--weight", 2, "--candidates", 1), Ranking("hybrid", 2.0, candidates=1)),
        (
            ("--mode", "hybrid", "--fusion", "rrf", "--phrases", 0),
            Ranking("hybrid", fusion="rrf", bm25=BM25(phrases=0.0)),
        ),
    ],
)
def test_search_ranks_as_its_options_say(store: Path, options: tuple[Any, ...], ranking: Ranking) -> None:
    wanted = scores(store, ranking)
    if ranking.candidates == 200 and ranking.fusion == "weighted":
        assert wanted != scores(store, Ranking(ranking.mode, ranking.weight))
    assert found(run("search", store, QUESTION, "--json", "-k", 5, *options)) == [
        (name, pytest.approx(score)) for name, score in wanted
    ]


def test_candidates_reach_the_search(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Ranking | None] = []
    rank = PassageStore.rank

    def noting(self: PassageStore, *args: Any, ranking: Ranking | None = None, **options: Any) -> Any:
        asked.append(ranking)
        return rank(self, *args, ranking=ranking, **options)

    monkeypatch.setattr(PassageStore, "rank", noting)
    found(run("search", store, QUESTION, "--json", "--mode", "hybrid", "--candidates", 7))
    assert [one and one.candidates for one in asked] == [7]


def test_evaluate_gives_each_mode_what_goes_with_it(store: Path, tmp_path: Path) -> None:
    modes = ("--mode", "dense", "--mode", "bm25", "--mode", "hybrid")
    done = run(
        *("evaluate", store, tmp_path / "q.jsonl", *modes, "--by", "passage", "--json"),
        *("--candidates", 9, "--k1", 1.2, "--weight", 3, "--k", 2),
    )
    assert done.exit_code == 0, done.output
    modes_told = json.loads(done.stdout)["settings"]["modes"]
    assert modes_told == "dense, bm25 (k1 1.2, b 0.4, phrases 0), hybrid with λ = 3 (k1 1.2, b 0.4, phrases 0.5)"


def test_tune_keeps_the_parameters_that_it_was_given(store: Path, tmp_path: Path) -> None:
    done = run(
        "tune", store, tmp_path / "q.jsonl", "--json", "--k1", 1.4, "--b", 0.8, "--phrases", 0, "--candidates", 50
    )
    assert done.exit_code == 0, done.output
    rankings = [one["ranking"] for one in json.loads(done.stdout)["candidates"] if one["ranking"]["mode"] != "dense"]
    assert [one["bm25"] for one in rankings] == [{"k1": 1.4, "b": 0.8, "phrases": 0.0}] * 4
    assert [one["candidates"] for one in rankings if one["mode"] == "hybrid"] == [50, 50, 50]


def test_mine_ranks_by_the_parameters_that_it_was_given(store: Path, tmp_path: Path) -> None:
    def mined(*options: object) -> dict[str, float]:
        line = ("mine", tmp_path / "q.jsonl", "--store", store, "-o", tmp_path / "t.json", "--limit", 1, *options)
        assert run(*line).exit_code == 0
        (sample,) = read_training(tmp_path / "t.json")
        return {one.id: one.score for one in sample.hard_negatives if one.score is not None}

    wanted = dict(scores(store, Ranking("bm25", bm25=BM25(2.0, 0.9))))
    wanted.pop("0")
    assert mined("--k1", 2, "--b", 0.9) == pytest.approx(wanted)
    assert mined() != pytest.approx(wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "bm25", "--k1", -1), "k1 is -1.0, expected a number of at least 0"),
        (("--mode", "bm25", "--b", 1.5), "b is 1.5, expected a number from 0 to 1"),
        (("--mode", "hybrid", "--phrases", "nan"), "phrases is nan, expected a number of at least 0"),
        (("--mode", "hybrid", "--candidates", 0), "candidates is 0, expected an integer of at least 1"),
        (("--candidates", 5), "--candidates goes with --mode hybrid, not with 'dense'"),
        (("--mode", "bm25", "--candidates", 5), "--candidates goes with --mode hybrid, not with 'bm25'"),
        (("--k1", 1), "k1: parameters of BM25 go with --mode bm25 or --mode hybrid, not with 'dense'"),
    ],
)
@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_what_changes_nothing_or_is_out_of_range_is_refused(
    store: Path, tmp_path: Path, command: str, options: tuple[object, ...], said: str
) -> None:
    done = run(command, store, QUESTION if command == "search" else tmp_path / "q.jsonl", *options)
    assert done.exit_code == 2, done.output
    assert said in told(done)


@pytest.mark.parametrize("command", ["search", "evaluate", "tune", "mine"])
def test_another_language_than_the_stores_is_said(store: Path, tmp_path: Path, command: str) -> None:
    line = {
        "search": ("search", store, QUESTION, "--mode", "bm25"),
        "evaluate": ("evaluate", store, tmp_path / "q.jsonl", "--mode", "bm25"),
        "tune": ("tune", store, tmp_path / "q.jsonl", "--dry-run"),
        "mine": ("mine", tmp_path / "q.jsonl", "--store", store, "-o", tmp_path / "t.json"),
    }[command]
    kept = "keeps its language 'english'; change it with: dpr-rag optimize DIR --language german"
    assert kept in run(*line, "--language", "german").stderr
    assert "language" not in run(*line, "--language", "english").stderr
    wrong = run(*line, "--language", "klingon")
    assert (wrong.exit_code, "language is 'klingon'" in told(wrong)) == (2, True)
    assert run("optimize", store, "--language", "german").exit_code == 0
    assert "keeps its language 'german'" in run(*line, "--language", "english").stderr


def test_one_word_about_bm25_leaves_the_rest_as_tuned_but_for_its_weight() -> None:
    tuned = Ranking("hybrid", 4.0, candidates=50, bm25=BM25(1.2, 0.7, 0.3))
    assert RankingOptions().over(tuned) == tuned
    assert RankingOptions(candidates=9).over(tuned) == Ranking("hybrid", 4.0, candidates=9, bm25=tuned.bm25)
    assert RankingOptions(k1=2.0).over(tuned) == Ranking("hybrid", None, candidates=50, bm25=BM25(2.0, 0.7, 0.3))
    assert RankingOptions(k1=1.2).over(tuned) == tuned
    assert RankingOptions("bm25", b=0.1).over(tuned) == Ranking("bm25", candidates=50, bm25=BM25(1.2, 0.1, 0.3))
    assert RankingOptions("hybrid", 2.0, phrases=0.0).over(tuned) == Ranking(
        "hybrid", 2.0, candidates=50, bm25=BM25(1.2, 0.7, 0.0)
    )
    with pytest.raises(VectorError, match="candidates goes with mode='hybrid'"):
        RankingOptions("bm25", candidates=9).over(tuned)
    with pytest.raises(VectorError, match="k1, phrases: parameters of BM25"):
        RankingOptions(k1=1.0, phrases=0.0).over(Ranking())


def test_a_retriever_takes_them_over_what_the_store_was_tuned_to(store: Path) -> None:
    with PassageStore.open(store, encoder=TinyEncoder()) as opened:
        opened.set_tuned(Tuned(Ranking("bm25", bm25=BM25(1.2, 0.7))))
        assert Retriever(opened, b=0.0).ranking == Ranking("bm25", bm25=BM25(1.2, 0.0))
        opened.set_tuned(None)
        with pytest.raises(VectorError, match="go with mode='bm25' or mode='hybrid'"):
            Retriever(opened, b=0.0).retrieve(QUESTION)
        with pytest.raises(VectorError, match="it says all of them already"):
            Retriever(opened, k1=1.0, ranking=Ranking("bm25"))

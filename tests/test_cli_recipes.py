"""`train --recipe`: each published recipe learns from the command line, goes on, and takes its own options only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from conftest import HashEncoder
from learning import make_samples
from test_cli_training import run
from test_training_running import assert_equal, weights

from dpr_rag import DualEncoder, Passage, PassageStore, load_encoder
from dpr_rag.cli import recipes, watching
from dpr_rag.corpora import TrainingSample, write_training
from dpr_rag.training import SampleValidation, trainer
from dpr_rag.training.recipes import RECIPES
from dpr_rag.training.teachers import encoder_teacher, score_samples
from dpr_rag.training.teaching import clusters_for, teacher_from

SAMPLES = make_samples(16, negatives=3)
FAST = ("--lr", 1e-3, "--batch", 4, "--dropout", 0, "--warmup", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_training(tmp_path / "t.json", SAMPLES)
    tiny.bert(tmp_path / "bert")
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        everything = {one.text: one for sample in SAMPLES for one in (*sample.positives, *sample.hard_negatives)}
        store.add([Passage(f"s{at}", one.text, one.title) for at, one in enumerate(everything.values())])
    return tmp_path


def line(folder: Path, recipe: str, output: str, *more: object) -> list[object]:
    return [
        *("train", folder / "t.json", "--recipe", recipe, "--init", folder / "bert", "--profile", "dpr", "-q"),
        *("-o", folder / output, *FAST, *more),
    ]


def loaded(folder: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(folder, device="cpu", runtime="torch")


def losses(folder: Path) -> list[float]:
    lines = [json.loads(one) for one in (folder / "training" / "log.jsonl").read_text().splitlines()]
    return [one["loss"] for one in lines if "loss" in one]


def measured(folder: Path, samples: list[TrainingSample] = SAMPLES) -> tuple[float, float]:
    """Average rank of the positive before and after."""
    measure = SampleValidation(samples, temperature=4.0).measure
    start = tiny.load(folder / "bert", profile="dpr")
    return measure(start)["average_rank"], measure(loaded(folder / "out"))["average_rank"]


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "training" / "training.json").read_text())["about"]


@pytest.mark.parametrize("more", [(), ("--refresh", 2), ("--refresh", 3, "--depth", 5, "--accumulate", 2)])
def test_ance_learns_with_negatives_of_the_store(folder: Path, more: tuple[object, ...]) -> None:
    done = run(*line(folder, "ance", "out", "--store", folder / "s", "--epochs", 8, "--temperature", 4, *more))
    assert done.exit_code == 0, done.output
    before, after = measured(folder)
    assert after < 0.6 * before
    accumulated = 2 if "--accumulate" in more else 1
    assert f"trained {8 * 4 // accumulated} steps" in done.stdout  # eight times 16 questions, however often it searched


def test_ance_searches_every_so_many_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpr_rag.training.ance import AnceBatches

    searched: list[int] = []
    refresh = AnceBatches.refresh
    monkeypatch.setattr(
        AnceBatches, "refresh", lambda self, epoch, encoder: (searched.append(epoch), refresh(self, epoch, encoder))[1]
    )
    given = ("--store", folder / "s", "--steps", 6, "--refresh", 2)
    assert run(*line(folder, "ance", "out", *given, "--accumulate", 2)).exit_code == 0
    assert searched == [0, 1, 2]
    refused = run(*line(folder, "ance", "other"))
    assert refused.exit_code == 2
    assert "ance searches a store for its negatives" in refused.output


@pytest.mark.parametrize(("count", "batch"), [(16, 64), (10, 4), (11, 3)])
@pytest.mark.parametrize("more", [(), ("--accumulate", 2), ("--refresh", 1)])
def test_an_epoch_of_ance_asks_every_question(
    folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, batch: int, more: tuple[object, ...]
) -> None:
    from dpr_rag.training.ance import AnceBatches

    asked: list[str] = []
    monkeypatch.setattr(
        AnceBatches,
        "batches",
        lambda self, epoch, *, seed, made=AnceBatches.batches: (
            asked.extend(one.questions) or one for one in made(self, epoch, seed=seed)
        ),
    )
    monkeypatch.setattr(trainer, "check_learnable", lambda epoch, objective: None)
    write_training(folder / "t.json", SAMPLES[:count])
    given = ("--store", folder / "s", "--epochs", 1, "--batch", batch, *more)
    assert run(*line(folder, "ance", "out", *given)).exit_code == 0
    assert {*asked} == {sample.question for sample in SAMPLES[:count]}


@pytest.fixture
def teacher(folder: Path) -> DualEncoder:
    """A model that margins are learnt of."""
    return tiny.load(tiny.tas_b(folder / "teacher", seed=3))


def margins(encoder: DualEncoder) -> np.ndarray:
    scored = score_samples(SAMPLES, encoder_teacher(encoder))
    return np.array(
        [(one.positives[0].score or 0.0) - (other.score or 0.0) for one in scored for other in one.hard_negatives]
    )


@pytest.mark.parametrize("more", [(), ("--clusters", 3), ("--batch-teacher", "teacher")])
def test_tas_b_learns_its_teachers_margins(
    folder: Path, teacher: DualEncoder, monkeypatch: pytest.MonkeyPatch, more: tuple[object, ...]
) -> None:
    monkeypatch.chdir(folder)
    done = run(*line(folder, "tas-b", "out", "--teacher", "teacher", "--epochs", 30, *more))
    assert done.exit_code == 0, done.output
    wanted, start = margins(teacher), margins(tiny.load(folder / "bert", profile="dpr"))
    found = margins(loaded(folder / "out"))
    assert np.mean((found - wanted) ** 2) < 0.4 * np.mean((start - wanted) ** 2)
    assert about(folder)["objective"] == ("margin-mse/0.75/teacher" if "--batch-teacher" in more else "margin-mse/0/")


def test_vectors_of_length_one_are_said_to_hold_no_wide_margins(folder: Path, teacher: DualEncoder) -> None:
    given = line(folder, "tas-b", "out", "--teacher", folder / "teacher", "--steps", 2)
    assert "margins" not in run(*given).stderr
    given[given.index("--profile") + 1] = "e5"
    given[given.index(folder / "out")] = folder / "unit"
    widest = np.abs(
        margins(load_encoder(folder / "teacher"))
    ).max()  # in the precision of this machine, as the command does
    assert (
        f"the teacher's margins are as wide as {widest:.1f}, and those of vectors of length 1 are 2"
        in run(*given).stderr
    )


def test_tas_b_takes_scores_that_the_data_hold(folder: Path, teacher: DualEncoder) -> None:
    refused = run(*line(folder, "tas-b", "out"))
    assert refused.exit_code == 2
    assert "name the --teacher that gives them, or pass --scored" in " ".join(refused.output.replace("│", " ").split())
    refused = run(*line(folder, "tas-b", "out", "--scored"))
    assert "lacks hard negatives or a teacher's scores" in refused.output
    scored = score_samples(SAMPLES, encoder_teacher(teacher))
    write_training(folder / "t.json", [*scored, replace(scored[0], question="bare", hard_negatives=())])
    done = run(*line(folder, "tas-b", "out", "--scored", "--epochs", 30))
    assert done.exit_code == 0, done.output
    assert "1 samples without hard negatives were left out" in done.stderr
    assert losses(folder / "out")[-1] < 0.5 * losses(folder / "out")[0]


def test_a_teacher_is_known_by_its_files(folder: Path, teacher: DualEncoder) -> None:
    pytest.importorskip("sentence_transformers")
    cross = tiny.save_tiny_cross_encoder(folder / "cross")
    pair = ("who wrote hamlet", SAMPLES[0].positives[0])
    by_hand = encoder_teacher(load_encoder(folder / "teacher", device="cpu"))(
        [pair]
    )  # in the precision of this machine
    assert teacher_from(str(folder / "teacher"), device="cpu")([pair]) == pytest.approx(by_hand, rel=1e-5)
    assert by_hand == pytest.approx(encoder_teacher(teacher)([pair]), rel=1e-2)
    from dpr_rag.training.teachers import cross_encoder

    expected = np.asarray(cross_encoder(str(cross), device="cpu")([pair]))
    np.testing.assert_allclose(np.asarray(teacher_from(str(cross), device="cpu")([pair])), expected, atol=1e-6)
    assert [clusters_for(count) for count in (1, 399, 400, 400_000, 10**7)] == [1, 1, 2, 2000, 2000]


@pytest.mark.parametrize("queue", [64, 0])
def test_contriever_learns_from_passages_alone(folder: Path, queue: int) -> None:
    given = ("train", folder / "s", "--recipe", "contriever", "--init", folder / "bert", "--profile", "contriever")
    more = ("--queue", queue, *(("--momentum", 0.99) if queue else ()), "--epochs", 20, "--temperature", 4)
    done = run(*given, "-q", "-o", folder / "out", *FAST, *more)
    assert done.exit_code == 0, done.output
    passages = [one for sample in SAMPLES for one in (*sample.positives, *sample.hard_negatives)]
    crops = [
        TrainingSample(" ".join(one.text.split()[2:8]), (), (replace(one, title=""),))
        for one in passages
        if len(one.text.split()) > 8
    ]
    measure = SampleValidation(crops).measure
    before, after = (
        measure(one)["average_rank"]
        for one in (tiny.load(folder / "bert", profile="contriever"), loaded(folder / "out"))
    )
    assert after < 0.8 * before
    assert loaded(folder / "out").shared


def test_contriever_reads_corpora_too(folder: Path) -> None:
    (folder / "c.jsonl").write_text(
        '{"id": "1", "text": "春茶四月在山中采摘，秋茶则要等到十月。"}\n{"id": "2", "text": "the king"}\n'
    )
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("who wrote hamlet")
    given = ("train", folder / "c.jsonl", folder / "texts", "--recipe", "contriever", "--init", folder / "bert")
    done = run(*given, "--profile", "contriever", "--steps", 3, "-q", "-o", folder / "out", *FAST)
    assert done.exit_code == 0, done.output
    assert about(folder)["settings"]["towers"] == "momentum"
    assert about(folder)["settings"]["temperature"] == 0.05


MORE: dict[str, tuple[object, ...]] = {
    "dpr": ("--weight", 2.5),
    "ance": ("--store", "s", "--refresh", 2),
    "tas-b": ("--teacher", "teacher"),
    "contriever": ("--queue", 6),
}


@pytest.mark.usefixtures("interruptible", "teacher")
@pytest.mark.parametrize("recipe", MORE)
def test_every_recipe_goes_on_where_it_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str) -> None:
    monkeypatch.chdir(folder)
    data = folder / ("s" if recipe == "contriever" else "t.json")
    given = [*line(folder, recipe, "whole", *MORE[recipe], "--save-every", 1, "--steps", 9, "--temperature", 4)]
    if recipe == "tas-b":
        given = given[:-2]
    given[1] = data
    whole = run(*given)
    assert whole.exit_code == 0, whole.output
    add, calls = trainer.add_gradients, []

    def stopping(*args: object, **options: object) -> float:
        calls.append(1)
        if len(calls) == 5:
            raise OSError("stopped")
        return add(*args, **options)

    monkeypatch.setattr(trainer, "add_gradients", stopping)
    given[given.index(folder / "whole")] = folder / "out"
    stopped = run(*given)
    assert (stopped.exit_code, stopped.stderr.splitlines()[-1]) == (1, "dpr-rag: error: stopped")
    again = run(*given)
    assert again.exit_code == 0, again.output
    assert len(calls) == 10
    assert_equal(weights(folder / "whole"), weights(folder / "out"))


def test_what_a_teacher_said_is_kept(folder: Path, teacher: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    given = line(folder, "tas-b", "out", "--teacher", folder / "teacher", "--steps", 2)
    assert run(*given).exit_code == 0
    monkeypatch.setattr("dpr_rag.training.teaching.score_samples", None)
    monkeypatch.setattr("dpr_rag.training.teaching.cluster_questions", None)
    assert run(*given).exit_code == 0
    other = folder / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    refused = run(*line(folder, "tas-b", "other", "--teacher", folder / "teacher"))
    assert "exists and holds no training" in refused.output
    assert [one.name for one in other.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("recipe", "option"),
    [
        ("ance", ("--weight", 2)),
        ("dpr", ("--store", "s")),
        ("tas-b", ("--refresh", 9)),
        ("contriever", ("--depth", 200)),
        ("dpr", ("--teacher", "m")),
        ("contriever", ("--scored",)),
        ("ance", ("--batch-teacher", "m")),
        ("dpr", ("--clusters", 2)),
        ("dpr", ("--queue", 131_072)),
        ("tas-b", ("--momentum", 0.9)),
        ("ance", ("--deletion", 0.1)),
        ("contriever", ("--hard-negatives", 1)),
        ("tas-b", ("--hard-negatives", 1)),
        ("tas-b", ("--temperature", 1)),
        ("contriever", ("--towers", "separate")),
    ],
)
def test_options_of_another_recipe_are_refused_by_name(folder: Path, recipe: str, option: tuple[object, ...]) -> None:
    done = run(*line(folder, recipe, "out", *option))
    said = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2
    assert str(option[0]) in said
    assert "leave it out" in said
    assert not (folder / "out").exists()


def test_weights_are_one_for_each_file(folder: Path) -> None:
    write_training(folder / "u.json", SAMPLES[:3])
    given = [*line(folder, "dpr", "out", "--epochs", 2, "--weight", 0.5)]
    given.insert(2, folder / "u.json")
    refused = run(*given)
    assert refused.exit_code == 2
    assert "1 weights for 2 files; give --weight once for each TRAIN" in " ".join(
        refused.output.replace("│", " ").split()
    )
    done = run(*given, "--weight", 4)
    assert done.exit_code == 0, done.output
    assert f"8 samples of {folder / 't.json'} in an epoch" in done.stderr
    assert f"12 samples of {folder / 'u.json'} in an epoch" in done.stderr
    assert "trained 10 steps" in done.stdout


@pytest.mark.usefixtures("teacher")
def test_recipes_have_their_papers_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings_of(recipe: str, *more: object) -> dict[str, Any]:
        seen: list[Any] = []

        def told(total: int, *, quiet: bool) -> Any:
            raise OSError("seen")

        of = recipes.Preparation.of
        monkeypatch.setattr(recipes.Preparation, "of", lambda self, name: (seen.append(of(self, name)), seen[-1])[1])
        monkeypatch.setattr("dpr_rag.cli.training.shown", told)
        data = folder / ("s" if recipe == "contriever" else "t.json")
        run(
            "train",
            data,
            "--recipe",
            recipe,
            "--init",
            folder / "bert",
            "--profile",
            "dpr",
            "-o",
            folder / "out",
            *more,
        )
        monkeypatch.undo()
        return seen[0].settings.as_dict()

    assert watching.shown is not None
    expected = {
        "dpr": {"batch_size": 128, "learning_rate": 2e-5, "epochs": 40, "warmup_steps": None},
        # four questions in each of four phases, which are a batch
        "ance": {"batch_size": 64, "learning_rate": 1e-6, "steps": 160, "warmup_steps": 16},
        "tas-b": {"batch_size": 256, "learning_rate": 7e-6, "epochs": 40, "warmup_steps": 4},
        "contriever": {"batch_size": 2048, "learning_rate": 5e-5, "steps": 500_000, "warmup_steps": 20_000},
    }
    for recipe, wanted in expected.items():
        more = {"ance": ("--store", folder / "s"), "tas-b": ("--teacher", folder / "teacher")}.get(recipe, ())
        found = settings_of(recipe, *more)
        assert {name: found[name] for name in wanted} == wanted
    assert set(RECIPES) == {*expected, "reader"}  # which has its own test

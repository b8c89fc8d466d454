"""Readers on the command line: `train --recipe reader`, what its validation measures, and going on after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from learning import plain_bert
from readers import PROFILE, reading_samples, trained_reader
from typer.testing import CliRunner, Result

from dpr_rag import Reader
from dpr_rag.cli.app import app
from dpr_rag.corpora import TrainingSample, write_training
from dpr_rag.errors import TrainingError
from dpr_rag.evaluation.spans import best_of, exact_match, f1
from dpr_rag.training.reading import SETTINGS, reader_from, train_reader
from dpr_rag.training.reading_validation import ReadingValidation
from dpr_rag.training.recipes import RECIPES


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, args)], prog_name="dpr-rag")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT, a reader that has learnt, and samples."""
    made = tmp_path_factory.mktemp("models")
    trained_reader(made)
    write_training(made / "train.json", reading_samples(8))
    write_training(made / "dev.json", reading_samples(4))
    return made


def test_exact_match_and_f1_are_squads() -> None:
    assert exact_match("The King,", "king") == exact_match("a", "") == 1
    assert exact_match("king of Denmark", "king") == 0
    assert f1("the king of Denmark", "King Denmark") == pytest.approx(2 * 2 / (3 + 2))
    assert (f1("", "king"), f1("the", "a"), f1("x", "y")) == (0, 1, 0)
    assert f1("king king", "king") == pytest.approx(2 / 3)
    assert best_of("king", ["the queen", "a king"], exact_match) == 1
    assert best_of("king", [], f1) == 0


def test_validation_by_value(folder: Path) -> None:
    reader = Reader.from_pretrained(folder / "reader")
    assert ReadingValidation(reading_samples(8)).measure(reader) == {"f1": 1, "exact_match": 1, "selection": 1}
    king = reading_samples(2)[1]
    assert king.question == "who is king"
    told = [
        king,
        replace(king, answers=("king of denmark",)),  # F1 of "king": 1/1 and 1/3
        replace(king, positives=king.hard_negatives[:1], hard_negatives=king.positives),  # the wrong one comes first
        replace(king, positives=king.hard_negatives[:1], hard_negatives=king.hard_negatives[1:]),  # no answer is found
        replace(king, answers=()),
        replace(king, hard_negatives=()),
    ]
    found = ReadingValidation(told).measure(reader)
    chosen = reader.rerank(king.question, reader_hits(told[3]))[0].passage.id == "0"
    assert found["f1"] == pytest.approx((1 + 0.5 + 1 + 0 + 1) / 5)
    assert found["exact_match"] == pytest.approx((1 + 0 + 1 + 0 + 1) / 5)
    assert found["selection"] == pytest.approx((1 + 1 + 0 + chosen + 1) / 5)
    assert ReadingValidation([replace(king, answers=())]).names == ("selection",)
    assert ReadingValidation([replace(king, hard_negatives=())]).names == ("f1", "exact_match")
    with pytest.raises(TrainingError, match="1 validation samples have no answers and no hard negatives"):
        ReadingValidation([replace(king, answers=(), hard_negatives=())])
    assert ReadingValidation([king]).fingerprint != ReadingValidation([replace(king, answers=("x",))]).fingerprint


def reader_hits(sample: TrainingSample) -> list:
    from dpr_rag import Hit, Passage

    passages = [*sample.positives[:1], *sample.hard_negatives]
    return [Hit(Passage(str(at), one.text, one.title), 0.0, at + 1) for at, one in enumerate(passages)]


def test_the_best_weights_are_kept(folder: Path, tmp_path: Path) -> None:
    class Falling:
        """Measures that the first look after the start is the best."""

        names, fingerprint = ("f1",), "falling"

        def __init__(self) -> None:
            self.values = iter([0.1, 0.9, 0.5])
            self.seen: list[str] = []

        def measure(self, encoder: Reader) -> dict[str, float]:
            self.seen.append(encoder.fingerprint)
            return {"f1": next(self.values)}

    falling = Falling()
    start = reader_from(plain_bert(tmp_path / "bert"), profile=PROFILE)
    settings = replace(SETTINGS, steps=4, validate_every=2, learning_rate=1e-3)
    done = train_reader(
        reading_samples(8), tmp_path / "out", init=start, settings=settings, validation=[falling], device="cpu"
    )
    assert (done.best, done.best_step, done.start) == (0.9, 2, 0.1)
    assert Reader.from_pretrained(tmp_path / "out").fingerprint == falling.seen[1]


def test_a_reader_is_trained_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    given = [folder / "train.json", "--recipe", "reader", "-o", tmp_path / "out", "--init", folder / "start"]
    numbers = ["--batch", 4, "--steps", 4, "--lr", "1e-3", "--validate-every", 2, "--dropout", 0]
    done = run(*given, "--profile", "dpr", *numbers, "--dev", folder / "dev.json")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("trained 4 steps, start ")
    assert "8 samples" in done.stderr
    assert "4 held-out samples" in done.stderr
    assert "f1 " in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "training" / "log.jsonl").read_text().splitlines()]
    assert [set(one["validation"]) for one in lines if "validation" in one] == [{"f1", "exact_match", "selection"}] * 3
    assert Reader.from_pretrained(tmp_path / "out").profile.name == "dpr-rag-reader"
    again = run(*given, "--profile", "dpr", *numbers, "--dev", folder / "dev.json")
    assert again.exit_code == 0
    about = json.loads((tmp_path / "out" / "training" / "training.json").read_text())["about"]["settings"]
    assert (about["hard_negatives"], about["gradient_norm"]) == (2, 1.0)


def test_a_reader_learns_on_from_a_reader(folder: Path, tmp_path: Path) -> None:
    given = [folder / "train.json", "--recipe", "reader", "-o", tmp_path / "out", "--init", folder / "reader"]
    done = run(
        *given, "--batch", 4, "--steps", 2, "--dev", folder / "dev.json", "--frozen", 1, "--select", "exact_match"
    )
    assert done.exit_code == 0, done.output
    assert f"reader {folder / 'reader'}" in done.stderr
    assert "start 1 -> best 1 after step 0" in done.stdout  # nothing is better than all
    assert Reader.from_pretrained(tmp_path / "out").fingerprint == Reader.from_pretrained(folder / "reader").fingerprint
    refused = run(*given[:3], "-o", tmp_path / "other", *given[5:], "--profile", "dpr")
    assert (refused.exit_code, "go with an encoder" in refused.output) == (2, True)


def test_what_does_not_go_with_a_reader_is_refused(folder: Path, tmp_path: Path) -> None:
    given = [folder / "train.json", "-o", tmp_path / "out", "--init", folder / "start", "--profile", "dpr"]
    for option in (["--towers", "shared"], ["--temperature", 1], ["--queue", 1], ["--dev-store", folder]):
        done = run(*given, "--recipe", "reader", *option)
        assert (done.exit_code, f"{option[0]} belongs to" in " ".join(done.output.replace("│", " ").split())) == (
            2,
            True,
        )
    done = run(*given, "--frozen", 1)
    told = " ".join(done.output.replace("│", " ").split())
    assert (done.exit_code, "--frozen belongs to --recipe reader, not to dpr" in told) == (2, True)
    write_training(tmp_path / "bare.json", [replace(one, hard_negatives=()) for one in reading_samples(2)])
    done = run(tmp_path / "bare.json", *given[1:], "--recipe", "reader")
    assert (done.exit_code, "a reader learns from pairs; find some with: dpr-rag mine" in done.output) == (1, True)
    nameless = [replace(one, answers=()) for one in reading_samples(4)]
    write_training(tmp_path / "nameless.json", [*nameless[:3], replace(nameless[3], hard_negatives=())])
    done = run(tmp_path / "nameless.json", *given[1:], "--recipe", "reader", "--steps", 1)
    assert done.exit_code == 0, done.output
    assert "1 samples without hard negatives were left out" in done.stderr
    assert "3 samples without answers teach which passage to choose, and nothing of answers" in done.stderr


def test_the_recipe_is_what_train_reader_takes_by_itself() -> None:
    known = RECIPES["reader"]
    assert (known.batch_size, known.hard_negatives) == (SETTINGS.batch_size, SETTINGS.hard_negatives)
    assert (known.learning_rate, known.epochs) == (SETTINGS.learning_rate, SETTINGS.epochs)


KILLED = """
import os, signal, sys
from dpr_rag.cli import main
from dpr_rag.training import trainer
whole = trainer.Trainer._advance
def advance(self, batches):
    whole(self, batches)
    if self._at.step == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
trainer.Trainer._advance = advance
main()
"""


def test_it_goes_on_after_kill_9_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    def trained(out: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
        line = ["train", folder / "train.json", "--recipe", "reader", "-o", out, "--init", folder / "start"]
        line += ["--profile", "dpr", "--batch", 4, "--steps", 6, "--lr", "1e-3", "--save-every", 2]
        line += ["--dev", folder / "dev.json", "--validate-every", 3, "--select", "selection"]
        environment = {**os.environ, "KILL_AT": str(kill_at), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", KILLED, *map(str, line)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert trained(tmp_path / "out", 5).returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "dpr_rag_reader.json").exists()
    done = trained(tmp_path / "out", 0)
    assert done.returncode == 0, done.stderr
    whole = trained(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    assert done.stdout.partition(":")[0] == whole.stdout.partition(":")[0]
    found, wanted = (Reader.from_pretrained(tmp_path / name).fingerprint for name in ("out", "whole"))
    assert found == wanted
    logs = [
        [
            json.loads(line).get("validation")
            for line in (tmp_path / name / "training" / "log.jsonl").read_text().splitlines()
        ]
        for name in ("out", "whole")
    ]
    assert logs[0] == logs[1]

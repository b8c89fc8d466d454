"""`mine` and `train` on the command line: from questions and a store to an encoder, and how they end."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from learning import make_samples
from test_training_running import assert_close, weights
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.cli import models, training, watching
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, read_training, write_questions, write_training
from dpr_rag.training import TrainingSettings, trainer
from dpr_rag.training.processes import leave_processes

PASSAGES = [
    Passage("1", "hamlet is a tragedy", "hamlet"),
    Passage("2", "the king of denmark", "king"),
    Passage("3", "a tragedy by the king", "tragedy"),
    Passage("4", "who wrote it ?", "who"),
]
ASKED = [
    Question("q1", "who wrote hamlet", ("tragedy",), ("1",)),
    Question("q2", "the king", (), ("2",)),
    Question("q3", "tragedy", (), ("nowhere",)),
]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as opened:
        opened.add(PASSAGES)
    write_questions(tmp_path / "q.jsonl", ASKED)
    with (tmp_path / "q.jsonl").open("a") as file:
        file.write("{broken\n")
    return tmp_path


@pytest.mark.parametrize("source", ["bm25", "dense", "both"])
def test_mine_writes_a_training_set(folder: Path, source: str) -> None:
    done = run("mine", folder / "q.jsonl", "--store", folder / "s", "-o", folder / "t.json", "--from", source, "-n", 1)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"wrote 2 of 3 questions to {folder / 't.json'}\n"
    assert "1 questions could not be read and were left out" in done.stderr
    assert "1 questions have no positive passage and were left out" in done.stderr
    assert "no positive: 'tragedy'" in done.stderr
    first, second = read_training(folder / "t.json")
    assert [one.id for one in (*first.positives, *first.hard_negatives)] == ["1", "4"]  # 3 holds the answer
    assert [one.id for one in (*second.positives, *second.hard_negatives)] == ["2", "3"]
    again = run("mine", folder / "t.json", "--store", folder / "s", "-o", folder / "u.jsonl", "--keep", "-n", 5)
    assert again.exit_code == 0, again.output
    assert [one.id for one in next(read_training(folder / "u.jsonl")).positives] == ["1"]


def test_mine_takes_the_training_split_of_a_folder(folder: Path) -> None:
    beir = folder / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{at}", "text": f"the king {at}"}) + "\n" for at in range(4))
    )
    for at, split in enumerate(("test", "dev", "train")):
        (beir / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\nq{at}\t2\t1\n")
    line = ("mine", beir, "--store", folder / "s", "-o", folder / "t.json")

    def mined(*more: object) -> list[str]:
        done = run(*line, *more)
        assert done.exit_code == 0, done.output
        return [one.question for one in read_training(folder / "t.json")]

    assert mined() == ["the king 2"]
    assert mined("--split", "test") == ["the king 0"]
    (beir / "qrels" / "train.tsv").unlink()
    assert mined() == ["the king 1"]
    (beir / "qrels" / "dev.tsv").unlink()
    refused = run(*line)
    assert refused.exit_code == 2
    assert "name one to learn from" in " ".join(refused.stderr.replace("│", " ").split())
    refused = run("mine", folder / "t.json", "--store", folder / "s", "-o", folder / "u.json", "--split", "dev")
    assert refused.exit_code == 1
    assert "has no split 'dev'; leave the split out" in refused.stderr.splitlines()[-1]


def test_mine_then_train_then_search(folder: Path) -> None:
    assert run("mine", folder / "q.jsonl", "--store", folder / "s", "-o", folder / "t.json").exit_code == 0
    tiny.bert(folder / "bert")
    line = (
        *("train", folder / "t.json", "--init", folder / "bert", "--profile", "dpr", "--towers", "separate"),
        *("-o", folder / "out", "--steps", 6, "--batch", 2, "--lr", 1e-3, "--dev", folder / "t.json"),
        *("--validate-every", 3, "--dev-store", folder / "s", "--dev-questions", folder / "dev.jsonl"),
    )
    write_questions(folder / "dev.jsonl", ASKED[:2])
    done = run(*line)
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == "2 samples"
    assert "step 3 of 6: loss " in done.stderr
    assert ", top-1 " in done.stderr
    assert re.match(r"trained 6 steps, start [\d.]+ -> best [\d.]+ after step \d", done.stdout)
    encoder = DualEncoder.from_pretrained(folder / "out", device="cpu", runtime="torch")
    assert (encoder.profile.name, encoder.shared) == ("dpr", False)
    assert run(*line).exit_code == 0  # finished already
    other = run(*line, "--seed", 1)
    assert other.exit_code == 1
    assert "begun otherwise: settings.seed was 0 and is 1" in other.stderr
    lines = [json.loads(one) for one in (folder / "out" / "training" / "log.jsonl").read_text().splitlines()]
    assert [one["step"] for one in lines if "validation" in one] == [0, 3, 6]
    assert (folder / "out" / "training" / "progress.svg").read_text().startswith("<svg")


def test_other_processes_say_nothing_and_all_leave(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # the name of a machine need not lead anywhere
    write_training(folder / "t.json", make_samples(4))
    for quiet in (True, False):
        (found,) = training._validation(folder / "t.json", None, None, TrainingSettings(), quiet=quiet)
        assert found.names == ("nll", "average_rank")
        assert capsys.readouterr().err == ("" if quiet else "4 held-out samples\n")
    leave_processes()
    assert not torch.distributed.is_initialized()
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1)
    leave_processes()
    assert not torch.distributed.is_initialized()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP, signal.SIGHUP], [signal.SIGTERM, signal.SIGHUP]],
    ids=str,
)
def test_interrupted_training_saves_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, numbers: list[signal.Signals]
) -> None:
    number = numbers[0]
    write_training(folder / "t.json", make_samples(8))
    tiny.bert(folder / "bert")
    line = ("train", folder / "t.json", "--init", folder / "bert", "--profile", "dpr", "--epochs", 3, "--batch", 2)
    whole = run(*line, "-o", folder / "whole")
    assert whole.exit_code == 0, whole.output
    add = trainer.add_gradients
    calls: list[int] = []

    def interrupted(*args: object, **options: object) -> float:
        calls.append(1)
        if len(calls) == 5:
            for one in numbers:
                signal.raise_signal(one)
        return add(*args, **options)

    monkeypatch.setattr(trainer, "add_gradients", interrupted)
    before = signal.getsignal(number)
    done = run(*line, "-o", folder / "out")
    assert done.exit_code == 128 + number
    assert "saving after this step" in done.stderr
    assert ("press Ctrl-C again" in done.stderr) == (number == signal.SIGINT)
    assert "To go on, run the same command again" in done.stderr
    assert signal.getsignal(number) == before
    assert (folder / "out" / "training" / "state-5").is_dir()
    again = run(*line, "-o", folder / "out")
    assert again.exit_code == 0, again.output
    assert len(calls) == 12  # no step was taken twice
    assert_close(weights(folder / "whole"), weights(folder / "out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_training_in_the_background_does_not_hear_what_its_shell_has_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write_training(folder / "t.json", make_samples(4))
    tiny.bert(folder / "bert")
    add = trainer.add_gradients

    def interrupted(*args: object, **options: object) -> float:
        signal.raise_signal(number)
        return add(*args, **options)

    monkeypatch.setattr(trainer, "add_gradients", interrupted)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        done = run(
            "train", folder / "t.json", "--init", folder / "bert", "--profile", "dpr", "--epochs", 1, "-o", folder / "o"
        )
        assert (done.exit_code, signal.getsignal(number)) == (0, signal.SIG_IGN), done.output
    finally:
        signal.signal(number, before)
    assert "saving" not in done.stderr


@pytest.mark.usefixtures("interruptible")
def test_a_process_beside_the_first_ends_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What the first process leaves behind is an error of the connection for the others."""
    before = signal.getsignal(signal.SIGTERM)

    def end(*signals: int) -> None:
        with watching.shown(9, quiet=False, first=False):
            for number in signals:
                signal.raise_signal(number)
            raise RuntimeError("reset by peer")

    with pytest.raises(RuntimeError, match="reset by peer"):
        end()
    with pytest.raises(KeyboardInterrupt):
        end(signal.SIGINT)
    assert capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("mine", "q.jsonl", "--store", "s", "-o", "no/t.json"), "name a file in a folder that exists"),
        (("mine", "absent.jsonl", "--store", "s", "-o", "t.json"), "absent.jsonl: cannot be read"),
        (("train", "q.jsonl", "-o", "out", "--init", "bert"), "nothing to train on"),
    ],
)
def test_one_line_for_what_cannot_be_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(folder)
    done = run(*args)
    assert done.exit_code == 1
    assert message in done.stderr.splitlines()[-1]


def test_training_without_pytorch_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("train", folder / "nothing.json", "-o", folder / "out")
    assert done.exit_code == 1
    assert "needs PyTorch and transformers" in done.stderr
    assert "pip install -c constraints.txt '.[torch]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

"""Whole trainings: the optimizer's steps by value, going on after kill -9, what is written, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from learning import make_samples, pair, plain_bert, plain_loss
from safetensors.numpy import load_file, save_file

from dpr_rag import DualEncoder
from dpr_rag.encoders.checkpoints import convert, from_checkpoint
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.errors import TrainingError
from dpr_rag.training import (
    NegativeLogLikelihood,
    Progress,
    RandomBatches,
    SampleValidation,
    TrainingSettings,
    check_samples,
    train,
    trainer,
)
from dpr_rag.training.contriever import MomentumContrast
from dpr_rag.training.folder import OutputFolder
from dpr_rag.training.model import Model
from dpr_rag.training.selection import Selection
from dpr_rag.training.settings import learning_rate

SAMPLES = make_samples(14)
SETTINGS = TrainingSettings(
    batch_size=4,
    epochs=5,
    learning_rate=1e-3,
    warmup_steps=2,
    temperature=4.0,
    towers="separate",
    save_every=3,
    log_every=1,
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return plain_bert(tmp_path_factory.mktemp("start") / "bert")


def weights(folder: Path) -> dict[str, np.ndarray]:
    files = sorted(folder.glob("*/model.safetensors"))
    return {f"{file.parent.name}/{name}": array for file in files for name, array in load_file(file).items()}


def assert_equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    assert one
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def assert_close(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    """Of two trainings in one process; see :func:`run`."""
    assert set(one) == set(other)
    assert one
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, rtol=0, atol=1e-6, err_msg=name)


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


def test_steps_are_those_of_plain_torch(tmp_path: Path, start: DualEncoder) -> None:
    settings = replace(SETTINGS, dropout=0.0, accumulate=2, epochs=3, weight_decay=0.1, gradient_norm=0.5)
    result = train(SAMPLES, tmp_path / "out", init=start, settings=settings)
    assert result.steps == 6  # 14 samples, 4 a batch, 2 batches a step, 3 epochs
    model = Model(start, towers="separate", dropout=0.0)
    named = model.parameters()
    decayed = [one for name, one in named.items() if not ("LayerNorm" in name or name.endswith("bias"))]
    others = [one for name, one in named.items() if "LayerNorm" in name or name.endswith("bias")]
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3
    )
    schedule = transformers.get_linear_schedule_with_warmup(adam, 2, 6)
    source = RandomBatches(SAMPLES, batch_size=4, hard_negatives=1)
    for epoch in range(3):
        batches = list(source.batches(epoch, seed=0))
        for first in range(0, 4, 2):
            for batch in batches[first : first + 2]:
                (plain_loss(model, batch, 4.0) / 2).backward()
            torch.nn.utils.clip_grad_norm_(named.values(), 0.5)
            adam.step()
            schedule.step()
            adam.zero_grad()
    model.save(tmp_path / "expected")
    expected, found = weights(tmp_path / "expected"), weights(tmp_path / "out")
    assert set(expected) == set(found)
    moved = 0.0
    for name, array in found.items():
        # softmax takes no notice of these: their gradients are rounding alone, which Adam makes large
        if name.endswith("key.bias") or name == "context/ctx_encoder.bert_model.encoder.layer.1.output.LayerNorm.bias":
            continue
        np.testing.assert_allclose(array, expected[name], atol=2e-4, err_msg=name)
        moved = max(
            moved, float(np.abs(array - start.question_tower.state.get(name.split("bert_model.")[-1], array)).max())
        )
    assert moved > 2e-3


def test_rates_rise_and_fall_as_in_transformers() -> None:
    settings = TrainingSettings(warmup_steps=3, learning_rate=1.0)
    adam = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = transformers.get_linear_schedule_with_warmup(adam, 3, 10)
    for step in range(10):
        assert learning_rate(settings, step, 10) == pytest.approx(schedule.get_last_lr()[0])
        adam.step()
        schedule.step()
    published = TrainingSettings()
    assert (published.batch_size, published.learning_rate, published.epochs, published.dropout) == (128, 2e-5, 40, 0.1)
    assert (published.hard_negatives, published.gradient_norm) == (1, 2.0)
    assert published.temperature_for(PROFILES["dpr"]) == 1.0
    assert published.warmup_of(18_400) == 1237
    assert published.warmup_of(300) == 30


RUN = """
import json, os, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny_models as tiny
from test_training_running import SAMPLES, SETTINGS, validation
from dpr_rag.training import train

seen, bert, out, at, every = [], *sys.argv[1:]

def told(now):
    seen.append(now.step)
    if now.step == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

start = tiny.load(Path(bert), profile="dpr")
settings = replace(SETTINGS, save_every=int(every))
done = train(SAMPLES, out, init=start, settings=settings, validation=validation(), progress=told)
print(json.dumps([seen, done.steps, done.best, done.best_step]))
"""


def run(bert: Path, out: Path, *, kill_at: int = 0, save_every: int = 3) -> subprocess.CompletedProcess[bytes]:
    """A training in a process of its own: what PyTorch computes, to the last bit, may depend on what ran before it."""
    code = RUN.format(tests=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", code, *map(str, (bert, out, kill_at, save_every))]
    return subprocess.run(arguments, capture_output=True, check=False)


def validation() -> list[SampleValidation]:
    return [SampleValidation(make_samples(6, seed=9), batch_size=4, temperature=4.0)]


def test_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    bert, out = tmp_path / "bert", tmp_path / "out"
    plain_bert(bert)
    whole = run(bert, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr.decode()
    done = run(bert, out, kill_at=11)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    inside = tmp_path / "out" / "training"
    assert [path.name for path in inside.glob("state-*")] == ["state-9"]
    assert sorted(path.suffix for path in (inside / "state-9").iterdir()) == [".json", ".safetensors", ".safetensors"]
    (inside / "state.partial").mkdir()  # as of a kill while a state was being written
    (inside / "state.partial" / "weights.safetensors").write_bytes(b"half")
    assert not (tmp_path / "out" / "dpr_rag.json").exists()
    resumed = run(bert, out, save_every=4)  # how often is saved may differ
    assert resumed.returncode == 0, resumed.stderr.decode()
    (seen, *result), (_, *expected) = json.loads(resumed.stdout), json.loads(whole.stdout)
    assert seen == list(range(10, 21))
    assert result == expected
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "out"))
    timeless = [[{**line, "questions_per_second": 0} for line in log(tmp_path / name)] for name in ("whole", "out")]
    assert timeless[0] == timeless[1]
    assert [path.name for path in inside.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("moved", [1, 3])
def test_a_kill_while_the_encoder_is_put_in_place(
    tmp_path: Path, start: DualEncoder, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    settings = replace(SETTINGS, steps=4, select="nll")
    whole = train(SAMPLES, tmp_path / "whole", init=start, settings=settings, validation=validation())
    replaced = os.replace
    done: list[Path] = []

    def replace_some(source: Path, target: Path) -> None:
        if Path(target).parent == tmp_path / "out":
            if len(done) == moved:
                raise KeyboardInterrupt
            done.append(target)
        replaced(source, target)

    monkeypatch.setattr(os, "replace", replace_some)
    monkeypatch.setattr(OutputFolder, "_write_about", _raising(OutputFolder._write_about, moved == 3))
    with pytest.raises(KeyboardInterrupt):
        train(SAMPLES, tmp_path / "out", init=start, settings=settings, validation=validation())
    monkeypatch.undo()
    assert len(done) == moved
    steps: list[Progress] = []
    again = train(
        SAMPLES, tmp_path / "out", init=start, settings=settings, validation=validation(), progress=steps.append
    )
    assert steps == []  # the last state was kept until the end
    assert again.best == pytest.approx(whole.best, rel=1e-5)
    assert replace(again, path=whole.path, best=whole.best) == whole
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "out"))


def _raising(write: Any, wanted: bool) -> Any:
    def wrapped(folder: OutputFolder, about: Any, end: Any) -> None:
        if wanted and end is not None:
            raise KeyboardInterrupt
        write(folder, about, end)

    return wrapped


def test_finished_training_is_left_alone_and_others_are_refused(tmp_path: Path, start: DualEncoder) -> None:
    settings = replace(SETTINGS, steps=2)
    first = train(SAMPLES, tmp_path / "out", init=start, settings=settings)
    before = (tmp_path / "out" / "dpr_rag.json").stat().st_mtime_ns
    assert train(SAMPLES, tmp_path / "out", init=start, settings=settings) == first
    assert (tmp_path / "out" / "dpr_rag.json").stat().st_mtime_ns == before
    with pytest.raises(
        TrainingError, match=r"begun otherwise: settings.learning_rate was 0.001 and is 0.01; go on with"
    ):
        train(SAMPLES, tmp_path / "out", init=start, settings=replace(settings, learning_rate=0.01))
    with pytest.raises(TrainingError, match="begun otherwise: data was"):
        train(SAMPLES[1:], tmp_path / "out", init=start, settings=settings)
    with pytest.raises(TrainingError, match=r'begun otherwise: objective was "nll/4.0" and is "nll/2.0"'):
        train(
            SAMPLES, tmp_path / "out", init=start, settings=settings, objective=NegativeLogLikelihood(temperature=2.0)
        )
    start.save_pretrained(tmp_path / "saved")
    with pytest.raises(TrainingError, match="saved exists and holds no training"):
        train(SAMPLES, tmp_path / "saved", init=start, settings=settings)


def test_the_best_weights_are_kept(tmp_path: Path, start: DualEncoder) -> None:
    """Validation on the training questions with a rate that destroys: the first epoch is the best one."""
    settings = replace(SETTINGS, learning_rate=0.01, epochs=4)
    measures: list[dict[str, float]] = []
    result = train(
        SAMPLES,
        tmp_path / "out",
        init=start,
        settings=replace(settings, select="nll"),
        validation=on_training(),
        progress=lambda now: measures.append(dict(now.measures)) if now.measures else None,
    )
    losses = [one["nll"] for one in measures]
    assert len(losses) == 4
    assert result.best == min(losses) < losses[-1]
    assert result.best_step == 4 * (1 + losses.index(min(losses)))
    (again,) = on_training()
    assert result.start == pytest.approx(again.measure(start)["nll"], rel=1e-6)
    encoder = DualEncoder.from_pretrained(tmp_path / "out", device="cpu", runtime="torch")
    assert again.measure(encoder) == pytest.approx(measures[losses.index(min(losses))], rel=1e-5)
    train(SAMPLES, tmp_path / "last", init=start, settings=replace(settings, select="last"), validation=on_training())
    encoder = DualEncoder.from_pretrained(tmp_path / "last", device="cpu", runtime="torch")
    assert again.measure(encoder)["nll"] == pytest.approx(losses[-1], rel=1e-5)
    with pytest.raises(TrainingError, match="select is 'top-20', and validation measures nll, average_rank"):
        train(SAMPLES, tmp_path / "x", init=start, settings=replace(settings, select="top-20"), validation=validation())
    with pytest.raises(TrainingError, match="two validations take the same measure"):
        train(SAMPLES, tmp_path / "x", init=start, settings=settings, validation=[*validation(), *validation()])


def on_training() -> list[SampleValidation]:
    return [SampleValidation(SAMPLES, batch_size=4, temperature=4.0)]


def test_the_start_is_kept_where_nothing_surpasses_it(tmp_path: Path, start: DualEncoder) -> None:
    class Worsening:
        names, fingerprint = ("nll",), ""
        vectors: ClassVar[list[np.ndarray]] = []

        def measure(self, encoder: Any) -> dict[str, float]:
            self.vectors.append(encoder.encode_questions(["who wrote"]))
            return {"nll": 0.5 + len(self.vectors) // 2}  # 0.5, 1.5, 1.5

    settings = replace(SETTINGS, epochs=2, average_with_start=0.3)
    result = train(SAMPLES, tmp_path / "out", init=start, settings=settings, validation=[Worsening()])
    assert (result.start, result.best, result.best_step, result.steps) == (0.5, 0.5, 0, 8)
    np.testing.assert_allclose(Worsening.vectors[0], start.encode_questions(["who wrote"]), atol=1e-6)
    validations = [one for one in log(tmp_path / "out") if "validation" in one]
    assert [(one["step"], one["validation"]["nll"], one["best"]) for one in validations] == [
        (0, 0.5, True),
        (4, 1.5, False),
        (8, 1.5, False),
    ]
    written = weights(tmp_path / "out")
    for name, array in start.question_tower.state.items():
        if not name.startswith("pooler."):
            np.testing.assert_array_equal(written[f"question/question_encoder.bert_model.{name}"], array)


def test_what_is_measured_is_what_is_written(tmp_path: Path) -> None:
    start = pair(tmp_path)
    settings = replace(SETTINGS, epochs=2, towers="as-given", average_with_start=0.25, select="nll")
    result = train(SAMPLES, tmp_path / "out", init=start, settings=settings, validation=on_training())
    (measured,) = on_training()
    assert result.best_step == 8
    encoder = DualEncoder.from_pretrained(tmp_path / "out", device="cpu", runtime="torch")
    assert measured.measure(encoder)["nll"] == pytest.approx(result.best, rel=1e-7)
    last = replace(settings, select="last")
    train(SAMPLES, tmp_path / "last", init=start, settings=last, validation=on_training())
    assert_close(weights(tmp_path / "last"), weights(tmp_path / "out"))  # measuring left what learns as it was


@pytest.mark.parametrize(
    ("names", "by"),
    [
        (("nll", "average_rank", "top-1", "top-20", "top-5"), "top-20"),
        (("nll", "average_rank"), "average_rank"),
        (("own", "nll"), "nll"),
        (("own", "other"), "own"),
    ],
)
def test_the_measure_that_decides_is_the_nearest_to_retrieval(names: tuple[str, ...], by: str) -> None:
    class Named:
        fingerprint = ""

        def __init__(self) -> None:
            self.names = names

        def measure(self, encoder: Any) -> dict[str, float]:
            return {}

    assert Selection([Named()], None).by == by
    assert Selection([Named()], names[0]).by == names[0]


def test_a_step_of_several_batches_goes_on_inside_an_epoch(
    tmp_path: Path, start: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, batch_size=2, accumulate=2, epochs=2)  # 7 batches in 4 steps, the last one of one
    seen: list[tuple[str, ...]] = []
    add = trainer.add_gradients

    def watched(model: Any, objective: Any, batch: Any, **options: Any) -> float:
        seen.append((*batch.questions, str(options["seed"])))
        return add(model, objective, batch, **options)

    monkeypatch.setattr(trainer, "add_gradients", watched)
    train(SAMPLES, tmp_path / "whole", init=start, settings=settings)
    whole = seen.copy()
    seen.clear()

    def stop(now: Progress) -> None:
        if now.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SAMPLES, tmp_path / "out", init=start, settings=settings, progress=stop)
    assert len(seen) == 7 + 4  # in the middle of the second epoch
    train(SAMPLES, tmp_path / "out", init=start, settings=settings)
    assert len(whole) == 14
    assert seen == whole
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "out"))


def test_a_training_that_saved_nothing_does_not_block_its_folder(tmp_path: Path, start: DualEncoder) -> None:
    out, settings = tmp_path / "out", replace(SETTINGS, steps=2)
    with pytest.raises(TrainingError, match="the loss of step"):
        train(SAMPLES, out, init=start, settings=replace(settings, steps=3, learning_rate=1e20, warmup_steps=0))
    assert train(SAMPLES, out, init=start, settings=settings).steps == 2
    assert json.loads((out / "training" / "training.json").read_text())["about"]["settings"]["learning_rate"] == 1e-3
    with pytest.raises(TrainingError, match="begun otherwise"):
        train(SAMPLES, out, init=start, settings=replace(settings, seed=1))

    killed = tmp_path / "killed"
    (killed / "training").mkdir(parents=True)
    assert OutputFolder(killed).begin({}) == "new"
    half = tmp_path / "half"
    (half / "training").mkdir(parents=True)
    (half / "training" / ".training.json.partial").write_text('{"form')
    assert OutputFolder(half).begin({}) == "new"
    for name, inside in (("other", "notes.txt"), ("foreign", "training/notes.txt")):
        (tmp_path / name / "training").mkdir(parents=True)
        (tmp_path / name / inside).write_text("mine")
        with pytest.raises(TrainingError, match=f"{name} exists and holds no training"):
            OutputFolder(tmp_path / name).begin({})
    (killed / "training" / "best").mkdir()
    with pytest.raises(TrainingError, match="begun otherwise"):
        OutputFolder(killed).begin({"data": "other"})


def test_a_damaged_folder_is_named(tmp_path: Path, start: DualEncoder) -> None:
    def stop(now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SAMPLES, tmp_path / "out", init=start, settings=SETTINGS, progress=stop)
    optimizer = tmp_path / "out" / "training" / "state-1" / "optimizer.safetensors"
    save_file({"step/other": np.ones(1, np.float32)}, optimizer)
    with pytest.raises(TrainingError, match="optimizer has 'step/other', which the model has not"):
        train(SAMPLES, tmp_path / "out", init=start, settings=SETTINGS)
    (optimizer.parent / "weights.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"the state of step 1 in .* lacks files; remove it"):
        train(SAMPLES, tmp_path / "out", init=start, settings=SETTINGS)
    about = tmp_path / "out" / "training" / "training.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"finished": {"steps": 3}}))
    with pytest.raises(TrainingError, match=r"training.json is damaged .*'steps'"):
        train(SAMPLES, tmp_path / "out", init=start, settings=SETTINGS)


def test_temperature_follows_the_profile(tmp_path: Path, start: DualEncoder) -> None:
    assert TrainingSettings(temperature=0.3).temperature_for(PROFILES["minilm"]) == 0.3
    normalised = replace(PROFILES["minilm"], question_length=32, passage_length=32)
    encoder = tiny.load(tiny.bert(tmp_path / "n"), profile=normalised)
    settings = replace(SETTINGS, steps=1, warmup_steps=0, temperature=None)
    for name, init, temperature in (("plain", start, 1.0), ("normalised", encoder, 0.05)):
        train(SAMPLES, tmp_path / name, init=init, settings=settings)
        about = json.loads((tmp_path / name / "training" / "training.json").read_text())["about"]
        assert (about["settings"]["temperature"], about["objective"]) == (temperature, f"nll/{temperature}")
        again = train(SAMPLES, tmp_path / name, init=init, settings=replace(settings, temperature=temperature))
        assert again.steps == 1  # the explicit value is the same training


def test_positives_are_drawn_where_settings_ask_for_it(tmp_path: Path, start: DualEncoder) -> None:
    settings = replace(SETTINGS, steps=1, warmup_steps=0)
    assert replace(settings, shuffle_positives=True).as_dict() == settings.as_dict()
    for name, drawn in (("fixed", False), ("drawn", True)):
        train(SAMPLES, tmp_path / name, init=start, settings=replace(settings, shuffle_positives=drawn))
        about = json.loads((tmp_path / name / "training" / "training.json").read_text())["about"]
        samples, _ = check_samples(SAMPLES)
        assert about["data"] == RandomBatches(samples, batch_size=4, shuffle_positives=drawn).fingerprint


def test_average_with_start(tmp_path: Path) -> None:
    start = pair(tmp_path)
    settings = replace(SETTINGS, steps=3, towers="as-given")
    train(SAMPLES, tmp_path / "plain", init=start, settings=settings)
    train(SAMPLES, tmp_path / "mixed", init=start, settings=replace(settings, average_with_start=0.25))
    start.save_pretrained(tmp_path / "start")
    before, trained, mixed = (weights(tmp_path / name) for name in ("start", "plain", "mixed"))
    for name, array in mixed.items():
        np.testing.assert_allclose(array, 0.75 * trained[name] + 0.25 * before[name], atol=1e-7)


@pytest.mark.parametrize("towers", ["as-given", "separate"])
def test_what_is_written_loads_everywhere(tmp_path: Path, start: DualEncoder, towers: str) -> None:
    out = tmp_path / "out"
    train(SAMPLES, out, init=start, settings=replace(SETTINGS, steps=2, towers=towers))
    encoder = DualEncoder.from_pretrained(out, device="cpu", runtime="torch")
    assert encoder.shared == (towers == "as-given")
    assert encoder.profile == start.profile
    assert encoder.fingerprint != start.fingerprint
    assert sorted(path.name for path in (out / "training").iterdir()) == ["log.jsonl", "progress.svg", "training.json"]
    classes = ("DPRQuestionEncoder", "DPRContextEncoder") if towers == "separate" else ("BertModel",)
    vectors = {
        "question": encoder.encode_questions(["who wrote"]),
        "context": encoder.encode_passages(tiny.PASSAGES[:1]),
    }
    for role, name in zip(("question", "context"), classes, strict=False):
        model, loading = getattr(transformers, name).from_pretrained(out / role, output_loading_info=True)
        assert not loading["missing_keys"]
        ids = encoder.sides[role == "context"].tokens
        sequences = ids.questions(["who wrote"]) if role == "question" else ids.passages(tiny.PASSAGES[:1])
        with torch.inference_mode():
            inputs = torch.tensor([sequences[0].ids])
            found = model.eval()(inputs, token_type_ids=torch.zeros_like(inputs))
        plain = found.pooler_output if towers == "separate" else found.last_hidden_state[:, 0]
        np.testing.assert_allclose(vectors[role], plain.numpy(), atol=1e-5)
    convert(out, tmp_path / "dpr.cp")
    back = from_checkpoint(tmp_path / "dpr.cp", base=out / "question", device="cpu", runtime="torch")
    np.testing.assert_allclose(back.encode_questions(["who wrote"]), vectors["question"], atol=1e-6)


@pytest.mark.parametrize("family", ["ance", "tas_b", "contriever"])
def test_every_family_trains_and_learns(tmp_path: Path, family: str) -> None:
    start = tiny.load(getattr(tiny, family)(tmp_path / "m"))
    settings = replace(SETTINGS, epochs=25, towers="as-given", dropout=0.0)
    train(SAMPLES, tmp_path / "out", init=start, settings=settings)
    trained = DualEncoder.from_pretrained(tmp_path / "out", device="cpu", runtime="torch")
    measured = SampleValidation(SAMPLES, temperature=4.0)
    before, after = measured.measure(start), measured.measure(trained)
    assert after["nll"] < 0.6 * before["nll"]
    assert after["average_rank"] < 0.6 * before["average_rank"]
    assert (trained.profile, trained.shared) == (start.profile, True)
    head = [name for name in start.question_tower.state if name.startswith("head.")]
    assert bool(head) == (family == "ance")
    for name in head:
        assert not np.array_equal(trained.question_tower.state[name], start.question_tower.state[name])


def test_what_cannot_be_trained(tmp_path: Path, start: DualEncoder) -> None:
    with pytest.raises(TrainingError, match="has two towers, and towers='shared' asks for one"):
        train(SAMPLES, tmp_path / "a", init=pair(tmp_path), settings=replace(SETTINGS, towers="shared"))
    with pytest.raises(TrainingError, match="nothing to train on: no samples were given"):
        train([], tmp_path / "b", init=start)
    with pytest.raises(TrainingError, match="data is a generator; expected a list of samples"):
        train((one for one in SAMPLES), tmp_path / "b", init=start)
    with pytest.raises(TrainingError, match="MomentumContrast needs a momentum tower"):
        train(SAMPLES, tmp_path / "b", init=start, settings=SETTINGS, objective=MomentumContrast())
    assert not (tmp_path / "b").exists()
    with pytest.raises(TrainingError, match="nothing to train on: 1 samples without a positive"):
        train([replace(SAMPLES[0], positives=())], tmp_path / "b", init=start)
    with pytest.raises(TrainingError, match=r"the loss of step \d+ is nan; lower the learning rate"):
        train(SAMPLES, tmp_path / "c", init=start, settings=replace(SETTINGS, learning_rate=1e20, warmup_steps=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected an integer of at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number above 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a number at least 0 and below 1"),
        ({"towers": "three"}, "towers is 'three', expected one of as-given, shared, separate, momentum"),
        ({"steps": True}, "steps is True"),
        ({"temperature": 0}, "temperature is 0, expected a number above 0"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainingSettings(**changes)

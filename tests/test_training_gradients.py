"""Loss and gradients against plain torch: every family of encoders, gradient cache with dropout, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from learning import assert_same, gradients_of, make_samples, pair, plain_bert, plain_loss
from safetensors.torch import load_file

from dpr_rag import DualEncoder
from dpr_rag.corpora import TrainingPassage
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.errors import TrainingError
from dpr_rag.training import NegativeLogLikelihood, Pick, make_batch
from dpr_rag.training.gradients import add_gradients
from dpr_rag.training.model import Model

SAMPLES = make_samples(10)
BATCH = make_batch([Pick(one.question, one.positives[0], one.hard_negatives) for one in SAMPLES])
FAMILIES = ("dpr", "plain", "separate", "ance", "tas_b", "contriever", "normalised")


def encoder(family: str, folder: Path) -> DualEncoder:
    if family == "dpr":
        return pair(folder)
    if family in ("plain", "separate"):
        return plain_bert(folder / "m")
    if family == "normalised":
        own = replace(PROFILES["minilm"], question_length=32, passage_length=32)
        return tiny.load(tiny.bert(folder / "m"), profile=own)
    return tiny.load(getattr(tiny, family)(folder / "m"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk_tokens", [100_000, 60])
def test_loss_and_gradients_are_those_of_the_paper(tmp_path: Path, family: str, chunk_tokens: int) -> None:
    temperature = 0.05 if family == "normalised" else 4.0
    model = Model(encoder(family, tmp_path), towers="separate" if family == "separate" else "as-given", dropout=0.0)
    expected = plain_loss(model, BATCH, temperature)
    expected.backward()
    gradients = gradients_of(model)
    with model.learning():
        loss = add_gradients(
            model, NegativeLogLikelihood(temperature=temperature), BATCH, seed=(0,), chunk_tokens=chunk_tokens
        )
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert_same(gradients, gradients_of(model), 1e-4 if family == "normalised" else 2e-5)


def test_gradient_cache_drops_the_same_units_twice(tmp_path: Path) -> None:
    """The same chunks with their graphs kept, as a plain step on a large machine, give the same gradients."""
    model = Model(plain_bert(tmp_path / "m"), towers="separate", dropout=0.3)
    objective = NegativeLogLikelihood(temperature=4.0)
    with model.learning():
        cached = add_gradients(model, objective, BATCH, seed=(7,), chunk_tokens=60)
        by_cache = gradients_of(model)
        kept = _kept_step(model, objective, 60)
        assert cached == pytest.approx(kept, rel=1e-6)
        assert_same(by_cache, gradients_of(model), 1e-5)
        uncached = add_gradients(model, objective, BATCH, seed=(7,), chunk_tokens=60, gradient_cache=False)
        assert uncached == pytest.approx(cached, rel=1e-6)
        assert_same(by_cache, gradients_of(model), 1e-5)
        other = add_gradients(model, objective, BATCH, seed=(8,), chunk_tokens=60)
    assert abs(other - cached) > 1e-3  # another seed drops other units


def _kept_step(model: Model, objective: NegativeLogLikelihood, budget: int) -> float:
    from dpr_rag.training.gradients import _passages, _questions

    questions = _questions(model, BATCH.questions, budget, [7, 0], False)
    passages = _passages(model, BATCH.passages, budget, [7, 0], False)
    assert len(questions.chunks) > 1 < len(passages.chunks)
    vectors = []
    for side in (questions, passages):
        rows = {}
        for chunk, seed in zip(side.chunks, side.seeds, strict=True):
            torch.manual_seed(seed)
            rows |= dict(zip(chunk.rows, side.runtime.forward(chunk), strict=True))
        vectors.append(torch.stack([rows[at] for at in range(len(rows))]))
    loss = objective.loss(*vectors, BATCH)
    loss.backward()
    return float(loss.detach())


def test_a_step_leaves_random_numbers_and_the_start_alone(tmp_path: Path) -> None:
    start = plain_bert(tmp_path / "m")
    before = {name: array.copy() for name, array in start.question_tower.state.items()}
    model = Model(start, dropout=0.1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with model.learning():
        add_gradients(model, NegativeLogLikelihood(), BATCH, seed=(0,))
        with torch.no_grad():
            for parameter in model.parameters().values():
                parameter.sub_(parameter.grad)
    assert torch.equal(torch.rand(3), expected)
    assert all((start.question_tower.state[name] == array).all() for name, array in before.items())
    assert not model.question.backbone.training


def test_equal_passages_are_one_column() -> None:
    shared, other = TrainingPassage("hamlet is a king", "t", "1"), TrainingPassage("the king", "t", "2")
    again = TrainingPassage("hamlet is a king", "t", "another id", 3.0)
    batch = make_batch([Pick("who", shared, [other]), Pick("who wrote", again), Pick("king", other, [shared])])
    assert batch.passages == (shared, other)
    assert (batch.positives, batch.negatives) == ((0, 0, 1), ((1,), (), (0,)))
    assert batch.scores is None
    scored = make_batch([Pick("who", shared, [other], [2.0, 1.0]), Pick("king", other)])
    assert scored.scores is not None
    assert scored.scores[0].tolist() == [2.0, 1.0]
    assert torch.from_numpy(scored.scores[1]).isnan().all()
    with pytest.raises(TrainingError, match="no questions"):
        make_batch([])


def test_bfloat16_is_close_to_float32(tmp_path: Path) -> None:
    model = Model(plain_bert(tmp_path / "m"), dropout=0.0)
    objective = NegativeLogLikelihood(temperature=4.0)
    with model.learning():
        exact = add_gradients(model, objective, BATCH, seed=(0,), chunk_tokens=60)
        full = gradients_of(model)
        rough = add_gradients(model, objective, BATCH, seed=(0,), chunk_tokens=60, bf16=True)
        half = gradients_of(model)
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.1)
    name = "question.encoder.layer.1.output.dense.weight"
    assert half[name].dtype == torch.float32
    assert float(torch.cosine_similarity(full[name].flatten(), half[name].flatten(), dim=0)) > 0.95


WORKER = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
import tiny_models as tiny
from test_training_gradients import BATCH, gradients_of
from safetensors.torch import save_file
from dpr_rag.training import NegativeLogLikelihood
from dpr_rag.training.gradients import add_gradients
from dpr_rag.training.model import Model
from dpr_rag.training.processes import Processes
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{{folder}}/meet", rank=rank, world_size=2)
model = Model(tiny.load(folder / "m", profile="dpr"), towers="separate", dropout=0.0)
group = Processes.current()
with model.learning():
    loss = add_gradients(model, NegativeLogLikelihood(temperature=4.0), BATCH, seed=(0,), chunk_tokens=60, processes=group)
group.sum_gradients(model.parameters().values())
save_file(gradients_of(model) | {{"loss": torch.tensor(loss)}}, folder / f"{{rank}}.safetensors")
torch.distributed.destroy_process_group()
"""


def test_two_processes_are_one(tmp_path: Path) -> None:
    model = Model(plain_bert(tmp_path / "m"), towers="separate", dropout=0.0)
    _run_two(WORKER.format(tests=str(Path(__file__).parent)), tmp_path)
    with model.learning():
        loss = add_gradients(model, NegativeLogLikelihood(temperature=4.0), BATCH, seed=(0,), chunk_tokens=60)
    alone = gradients_of(model)
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert float(found.pop("loss")) == pytest.approx(loss, rel=1e-6)
        assert_same(alone, found, 1e-5)


def _run_two(code: str, folder: Path) -> None:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(folder)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=400)[1].decode() for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors

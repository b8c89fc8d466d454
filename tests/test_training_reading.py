"""Training a reader: its loss by value, where answers stand, shares of processes, going on after a stop, and that it learns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from learning import gradients_of, pair, plain_bert

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.encoders.runtime import batches
from dpr_rag.errors import TrainingError
from dpr_rag.reading.profiles import OWN
from dpr_rag.reading.reader import Reader
from dpr_rag.training import Progress, TrainingSettings
from dpr_rag.training.processes import Processes
from dpr_rag.training.reading import Reading, add_reading_gradients, reader_from, train_reader
from dpr_rag.training.reading_batches import NOWHERE, Example, ReadingBatches, examples_of, places_of
from dpr_rag.training.reading_loss import question_loss, span_losses
from dpr_rag.training.reading_model import ReaderModel

PROFILE = replace(OWN, length=24, overlap=4)
SETTINGS = TrainingSettings(batch_size=4, steps=6, learning_rate=1e-3, warmup_steps=1, dropout=0.1, save_every=2)


def samples(count: int) -> list[TrainingSample]:
    """Questions for a word of their passage; the first word of the passage says which question it answers."""
    words = ["tragedy", "king", "hamlet", "denmark"]
    found = []
    for at in range(count):
        word, other = words[at % 4], words[(at + 1 + at // 4) % 4]
        positive = TrainingPassage(f"is a {word} of the {'king' if word != 'king' else 'hamlet'}", word, f"p{at}")
        negatives = tuple(TrainingPassage(f"the {one} is it", other) for one in ("a", "of"))
        found.append(TrainingSample(f"who is {word}", (word,), (positive,), (), negatives))
    return found


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return reader_from(plain_bert(tmp_path_factory.mktemp("start") / "bert"), profile=PROFILE, seed=3)


def example(start: Reader, spans: tuple[tuple[int, int], ...]) -> Example:
    """The input `[CLS] who [SEP] king [SEP] the king of denmark [SEP]`: 11 tokens, text at 5 to 9."""
    asked, title, text = start.pairs.bodies(["who", "king", "the king of denmark"])
    return Example(start.pairs.window(asked, title, text, 0), spans)


def test_the_loss_adds_up_the_likelihoods_of_all_places(start: Reader) -> None:
    places = [example(start, spans) for spans in (((6, 6), (8, 9)), NOWHERE, ())]
    assert places[0].window.sequence.ids == [tiny.IDS[one] for one in (
        "[CLS]", "who", "[SEP]", "king", "[SEP]", "the", "king", "of", "den", "##mark", "[SEP]")]  # fmt: skip
    scores = torch.randn((3, 11, 3), generator=torch.Generator().manual_seed(0))
    found = span_losses(scores, places)
    allowed = [0, 5, 6, 7, 8, 9]  # [CLS] and the text: not the question, the title, nor separators
    starts, ends = (
        [{at: math.exp(float(row[at, which])) / sum(math.exp(float(row[one, which])) for one in allowed) for at in allowed}
         for row in scores] for which in (0, 1)
    )  # fmt: skip
    assert float(found[0]) == pytest.approx(-math.log(starts[0][6] * ends[0][6] + starts[0][8] * ends[0][9]), rel=1e-5)
    assert float(found[1]) == pytest.approx(-math.log(starts[1][0] * ends[1][0]), rel=1e-5)
    assert float(found[2]) == 0.0


def test_a_questions_loss_is_selection_and_span_and_no_answer_in_the_negatives() -> None:
    selection, spans = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, 3.0, 1.0])
    chosen = -1.0 + math.log(sum(map(math.exp, (1, 2, -1))))
    assert float(question_loss(selection, spans)) == pytest.approx(chosen + 0.5 + 2.0)
    assert float(question_loss(selection[:1], spans[:1])) == pytest.approx(0.5)


def test_answers_stand_where_their_tokens_do() -> None:
    assert places_of([[7, 8], [9]], [7, 8, 9, 7, 7, 8]) == [(0, 1), (2, 2), (4, 5)]
    assert places_of([], [1, 2]) == []
    assert places_of([[1, 2, 3]], [1, 2]) == []


def test_inputs_of_negatives_say_no_answer_and_long_positives_keep_one(start: Reader) -> None:
    long = " ".join(["the", "of"] * 12 + ["hamlet"] + ["is", "a"] * 9)
    sample = TrainingSample(
        "who",
        ("hamlet",),
        (TrainingPassage(long, "king"),),
        (),
        (TrainingPassage("hamlet is it"), TrainingPassage(long)),
    )
    source = ReadingBatches([sample], batch_size=1, hard_negatives=2)
    (batch,) = source.batches(0, seed=0)
    firsts = set()
    for seed in range(8):
        ((positive, *negatives),) = examples_of(batch, start.pairs, [seed])
        assert [one.spans for one in negatives] == [NOWHERE, NOWHERE]
        ((first, last),) = positive.spans
        assert positive.window.sequence.ids[first : last + 1] == [tiny.IDS["hamlet"]]
        assert len(positive.window.sequence.ids) == 24
        firsts.add(positive.window.first)
    assert len(firsts) > 2
    (nameless,) = examples_of(replace_answers(batch, ()), start.pairs, [0])
    assert nameless[0].spans == ()


def replace_answers(batch, answers):
    return replace(batch, answers=(answers,))


def test_gradients_are_those_of_transformers_reader(start: Reader, tmp_path: Path) -> None:
    start.save_pretrained(tmp_path / "reader")
    plain = transformers.DPRReader.from_pretrained(tmp_path / "reader", attn_implementation="eager").eval()
    (batch,) = ReadingBatches(samples(3), batch_size=3, hard_negatives=1).batches(0, seed=0)
    model = ReaderModel(start, dropout=0.0, device="cpu")
    found = add_reading_gradients(model, Reading(), batch, seed=[0], chunk_tokens=50)
    total = torch.zeros(())
    for own in examples_of(batch, start.pairs, [0]):
        selection, spans = [], []
        for one in own:
            out = plain(input_ids=torch.tensor([one.window.sequence.ids]))
            scores = torch.stack([out.start_logits, out.end_logits, out.start_logits], dim=-1)
            selection.append(out.relevance_logits[0])
            spans.append(span_losses(scores, [one])[0])
        total = total + question_loss(torch.stack(selection), torch.stack(spans)) / 3
    total.backward()
    assert found == pytest.approx(float(total.detach()), rel=1e-5)
    mine = gradients_of(model)
    theirs = dict(plain.span_predictor.named_parameters())
    wanted = torch.cat([theirs["qa_outputs.weight"].grad, theirs["qa_classifier.weight"].grad])
    assert torch.allclose(mine["heads.weight"], wanted, atol=1e-5)
    name = "encoder.layer.0.attention.self.query.weight"
    assert torch.allclose(mine[f"body.{name}"], theirs[f"encoder.bert_model.{name}"].grad, atol=1e-5)
    assert float(mine[f"body.{name}"].abs().max()) > 1e-4


class Share(Processes):
    """One of several processes, whose others say nothing."""

    def gather(self, own: torch.Tensor, total: int) -> torch.Tensor:
        return own.detach()


def test_the_shares_of_processes_add_up(start: Reader) -> None:
    (batch,) = ReadingBatches(samples(5), batch_size=5).batches(0, seed=0)
    model = ReaderModel(start, dropout=0.0, device="cpu")
    add_reading_gradients(model, Reading(), batch, seed=[0], scale=0.5)
    whole = gradients_of(model)
    for rank in range(2):
        add_reading_gradients(model, Reading(), batch, seed=[0], scale=0.5, processes=Share(rank, 2))
    for name, gradient in gradients_of(model).items():
        assert torch.allclose(gradient, whole[name], atol=1e-6), name


class StoppedError(Exception):
    pass


def test_it_goes_on_where_it_was_stopped_and_ends_with_the_same_weights(start: Reader, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        if now.step == 3:
            raise StoppedError

    train_reader(samples(10), tmp_path / "whole", init=start, settings=SETTINGS, device="cpu")
    with pytest.raises(StoppedError):
        train_reader(samples(10), tmp_path / "twice", init=start, settings=SETTINGS, progress=stop, device="cpu")
    seen: list[int] = []
    train_reader(
        samples(10),
        tmp_path / "twice",
        init=start,
        settings=SETTINGS,
        progress=lambda now: seen.append(now.step),
        device="cpu",
    )
    assert seen == [4, 5, 6]
    whole, twice = (Reader.from_pretrained(tmp_path / name) for name in ("whole", "twice"))
    assert whole.fingerprint == twice.fingerprint != start.fingerprint
    assert whole.profile == PROFILE
    assert sorted(path.name for path in (tmp_path / "twice" / "training").iterdir()) == [
        "log.jsonl",
        "progress.svg",
        "training.json",
    ]
    with pytest.raises(TrainingError, match=r"begun otherwise: .*data was"):
        train_reader(samples(9), tmp_path / "twice", init=start, settings=SETTINGS, device="cpu")


def test_it_learns_to_select_and_to_point(start: Reader, tmp_path: Path) -> None:
    told = samples(8)
    settings = replace(SETTINGS, batch_size=8, steps=40, learning_rate=5e-3, dropout=0.0)
    train_reader(told, tmp_path / "out", init=start, settings=settings, device="cpu")

    @torch.inference_mode()
    def right(reader: Reader) -> tuple[int, int]:
        model = ReaderModel(reader, dropout=0.0, device="cpu")
        (batch,) = ReadingBatches(told, batch_size=8).batches(0, seed=0)
        selected = pointed = 0
        for own in examples_of(batch, reader.pairs, [0]):
            chunks = [next(batches([one.window.sequence], budget=99, pad=0, segments="zero")) for one in own]
            first, *others = [model.scores(chunk)[0] for chunk in chunks]
            selected += float(first[0, 2]) > max(float(one[0, 2]) for one in others)
            text = own[0].window.sequence.second  # before it no span may begin, and nothing is learnt of it
            pointed += own[0].spans[0] == tuple(text + int(first[text:, which].argmax()) for which in (0, 1))
        return selected, pointed

    assert max(right(start)) < 8
    assert right(Reader.from_pretrained(tmp_path / "out")) == (8, 8)


def test_what_no_reader_learns_from_is_refused(start: Reader, tmp_path: Path) -> None:
    one, other = samples(2)
    with pytest.raises(TrainingError, match=f"the question '{other.question}' has no hard negative"):
        ReadingBatches([one, replace(other, hard_negatives=())])
    with pytest.raises(TrainingError, match="a reader is made of a single BertModel"):
        reader_from(pair(tmp_path))
    model = ReaderModel(start, device="cpu")
    with pytest.raises(TrainingError, match="do not fit the reader"):
        model.load({})
    before = {name: tensor.clone() for name, tensor in model.tensors().items()}
    with torch.no_grad():
        model.tensors()["heads.bias"].add_(2.0)
    with model.averaged(0.25):
        assert np.allclose(model.tensors()["heads.bias"], before["heads.bias"] + 1.5)
    assert np.allclose(model.tensors()["heads.bias"], before["heads.bias"] + 2.0)


def test_frozen_layers_stay_and_the_others_learn(start: Reader, tmp_path: Path) -> None:
    train_reader(samples(4), tmp_path / "out", init=start, settings=replace(SETTINGS, steps=2), frozen=1, device="cpu")
    before, after = start.tower.state, Reader.from_pretrained(tmp_path / "out").tower.state
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    assert {name for name in after if name.startswith(("embeddings.", "encoder.layer.0."))}.isdisjoint(moved)
    assert {"span.weight", "selection.weight", "encoder.layer.1.output.dense.weight"} <= moved
    with pytest.raises(TrainingError, match="the reader has 2 layers; leave at least one to learn"):
        train_reader(samples(4), tmp_path / "none", init=start, frozen=2)

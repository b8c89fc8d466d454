"""What a batch is made of: the order of samples, topics, mixtures, and what is wrong with training files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder
from learning import make_samples

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.errors import CorpusError, EvaluationError, TrainingError
from dpr_rag.training import (
    Batch,
    BatchSource,
    MixedBatches,
    RandomBatches,
    SampleValidation,
    StoreValidation,
    TopicBatches,
    read_samples,
)

SAMPLES = make_samples(11, negatives=3)


def told(batch: Batch) -> list[tuple[str, str, tuple[str, ...]]]:
    """Question, positive and hard negatives by text."""
    return [
        (question, batch.passages[positive].text, tuple(batch.passages[at].text for at in own))
        for question, positive, own in zip(batch.questions, batch.positives, batch.negatives, strict=True)
    ]


def epoch(source: BatchSource, at: int, seed: int = 0) -> list[list[tuple[str, str, tuple[str, ...]]]]:
    return [told(batch) for batch in source.batches(at, seed=seed)]


def test_random_batches_hold_every_sample_once() -> None:
    source = RandomBatches(SAMPLES, batch_size=4, hard_negatives=2)
    first = epoch(source, 0)
    assert [len(batch) for batch in first] == [4, 4, 3]
    assert len(source) == 3
    by_question = {sample.question: sample for sample in SAMPLES}
    assert sorted(question for batch in first for question, _, _ in batch) == sorted(by_question)
    for question, positive, negatives in (one for batch in first for one in batch):
        sample = by_question[question]
        assert positive == sample.positives[0].text
        assert len(set(negatives)) == 2
        assert set(negatives) <= {one.text for one in sample.hard_negatives}
    assert epoch(source, 0) == first
    assert epoch(source, 1) != first
    assert epoch(source, 0, seed=1) != first
    drawn = {one[2] for at in range(30) for batch in epoch(source, at) for one in batch if one[0] == first[0][0][0]}
    assert len(drawn) == 6  # every ordered pair of three


def test_positives_are_drawn_where_asked_for() -> None:
    two = (TrainingPassage("first"), TrainingPassage("second"))
    samples = [TrainingSample("who", (), two)]
    fixed, drawn = RandomBatches(samples), RandomBatches(samples, shuffle_positives=True)
    assert {epoch(fixed, at)[0][0][1] for at in range(20)} == {"first"}
    assert {epoch(drawn, at)[0][0][1] for at in range(20)} == {"first", "second"}


def test_fingerprints_name_the_data_and_the_draws() -> None:
    known = RandomBatches(SAMPLES, batch_size=4).fingerprint
    assert RandomBatches(list(SAMPLES), batch_size=4).fingerprint == known
    others = [
        RandomBatches(SAMPLES, batch_size=5),
        RandomBatches(SAMPLES[::-1], batch_size=4),
        RandomBatches(SAMPLES, batch_size=4, hard_negatives=2),
        TopicBatches(SAMPLES),
        TopicBatches(SAMPLES, topic_of=lambda sample: "one"),
    ]
    assert len({known, *(source.fingerprint for source in others)}) == 6


def topical() -> list[TrainingSample]:
    """Topics of 7, 4, 1 and 1 passages, with one to three questions each."""
    sizes = {"a": 7, "b": 4, "c": 1, "d": 1}
    passages = [TrainingPassage(f"{topic}{at}", topic) for topic, size in sizes.items() for at in range(size)]
    return [
        TrainingSample(f"{one.text}?{number}", (), (one,), (), (TrainingPassage("hard"),))
        for at, one in enumerate(passages)
        for number in range(1 + at % 3)
    ]


def test_topics_stand_together() -> None:
    source = TopicBatches(topical(), topics=2, passages=3, questions=2)
    assert len(source) == 3  # 13 passages, 6 a batch
    for at in range(4):
        batches = epoch(source, at)
        assert [len({positive for _, positive, _ in batch}) for batch in batches] == [6, 6, 1]
        row = list(dict.fromkeys(positive for batch in batches for _, positive, _ in batch))
        assert sorted(row) == sorted({sample.positives[0].text for sample in topical()})
        runs = "".join(text[0] for text in row)
        for topic, clusters in (("a", [1, 3, 3]), ("b", [1, 3])):  # 7 in clusters of 3, 3, 1; 4 in 3 and 1
            lengths = [len(run) for run in runs.translate({ord(c): " " for c in "abcd" if c != topic}).split()]
            assert sum(lengths) == sum(clusters)
            assert max(lengths) >= 3
        questions = Counter(positive for batch in batches for _, positive, _ in batch)
        have = Counter(sample.positives[0].text for sample in topical())
        assert questions == {text: min(2, count) for text, count in have.items()}
    assert epoch(source, 0) == epoch(source, 0) != epoch(source, 1)
    assert {one[2] for batch in epoch(source, 0) for one in batch} == {()}
    hard = TopicBatches(topical(), topics=2, passages=3, hard_negatives=1)
    assert {one[2] for batch in epoch(hard, 0) for one in batch} == {("hard",)}
    with pytest.raises(TrainingError, match="passages is 0"):
        TopicBatches(topical(), passages=0)


def test_mixed_batches_go_through_both_sources() -> None:
    crops = make_samples(5, seed=50)
    first, second = RandomBatches(SAMPLES, batch_size=4), RandomBatches(crops, batch_size=2)
    mixed = MixedBatches(first, second)
    assert len(mixed) == 3
    parts = [told(batch) for at in range(2) for batch in second.batches(at, seed=3)]
    expected = [
        [*told(batch), *parts[at * 3 + place]]
        for at in range(2)
        for place, batch in enumerate(first.batches(at, seed=3))
    ]
    assert [batch for at in range(2) for batch in epoch(mixed, at, seed=3)] == expected
    assert mixed.fingerprint != MixedBatches(second, first).fingerprint


def write(path: Path, items: Sequence[object]) -> Path:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in items) + "\n")
    return path


def test_bad_training_data_are_counted_and_named(tmp_path: Path) -> None:
    good = {"text": "a tragedy", "title": "Hamlet"}
    path = write(
        tmp_path / "t.jsonl",
        [
            {"question": "one", "positive_ctxs": [good], "hard_negative_ctxs": [{"text": "wrong"}]},
            {"question": "two", "positive_ctxs": []},
            "{broken",
            {"question": "three", "positive_ctxs": [{"text": "  ", "title": "x"}]},
            {"question": "four", "positive_ctxs": [{"text": ""}]},
            {"question": "five", "positive_ctxs": [good], "hard_negative_ctxs": [good, {"text": " "}, {"text": "no"}]},
            {"question": " ", "positive_ctxs": [good]},
        ],
    )
    samples, report = read_samples(path)
    assert [(one.question, [p.text for p in one.hard_negatives]) for one in samples] == [
        ("one", ["wrong"]),
        ("five", ["no"]),
    ]
    counts = (report.samples, report.unreadable, report.without_positives, report.blank_passages, report.contradictions)
    assert counts == (2, 3, 2, 2, 1)
    assert report.without_hard_negatives == 0
    assert report.lines()[:4] == [
        "3 unreadable samples were left out",
        "2 samples without a positive were left out",
        "2 passages without text were left out",
        "1 hard negatives that are positives of the same question were left out",
    ]
    assert report.examples[0] == f"{path}:2: the question 'two' has no positive_ctxs; it is left out"
    assert report.examples[1].startswith(f"{path}:3: is not JSON")
    both, _ = read_samples(path, path)
    assert len(both) == 4
    with pytest.raises(TrainingError, match="nothing to train on: 1 samples without a positive were left out"):
        read_samples(write(tmp_path / "none.jsonl", [{"question": "two", "positive_ctxs": []}]))
    with pytest.raises(CorpusError, match="cannot be read"):
        read_samples(tmp_path / "absent.json")


@pytest.mark.parametrize("temperature", [10.0, 40.0])
def test_validation_by_value(temperature: float) -> None:
    encoder = HashEncoder(dim=6)
    samples = make_samples(9, negatives=2, seed=4)
    found = SampleValidation(samples, batch_size=4, temperature=temperature, hard_negatives=2).measure(encoder)
    questions = encoder.encode_questions([one.question for one in samples])

    def vectors(passages: Sequence[TrainingPassage]) -> np.ndarray:
        return encoder.encode_passages([Passage("x", one.text, one.title) for one in passages])

    losses, ranks = [], []
    everything = [one for sample in samples for one in (*sample.positives, *sample.hard_negatives)]
    for at, sample in enumerate(samples):
        right = float(questions[at] @ vectors(sample.positives)[0])
        own = samples[at - at % 4 : at - at % 4 + 4]
        columns = [one for other in own for one in (other.positives[0], other.hard_negatives[0])]
        scores = (vectors(columns) @ questions[at] / temperature).astype(np.float64)
        losses.append(np.log(np.exp(scores).sum()) - right / temperature)
        ranks.append(int((vectors(everything) @ questions[at] > right + 1e-5).sum()))
    assert found == pytest.approx({"nll": np.mean(losses), "average_rank": np.mean(ranks)}, rel=1e-4)


def test_an_encoder_that_tells_nothing_apart_has_no_good_rank() -> None:
    class Same(HashEncoder):
        def _encode(self, texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(texts), self.dim), np.float32)

    samples = make_samples(5, negatives=1)
    assert SampleValidation(samples).measure(Same())["average_rank"] == pytest.approx(4.5)  # half of nine others


def test_accuracy_on_a_store_is_that_of_the_weights_of_the_moment(tmp_path: Path) -> None:
    passages = [Passage(str(at), f"word{at} word{at + 1} of the text") for at in range(30)]
    asked = [Question(f"q{at}", f"word{at} text", (), (str(at),)) for at in range(0, 30, 3)]
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(salt="old")) as store:
        store.add(passages)
        validation = StoreValidation(store, asked, ks=(1, 3))
        few = StoreValidation(store, asked, ks=(1, 3), limit=5)
        with pytest.raises(EvaluationError):
            StoreValidation(store, [Question("q", "who")])
    assert validation.names == ("top-1", "top-3")
    encoder = HashEncoder(salt="new")
    scores = encoder.encode_questions([one.question for one in asked]) @ encoder.encode_passages(passages).T
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = {f"top-{k}": np.mean([at * 3 in row[:k] for at, row in enumerate(order.tolist())]) for k in (1, 3)}
    assert validation.measure(encoder) == pytest.approx(expected)
    assert 0 < expected["top-1"] <= expected["top-3"]
    small = [*range(5), *(int(one.positive_ids[0]) for one in islice(asked, 2, None))]
    best = [small[int(np.argmax(row[small]))] for row in scores]
    assert few.measure(encoder)["top-1"] == pytest.approx(np.mean([at * 3 == one for at, one in enumerate(best)]))
    assert few.fingerprint != validation.fingerprint

"""A tiny reader that has learnt something, for tests of what stands on readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from learning import plain_bert

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.reading.profiles import OWN
from dpr_rag.training import TrainingSettings
from dpr_rag.training.reading import reader_from, train_reader

PROFILE = replace(OWN, length=24, overlap=4)
WORDS = ("tragedy", "king", "hamlet", "denmark")


def reading_samples(count: int) -> list[TrainingSample]:
    """Questions such as "who is king", each with a passage that says "is a king of the …" and two that say nothing."""
    found = []
    for at in range(count):
        word, other = WORDS[at % 4], WORDS[(at + 1 + at // 4) % 4]
        positive = TrainingPassage(f"is a {word} of the {'king' if word != 'king' else 'hamlet'}", word, f"p{at}")
        negatives = tuple(TrainingPassage(f"the {one} is it", other) for one in ("a", "of"))
        found.append(TrainingSample(f"who is {word}", (word,), (positive,), (), negatives))
    return found


def save_plain_reader(folder: Path, place: Path) -> None:
    """Write a reader that has learnt nothing, for examples that name one."""
    reader_from(plain_bert(folder), profile=PROFILE, seed=3).save_pretrained(place)


def trained_reader(folder: Path) -> Path:
    """The folder of a reader that answers :func:`reading_samples`, and knows passages that hold no answer."""
    start = reader_from(plain_bert(folder / "start"), profile=PROFILE, seed=3)
    settings = TrainingSettings(
        batch_size=8, steps=60, learning_rate=5e-3, warmup_steps=1, dropout=0.0, save_every=1000
    )
    train_reader(reading_samples(8), folder / "reader", init=start, settings=settings, device="cpu")
    return folder / "reader"

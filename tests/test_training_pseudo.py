"""Questions made of passages by themselves, and labelled ones said as people type them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from learning import make_samples

from dpr_rag import Passage
from dpr_rag.errors import TrainingError
from dpr_rag.training import RandomBatches
from dpr_rag.training.pseudo import AsTyped, Drawing, PseudoQuestions

PASSAGES = [
    Passage(str(at), " ".join(["the", *(f"w{at}x{number}" for number in range(40))]), f"Title{at}") for at in range(9)
]


def asked(source: PseudoQuestions, epoch: int = 0) -> list[tuple[str, str]]:
    """Questions with the id of their passage."""
    batches = list(source.batches(epoch, seed=0))
    assert len(batches) == len(source)
    return [
        (question, batch.passages[positive].id)
        for batch in batches
        for question, positive in zip(batch.questions, batch.positives, strict=True)
    ]


def test_every_passage_asks_for_itself_with_its_own_words() -> None:
    source = PseudoQuestions(PASSAGES, batch_size=4)
    for epoch in range(20):
        found = asked(source, epoch)
        assert sorted(name for _, name in found) == sorted(one.id for one in PASSAGES)
        for question, name in found:
            passage = PASSAGES[int(name)]
            assert set(question.split()) <= {passage.title, *passage.text.split()}
            assert question
    assert asked(source, 3) == asked(source, 3) != asked(source, 4)
    with pytest.raises(TrainingError, match="no passages"):
        PseudoQuestions([])


def test_keywords_are_rare_words_and_stretches_are_runs() -> None:
    keywords = PseudoQuestions(PASSAGES, drawing=Drawing(keywords=1.0, title=0.5))
    drawn = [question.split() for epoch in range(40) for question, _ in asked(keywords, epoch)]
    assert all("the" not in words for words in drawn)  # it is in every passage, so it tells nothing
    assert {len(words) for words in drawn} == {2, 3, 4, 5}
    assert 0.4 < np.mean([words[0].startswith("Title") for words in drawn]) < 0.6
    stretches = PseudoQuestions(PASSAGES, drawing=Drawing(keywords=0.0, deletion=0.0))
    for question, name in asked(stretches):
        assert f" {question} " in f" {PASSAGES[int(name)].text} "
        assert 4 <= len(question.split()) <= round(0.35 * 41)


def test_questions_as_they_are_typed() -> None:
    samples = [replace(one, question=f"Who is the king of {at}?") for at, one in enumerate(make_samples(8))]
    source = RandomBatches(samples, batch_size=3)

    def questions(**options: float) -> list[str]:
        return [question for batch in AsTyped(source, **options).batches(0, seed=0) for question in batch.questions]

    plain = [question for batch in source.batches(0, seed=0) for question in batch.questions]
    assert questions(share=0.0) == plain
    assert questions(share=1.0, keywords=0.0) == [question.rstrip("?") for question in plain]
    numbers = [re.sub(r"\D", "", question) for question in plain]
    assert questions(share=1.0, keywords=1.0) == [f"king {number}" for number in numbers]
    assert len(AsTyped(source)) == len(source)
    assert AsTyped(source, share=0.2).fingerprint != AsTyped(source).fingerprint

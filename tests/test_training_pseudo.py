"""Questions made of passages by themselves, and labelled ones said as people type them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from learning import make_samples

from dpr_rag import Passage
from dpr_rag.errors import TrainingError
from dpr_rag.training import RandomBatches
from dpr_rag.training.cutting import joined_words, keywords_of, words_of
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


UNSPACED = {
    "chinese": "春茶四月在山中采摘，秋茶则要等到十月，湖边的茶园最晚。采茶的人清早上山。",
    "japanese": "春の茶は四月に摘まれ、秋の茶は十月を待つ。湖畔の茶畑が最も遅い。",
    "thai": "ชาฤดูใบไม้ผลิเก็บในเดือนเมษายนส่วนชาฤดูใบไม้ร่วงต้องรอถึงเดือนตุลาคม",
}


@pytest.mark.parametrize("name", UNSPACED)
def test_texts_without_spaces_ask_for_themselves_by_parts(name: str) -> None:
    text, other = UNSPACED[name], "the king of denmark"
    passages = [Passage("0", text), Passage("1", other)]
    drawn = {
        keywords: {
            question
            for epoch in range(40)
            for question, at in asked(
                PseudoQuestions(passages, drawing=Drawing(keywords=keywords, deletion=0.0)), epoch
            )
            if at == "0"
        }
        for keywords in (0.0, 1.0)
    }
    for stretch in drawn[0.0]:
        assert stretch in text
        assert len(stretch) < 0.6 * len(text)
        assert not unicodedata.combining(stretch[0])
    for word in {word for question in drawn[1.0] for word in question.split()}:
        assert word in text
        assert len(word) < 9  # two characters with their vowels and marks
    assert len(drawn[0.0]) > 20
    assert len(drawn[1.0]) > 20


def test_words_with_marks_and_apostrophes_are_whole() -> None:
    assert keywords_of("वसंत की चाय, L'Été") == ["वसंत", "की", "चाय", "l", "été"]
    assert keywords_of("Tokyo 東京タワー") == ["tokyo", "東京", "京タ", "タワ", "ワー"]
    assert keywords_of("봄에 딴") == ["봄에", "딴"]
    assert words_of("春茶，  Tokyo\ntower。") == [" 春", "茶，", " Tokyo", " tower。"]
    assert joined_words(words_of(" a\n b  c")) == "a b c"


def test_what_is_cut_by_characters_is_another_source_than_before() -> None:
    spaced = PseudoQuestions(PASSAGES[:2]).fingerprint
    assert (
        spaced == "pseudo 888590b98b7533243380a574343bd6ef3e3c6469e7e455fbe6d9e9c63f2d3d7c"
    )  # a training that was begun goes on
    found = AsTyped(RandomBatches([replace(make_samples(1)[0], question="誰が書きましたか？")]), share=1.0)
    assert next(found.batches(0, seed=0)).questions == ("誰が書きましたか",)


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

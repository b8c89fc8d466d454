"""What few words in the middle of a conversation are looked up with, and whose sentence answers "who"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpr_rag import DualEncoder, Hit, Passage, PassageStore
from dpr_rag.conversation import Dependence, dependence, narrowing_words, standalone
from dpr_rag.lexical import Analyzer
from dpr_rag.pages.answering import Answerer, Settings
from dpr_rag.pages.names import asks_for_person, names_person
from dpr_rag.pages.turns import Turn
from dpr_rag.pages.wordings import Wordings, wordings_of

PASSAGES = [
    Passage("pro", "The Calyx Pro runs for 30 hours on a full charge. It is charged through USB-C.", "Calyx Pro"),
    Passage("lite", "The battery life of the Calyx Lite is 8 hours. It takes two AA cells.", "Calyx Lite"),
    Passage("home", "Everybody can work from home for two days a week. Ask your team lead first.", "Home office"),
    Passage("hotel", "The limit for a hotel is 120 euros a night, and 180 euros in London.", "Travel"),
    Passage("park", "Visitors park on level B2, which costs nothing. Bicycles stand in the yard.", "Parking"),
    Passage("sick", "A sick note of a doctor is needed from the fourth day of illness on.", "Illness"),
]


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answerer]:
    with PassageStore.open(tmp_path_factory.mktemp("wordings") / "s", encoder=DualEncoder.default()) as store:
        store.add(PASSAGES)
        yield Answerer(store, None)


def talk(answerer: Answerer, *questions: str) -> list[Turn]:
    turns: list[Turn] = []
    for question in questions:
        *_, turn = answerer.reply(question, turns, Settings())
        turns.append(turn)
    return turns


@pytest.mark.parametrize("question", ["wifi password", "hotel limit", "sick note", "parental leave", "green tea"])
def test_two_words_of_its_own_may_stand_alone(question: str) -> None:
    assert dependence(question) is Dependence.SHORT
    assert standalone(question, ["How long does the Calyx Pro run?"]) == question
    assert standalone("and in London?", ["How many days can I work from home?", question]).startswith(question)


def test_a_new_subject_in_a_few_words_is_looked_up_alone(answerer: Answerer) -> None:
    *_, limit, london = talk(answerer, "How many days can I work from home?", "hotel limit", "and in London?")
    assert (limit.searched, "120 euros" in limit.reply) == ("hotel limit", True)
    assert london.searched == "hotel limit and in London?"
    assert "180 euros" in london.reply
    *_, note = talk(answerer, "What does parking cost?", "sick note")
    assert (note.searched, "fourth day" in note.reply) == ("sick note", True)


def test_the_subject_before_answers_no_question_about_something_else(answerer: Answerer) -> None:
    *_, password = talk(answerer, "How long does the Calyx Pro run on a full charge?", "wifi password")
    assert (password.answered, password.searched) == (False, "wifi password")


@pytest.mark.parametrize(
    ("question", "said"), [("What is HG-410?", "Tarn"), ("and the Tarn?", "HG-410"), ("lost badge", "reception")]
)
def test_a_passage_with_every_word_of_the_question_is_an_answer_in_the_smallest_store(
    tmp_path: Path, question: str, said: str
) -> None:
    with PassageStore.open(tmp_path / "s", encoder=DualEncoder.default()) as store:
        store.add(
            [
                Passage("row", "id: HG-410; name: Tarn Pressure Gauge; price: 264.00", "products"),
                Passage("badge", "Lost badges must be reported to reception at once.", "Handbook"),
            ]
        )
        asked = Answerer(store, None)
        *_, turn = asked.reply(question, [], Settings())
        assert (turn.answered, said in turn.reply, turn.citations[0].relevance >= 0.5) == (True, True, True)
        *_, other = asked.reply("What is the capital of Australia?", [], Settings())
        assert not other.answered
        *_, strict = asked.reply(question, [], Settings(min_relevance=0.99))
        assert not strict.answered


def test_what_follows_a_few_words_that_were_more_about_another_subject_is_about_that() -> None:
    before = [Turn("Tell me about the Calyx Pro"), Turn("battery life", searched="Calyx Pro battery life")]
    assert wordings_of("and charging?", before).texts[0] == "Calyx Pro and charging?"
    assert wordings_of("and charging?", [before[0], Turn("battery life", searched="battery life")]).texts[0] == (
        "battery life and charging?"
    )


def test_a_follow_up_that_names_something_is_answered_by_passages_that_name_it() -> None:
    rows = [Passage("l", "Name: Lumen; Price: 240.00"), Passage("s", "Name: Sonder; Price: 328.00")]
    hits = [Hit(passage, 9.0 - at, at + 1) for at, passage in enumerate(rows)]
    analyzer = Analyzer("english")
    named = wordings_of("and the Sonder?", [Turn("What is the price of the Lumen?")])
    assert [[hit.passage.id for hit in one] for one in named.fitting([hits, hits], analyzer)] == [["s"], ["s"]]
    unknown = wordings_of("and the Fjord?", [Turn("What is the price of the Lumen?")])
    assert unknown.fitting([hits, hits], analyzer) == [hits, hits]
    alone = Wordings(("sonder colour", "Lumen sonder colour"), ("sonder", "colour"), alone=True)
    assert alone.fitting([hits, hits], analyzer) == [hits, []]


def test_pronouns_narrow_nothing() -> None:
    assert [narrowing_words(one) for one in ("who leads it?", "and in London?", "what about them?")] == [
        [],
        ["london"],
        [],
    ]


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("Its budget is 48,000 euros, and it is led by Ada Lindqvist.", True),
        ("The key is kept by the concierge, Mr. Duarte.", True),
        ("The key is kept by the concierge.", False),
        ("Every team moves in a week of its own, in March.", False),
        ("Project Alder replaces the old ticket system.", False),
    ],
)
def test_names_of_persons_are_told_by_their_capitals(sentence: str, named: bool) -> None:
    assert names_person(sentence) is named
    assert [asks_for_person(one) for one in ("who leads it?", "Wer hilft?", "when?")] == [True, True, False]

"""Conversations without a language model: which questions depend on earlier ones, and the replies of two and three turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpr_rag import DualEncoder, PassageStore
from dpr_rag.conversation import Dependence, dependence, standalone, subject
from dpr_rag.corpora import read_texts
from dpr_rag.courtesies import Courtesy, courtesy, without_courtesies
from dpr_rag.pages.answering import Answerer, Settings
from dpr_rag.pages.turns import Turn

GREETING, THANKS, ASSENT, FAREWELL = Courtesy.GREETING, Courtesy.THANKS, Courtesy.ASSENT, Courtesy.FAREWELL
HANDBOOK = Path(__file__).parent.parent / "examples" / "handbook"
ALONE = [
    "How much are hotels in Zurich?",
    "where is parking?",
    "How do I reset my badge?",
    "who keeps the bicycle cellar key",
    "How long does it take to get a laptop?",
    "Is there a car park?",
    "Wo ist der Parkplatz?",
    "¿Qué es el presupuesto?",
    "Où est la clé de la cave?",
    "停车场在哪里？",
    "I want to be reimbursed",
]
SOME = [
    "and flights?",
    "What about parental leave?",
    "who leads it?",
    "in Zurich?",
    "Und wer leitet es?",
]
SOME += ["who helps?", "which room?"]
SOME += ["Y el aparcamiento?", "¿Quién paga eso?", "它多少钱？", "それはどこですか？"]
ALL = [
    "why?",
    "how much?",
    "and who must I ask for it?",
    "When?",
    "how long does it take?",
    "warum?",
    "pourquoi?",
    "And then?",
]

# (question, what the reply holds; None where nothing must be told) of two or three turns each
TALKS = [
    [("How much are hotels in Zurich?", "190 euros"), ("where does the party take place", None)],
    [("How much are hotels in Zurich?", "190 euros"), ("where is parking?", "twelve places")],
    [("who keeps the bicycle cellar key", "Mr. Duarte"), ("How do I reset my badge?", "badge")],
    [("Can I take unpaid leave?", "Unpaid leave"), ("How long must a password be?", "fourteen")],
    [
        ("What is the budget of project Alder?", "48,000"),
        ("who leads it?", "Lindqvist"),
        ("where is parking?", "twelve"),
    ],
    [
        ("How many days of leave do I have?", "28 days"),
        ("can they be carried over?", "carried"),
        ("who approves it?", "team lead"),
    ],
    [("How do I get a new laptop?", "five working"), ("what happens to the old one?", "a tenth of its price")],
    [("how long must a password be?", "fourteen"), ("and where do I reset it?", "help desk in room 2.14")],
    [("When is the building open?", "seven in the morning"), ("and at weekends?", "alarm")],
    [("What is paid for meals?", "32 euros"), ("and hotels?", "142 euros"), ("in Zurich?", "190 euros")],
    [("When must I hand in expenses?", "30 days"), ("when are they paid?", "next salary")],
    [("When are backups made?", "at noon"), ("Which meeting room has a projector?", "Rhine")],
]


@pytest.mark.parametrize(
    ("questions", "expected"),
    [(ALONE, Dependence.NONE), (SOME, Dependence.PARTIAL), (ALL, Dependence.FULL)],
    ids=["none", "some", "all"],
)
def test_a_question_depends_on_others_by_its_pronouns_or_where_it_has_no_content_words(
    questions: list[str], expected: Dependence
) -> None:
    assert {question: dependence(question) for question in questions} == dict.fromkeys(questions, expected)


def test_a_follow_up_gets_the_subject_of_the_last_question_that_stands_alone() -> None:
    before = ["green tea", "What do whales eat?", "and sharks?", "how many?"]
    assert standalone("why?", before) == "whales eat why?"
    assert standalone("why?", before[:2]) == "whales eat why?"
    assert standalone("Where do penguins live?", before) == "Where do penguins live?"
    assert standalone("why?", []) == "why?"
    assert [standalone(blank, before[:2]) for blank in ("?", "")] == ["whales eat ?", "whales eat "]
    holidays = ["How many days of holiday do we get?", "and part-time?"]
    assert standalone("who approves it?", holidays) == "days of holiday who approves it?"
    assert standalone("and part-time?", holidays[:1]) == "days of holiday and part-time?"
    assert standalone("who helps?", ["When does parental leave begin?"]) == "parental leave begin who helps?"


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What is the limit for lunch with guests?", "limit for lunch with guests"),
        ("Wie viele Tage Urlaub habe ich?", "Tage Urlaub habe"),
        ("why?", "why?"),
        ("停车场在哪里？", "停车场在哪里"),
    ],
)
def test_a_subject_is_what_stands_between_words_that_say_nothing_of_their_own(question: str, about: str) -> None:
    assert subject(question) == about


def test_courtesies_before_a_follow_up_are_no_questions() -> None:
    before = ["hi", "What is the limit for lunch with guests?", "thanks"]
    assert standalone("and for alcohol?", before) == "limit for lunch with guests and for alcohol?"
    assert standalone("Thanks! And for alcohol?", before) == "limit for lunch with guests And for alcohol?"
    assert standalone("who pays?", ["hi", "thanks"]) == "who pays?"
    assert standalone("ok great", before) == "ok great"


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        (
            ["hi", "Hello!", "hi there :)", "Good morning everyone", "How are you?", "Guten Tag", "¡Hola!", "你好"],
            GREETING,
        ),
        (["thanks", "Thank you so much!", "ok, thanks a lot", "That helps, thanks!", "Vielen Dank!", "谢谢"], THANKS),
        (["ok great", "OK.", "perfect!", "yes", "I see", "got it", "that’s great", "Alles klar"], ASSENT),
        (["bye", "ok bye", "Thanks, bye!", "see you later", "Tschüss", "that's all, thank you"], FAREWELL),
        (
            [
                "",
                "?",
                "42",
                "ok?",
                "and then?",
                "who says thanks?",
                "hi, who leads it?",
                "great hotels",
                "thanks 2024",
                "all",
            ],
            None,
        ),
    ],
    ids=["greetings", "thanks", "assent", "farewells", "none"],
)
def test_what_asks_for_nothing_is_told_from_questions(messages: list[str], kind: Courtesy | None) -> None:
    assert {message: courtesy(message) for message in messages} == dict.fromkeys(messages, kind)


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("Hi, how many days of holiday do we get?", "how many days of holiday do we get?"),
        ("Ok. Great! And hotels?", "And hotels?"),
        ("No, the other one", "the other one"),
        ("Thanks!", "Thanks!"),
        ("Zurich, hi", "Zurich, hi"),
    ],
)
def test_a_question_stands_without_the_courtesies_in_front_of_it(message: str, asked: str) -> None:
    assert without_courtesies(message) == asked


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answerer]:
    with PassageStore.open(tmp_path_factory.mktemp("talks") / "s", encoder=DualEncoder.default()) as store:
        store.add(read_texts(HANDBOOK, sentences=True))
        yield Answerer(store, None)


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk[0][0][:30])
def test_new_questions_and_follow_ups_are_answered_from_the_right_sentence(
    answerer: Answerer, talk: list[tuple[str, str | None]]
) -> None:
    before: list[Turn] = []
    for question, expected in talk:
        *_, turn = answerer.reply(question, before, Settings())
        assert expected in turn.reply if expected else (turn.answered, question in turn.reply) == (False, True)
        before.append(turn)

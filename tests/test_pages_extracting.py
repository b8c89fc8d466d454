"""Answers that quote: the sentences that hold what was asked, never headings; both where two sources say different numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from dpr_rag import Answer, DualEncoder, Hit, PassageStore
from dpr_rag.pages.answering import Answerer, Settings
from dpr_rag.pages.files import Files
from dpr_rag.pages.numbers import asks_for_number, differ, numbers_of
from dpr_rag.pages.parting import Sentence, parted
from dpr_rag.pages.turns import Turn

HANDBOOK = {
    "holidays.md": """# Holidays and leave

## Annual leave

Every full-time employee gets 27 days of holiday a year. Part-time employees get holiday in proportion to their weekly hours.
Holiday requests are entered in the HR portal and approved by the line manager.

## Sick leave

Report sick before 9:30 on the first day by calling the office.
""",
    "expenses.txt": """Lunch with guests

The limit for a lunch with guests is stated below. It is 40 EUR per person. Alcohol is not reimbursed.

Taxi

Taxis may be taken with heavy luggage. Keep the receipt.
""",
    "home-2022.md": "# Working from home (2022)\n\nEmployees may work from home two days a week. Ask your team first.\n",
    "home-2024.md": "# Working from home (2024)\n\nEmployees may work from home three days a week. Say so in the calendar.\n",
    "it.md": """# IT

Which laptop do I get?

Developers get a ThinkPad, everybody else a MacBook Air.

## Printers

The printer on the second floor prints in colour. Its name is Falcon.

## Parking

The car park has 12 places.
""",
    "parking.md": "# Parking\n\nParking is free. The car park has twelve places.\n",
    "contacts.csv": "name,role,phone\nMaria Keller,Head of people,4402\nAylin Demir,Data protection officer,4420\n",
}


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answerer]:
    folder = tmp_path_factory.mktemp("handbook")
    with PassageStore.open(folder / "s", encoder=DualEncoder.default()) as store:
        for name, text in HANDBOOK.items():
            (folder / name).write_text(text)
            list(Files(store).add_upload(folder / name))
        yield Answerer(store, None)


def answers(answerer: Answerer, *questions: str) -> list[Turn]:
    turns: list[Turn] = []
    for question in questions:
        *_, turn = answerer.reply(question, turns, Settings())
        turns.append(turn)
    return turns


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        (
            "What is the limit for lunch with guests?",
            "The limit for a lunch with guests is stated below. [1] It is 40 EUR per person. [1]",
        ),
        ("Which laptop do I get as a developer?", "Developers get a ThinkPad, everybody else a MacBook Air. [1]"),
        (
            "What is the name of the colour printer?",
            "The printer on the second floor prints in colour. [1] Its name is Falcon. [1]",
        ),
        (
            "What is the phone number of the data protection officer?",
            "name: Aylin Demir; role: Data protection officer; phone: 4420 [1]",
        ),
    ],
)
def test_the_sentences_that_hold_the_answer_are_quoted(answerer: Answerer, question: str, reply: str) -> None:
    assert answers(answerer, question)[0].reply == reply


class Pointing:
    """A reader that takes the answer to stand where it was told."""

    def __init__(self, text: str, probability: float) -> None:
        self.text, self.probability = text, probability

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        places = [hit.passage.text.find(self.text) for hit in hits]
        return [
            hit if at < 0 else replace(hit, answer=Answer(self.text, at, at + len(self.text), self.probability))
            for hit, at in zip(hits, places, strict=True)
        ]


@pytest.mark.parametrize(("probability", "wins"), [(0.9, True), (0.01, False)])
def test_a_reader_that_is_sure_decides_what_is_quoted(answerer: Answerer, probability: float, wins: bool) -> None:
    reading = Answerer(answerer.store, None, Pointing("27 days", probability))
    (turn,) = answers(reading, "Who approves holiday requests?")
    assert turn.reply.startswith("Every full-time employee gets 27 days of holiday a year.") == wins
    (unread,) = answers(answerer, "Who approves holiday requests?")
    assert unread.reply.startswith("Holiday requests are entered in the HR portal and approved by the line manager.")


def test_follow_ups_are_answered_by_the_subject_of_the_question_that_stands_alone(answerer: Answerer) -> None:
    first, second, third = answers(
        answerer, "How many days of holiday do we get?", "and part-time?", "who approves it?"
    )
    assert "27 days of holiday" in first.reply
    assert "in proportion to their weekly hours" in second.reply
    assert "approved by the line manager" in third.reply
    assert third.searched == "days of holiday who approves it?"


def test_sources_that_say_different_numbers_are_both_quoted_and_none_is_chosen(answerer: Answerer) -> None:
    (turn,) = answers(answerer, "How many days a week may I work from home?")
    numbered = {one.file: one.number for one in turn.citations}
    old, new = numbered["home-2022.md"], numbered["home-2024.md"]
    told = [
        f"Employees may work from home two days a week. [{old}]",
        f"Employees may work from home three days a week. [{new}]",
    ]
    assert turn.reply.startswith("The sources differ, home-20")
    assert all(one in turn.reply for one in told)
    assert {one.number for one in turn.cited} == {old, new}


def test_sources_that_say_the_same_number_in_two_spellings_do_not_differ(answerer: Answerer) -> None:
    (turn,) = answers(answerer, "How many places does the car park have?")
    assert "12 places" in turn.reply or "twelve places" in turn.reply
    assert "differ" not in turn.reply


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Leave\n\n27 days.", [("27 days.", "Leave")]),
        ("**Leave**\n\n27 days.", [("27 days.", "Leave")]),
        ("Annual leave\n============\n\nEverybody has 27 days.", [("Everybody has 27 days.", "Annual leave")]),
        ("Annual leave\n\nEverybody has 27 days.", [("Everybody has 27 days.", "Annual leave")]),
        ("Annual leave\nEverybody has 27 days.", [("Everybody has 27 days.", "Annual leave")]),
        ("2.1 Annual leave\n\nEverybody has 27 days.", [("Everybody has 27 days.", "2.1 Annual leave")]),
        ("How many days? Everybody has 27.", [("Everybody has 27.", "How many days?")]),
        (
            "Holiday policy 2023 (superseded)\n\nEverybody has 25 days.",
            [("Everybody has 25 days.", "Holiday policy 2023 (superseded)")],
        ),
        ("IT rules\nPasswords\nThey have 12 letters.", [("They have 12 letters.", "Passwords")]),
        ("Handbook\n\nIT rules\n\nPasswords\nAt least 12.", [("At least 12.", "Passwords")]),
        (
            "- a laptop\n- a phone\n\nPasswords\nAt least 12.",
            [("- a laptop", "T"), ("- a phone", "T"), ("At least 12.", "Passwords")],
        ),
        ("Contacts\nAda\t12\nBob\t13", [("Ada 12", "Contacts"), ("Bob 13", "Contacts")]),
        (
            "Responsible for the systems\nSystem: ERP; By: Ada\nSystem: CRM; By: Bob. He asks Ada",
            [
                ("System: ERP; By: Ada", "Responsible for the systems"),
                ("System: CRM; By: Bob. He asks Ada", "Responsible for the systems"),
            ],
        ),
        # what only looks like a heading
        ("Founded in 1998\n\nIt is a firm.", [("Founded in 1998", "T"), ("It is a firm.", "T")]),
        (
            "Parking is free\n\nThe password is swordfish",
            [("Parking is free", "T"), ("The password is swordfish", "T")],
        ),
        ("Limit 40 EUR\n\nIt holds for everybody.", [("Limit 40 EUR", "T"), ("It holds for everybody.", "T")]),
        ("One line\nwith a break.", [("One line with a break.", "T")]),
        ("Annual leave", [("Annual leave", "T")]),
        ("What is it?", [("What is it?", "T")]),
        ("name: Ada\nphone: 12", [("name: Ada; phone: 12", "T")]),
        ("question: Who?\nanswer: Ada", [("answer: Ada", "question: Who?")]),
    ],
)
def test_sentences_stand_under_their_headings_which_are_none(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.text, one.heading) for one in parted(text, "T")] == expected


def test_a_sentence_that_points_back_knows_what_stands_before_it() -> None:
    assert parted("The limit is stated below. It is 40 EUR. Ask Ada.") == [
        Sentence("The limit is stated below.", "", after="It is 40 EUR."),
        Sentence("It is 40 EUR.", "", before="The limit is stated below.", after="Ask Ada."),
        Sentence("Ask Ada.", ""),
    ]


def test_numbers_have_one_spelling_and_words_that_are_none_are_left() -> None:
    assert numbers_of("two days or 2, in March, on Monday, may it be") == {"2", "month 3", "day 0"}
    assert numbers_of("1,500 EUR until 31.12.2024") == {"1500", "31.12.2024"}
    assert differ("up to 40 EUR", "up to 50 EUR")
    assert not differ("up to 40 EUR", "up to 40 EUR in 2024")
    assert not differ("two days", "2 days")
    asked = ["How many days?", "what is the limit?", "Wann?", "Combien ?", "Who leads it?", "Which laptop?"]
    assert [asks_for_number(one) for one in asked] == [True, True, True, True, False, False]

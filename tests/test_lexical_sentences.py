"""Sentences end where a reader says so, in many languages, and nothing of a text is lost or said twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag.corpora.splitting import split_lines
from dpr_rag.lexical.sentences import ends_sentence, sentences

ONE = [
    "The key of the bicycle cellar is kept by the concierge, Mr. Duarte, on the ground floor.",
    "Ask Mrs. Oyelaran, Dr. Brandt or Prof. Lindqvist.",
    "The Hobbit was written by J. R. R. Tolkien in Oxford.",
    "George W. Bush met J.K. Rowling.",
    "St. Mary is at No. 5, Fig. 3 and vol. 2 of it.",
    "Bring tools, e.g. Phillips screwdrivers, i.e. The Best ones, and approx. Ten bolts.",
    "It is made by Acme Inc. in the U.S. Army vs. Navy Co. way.",
    "It costs 3.14 euros at 10 a.m. every day.",
    "See https://example.org/a.html?q=1.5 and README.md or node.js for v1.2.3 of it.",
    "Well ... it is late… but open.",
    "“Is it open?” asked the guard.",
    "Nehmen Sie z. B. Brot, d. h. Gebäck, bzw. Kuchen, vgl. Nr. 4.",
    "Die Feier ist am 3. Mai im 19. Jahrhundert, jeden 2. Dienstag.",
    "Adressez-vous à M. Dupont ou à Mme. Curie, p. ex. lundi.",
    "Hable con la Sra. Gómez, pág. 5.",
    "Smith et al. Show it (cf. Jones), etc. and more.",
    "Version 2. is out on 24. desember.",
    "Yes, on Jan. 5 and Sat. night.",
    "「そうです。」と言った。",
]
MANY = [
    ("He lives in the U.S. The house is old.", ["He lives in the U.S.", "The house is old."]),
    ("It works for Acme Inc. It pays.", ["It works for Acme Inc.", "It pays."]),
    ("Is it open? No. It is closed! Go home.", ["Is it open?", "No.", "It is closed!", "Go home."]),
    (
        "It opened in 1990. Paris followed. He is 12. He reads.",
        ["It opened in 1990.", "Paris followed.", "He is 12.", "He reads."],
    ),
    ("keep it in mind. tell me. he sat. go on.", ["keep it in mind.", "tell me.", "he sat.", "go on."]),
    ("Take vitamin C. It helps. So did I. They left.", ["Take vitamin C.", "It helps.", "So did I.", "They left."]),
    (
        "He said “go.” Ada went (twice.) Then came etc. The end.",
        ["He said “go.”", "Ada went (twice.)", "Then came etc.", "The end."],
    ),
    ("See a.txt. Then b.md. Ok", ["See a.txt.", "Then b.md.", "Ok"]),
    ("鲸鱼吃磷虾。“它们很大！”他说。很好", ["鲸鱼吃磷虾。", "“它们很大！”", "他说。", "很好"]),
    ("鍵は山田さんが持つ。「はい。」次です？", ["鍵は山田さんが持つ。", "「はい。」", "次です？"]),
    ("यह घर है। वह बड़ा है।", ["यह घर है।", "वह बड़ा है।"]),
    (
        "The key is kept on the ground floor by the concierge,\nMr. Duarte. Ask him\nat noon.\n\nNext",
        ["The key is kept on the ground floor by the concierge, Mr. Duarte.", "Ask him at noon.", "Next"],
    ),
    (
        "Bring:\n- Pens\n- paper\n1. Ink\n2. Glue\nMonday\nTuesday",
        ["Bring:", "- Pens", "- paper", "1. Ink", "2. Glue", "Monday", "Tuesday"],
    ),
    ("Written by J.\n\nThe end.", ["Written by J.", "The end."]),
]


def cut(text: str) -> list[str]:
    """The sentences, each on one line."""
    return [" ".join(one.split()) for one in sentences(text) if one.strip()]


@pytest.mark.parametrize("text", ONE)
def test_no_sentence_ends_at_an_abbreviation(text: str) -> None:
    assert cut(f"It was so. {text} That is all.") == ["It was so.", text, "That is all."]


@pytest.mark.parametrize(("text", "expected"), MANY)
def test_sentences_end_where_a_reader_says(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize("text", [one for one in ONE if one.isascii() or "z. B." in one])
def test_passages_of_whole_sentences_are_not_cut_there_either(text: str) -> None:
    assert list(split_lines([f"So. {text} End of it."], len(text.split()), sentences=True))[:2] == ["So.", text]


@settings(max_examples=100)
@given(st.text(alphabet="aI3. !?…。「」”\n\rと-A", max_size=60) | st.text(max_size=60))
def test_sentences_together_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize("signs", [".", "?" + "'", "…", "(", "'"])
def test_signs_without_end_are_looked_at_once(signs: str) -> None:
    """A hang guard: what is quadratic here takes hours."""
    assert ends_sentence("", f"{signs * 200_000}word.", "Next")

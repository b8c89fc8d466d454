"""``has_answer``: by examples with known truth, and against DPR's own code on the ``regex`` package."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from dpr_rag.evaluation import has_answer
from dpr_rag.evaluation.answers import find_answers, tokens

DPR_TOKENS = regex.compile(
    r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])", flags=regex.IGNORECASE + regex.UNICODE + regex.MULTILINE
)
# characters that the two Unicode tables of this Python and of `regex` classify alike
CHARS = st.one_of(
    st.sampled_from("aAbBßéüŻžİΣςσ中あ한 .,'’-–$€%^_\u0301\u0308\u0338≠½²Ⅷ٣ \u00a0\u200b\u200d\u2028\t\n\x00|+"),
    st.characters(exclude_categories=("Cs", "Cn"), max_codepoint=0x2FFF),
)
TEXT = st.text(CHARS, max_size=25)


def dpr_words(text: str) -> list[str]:
    """``SimpleTokenizer().tokenize(normalize(text)).words(uncased=True)`` of facebookresearch/DPR."""
    return [match.group().lower() for match in DPR_TOKENS.finditer(unicodedata.normalize("NFD", text))]


def dpr_has_answer(answers: list[str], text: str) -> bool:
    words = dpr_words(text)
    for answer in map(dpr_words, answers):
        for at in range(len(words) - len(answer) + 1):
            if answer and answer == words[at : at + len(answer)]:
                return True
    return False


@pytest.mark.parametrize(
    ("answer", "text", "held"),
    [
        ("Shakespeare", "a tragedy by William SHAKESPEARE.", True),
        ("art", "a party", False),
        ("art", "state-of-the-art", True),
        ("New York", "New\n  York", True),
        ("New York", "New, York", False),
        ("New York", "York New", False),
        ("U.S.", "the U. S. Army", True),
        ("U.S.", "the US Army", False),
        ("caf\u00e9", "CAFE\u0301", True),
        ("cafe", "caf\u00e9", False),
        ("don't", "don’t", False),
        ("1,000", "about 1,000 men", True),
        ("1000", "about 1,000 men", False),
        ("$5", "$ 5", True),
        ("東京", "東京都", False),
        ("東京", "東京 都", True),
        ("zero\u200bwidth", "zero width", True),
        ("ΣΟΦΟΣ", "σοφος", True),
        ("snake_case", "snake _ case", True),
        ("!", "no", False),
        ("", "anything", False),
        (" \u200b", "anything", False),
        ("a", "", False),
    ],
)
def test_has_answer(answer: str, text: str, held: bool) -> None:
    assert has_answer([answer], text) is held
    assert has_answer(["nothing of it", answer], text) is held
    assert bool(find_answers([answer], unicodedata.normalize("NFD", text))) is held


def test_without_answers_nothing_is_held() -> None:
    assert not has_answer([], "text")


@pytest.mark.parametrize(
    ("pattern", "text", "held"),
    [
        (r"Long\s?Island", "on longisland", True),
        (r"^1999$", "in\n1999\nor so", True),
        (r"19(98|99)", "in 1999", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("(", "(", False),
        ("a{99999999999999999999}", "a", False),
        ("[[]", "[", True),
        (r"\d+ feet", "some feet", False),
    ],
)
def test_regular_expressions(pattern: str, text: str, held: bool) -> None:
    assert has_answer([pattern], text, regex=True) is held
    assert bool(find_answers([pattern], unicodedata.normalize("NFD", text), regex=True)) is held


@given(TEXT)
@example("ΑΣ.Α Σ’Σ")
@example("≠a\u0301\u0338b")
def test_tokens_are_dprs(text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text)
    assert [token.word for token in tokens(decomposed)] == dpr_words(text)
    assert [decomposed[token.start : token.end].lower() for token in tokens(decomposed)] == dpr_words(text)


@given(st.lists(TEXT, max_size=3), TEXT, st.data())
def test_has_answer_is_dprs(answers: list[str], text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    answers = [*answers, text[start : data.draw(st.integers(start, len(text)))]]
    assert has_answer(answers, text) is dpr_has_answer(answers, text)
    assert bool(find_answers(answers, unicodedata.normalize("NFD", text))) is has_answer(answers, text)


@given(st.lists(st.sampled_from(["a", "a b", "b a", "b"]), max_size=3), st.text("ab ", max_size=20))
def test_places_are_apart_and_hold_an_answer(answers: list[str], text: str) -> None:
    found = find_answers(answers, text)
    assert all(has_answer(answers, text[start:end]) for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))

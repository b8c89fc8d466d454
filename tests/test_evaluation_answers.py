"""``has_answer``: by examples with known truth, and against DPR's own code on the ``regex`` package."""

from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise

import pytest
import regex
from conftest import HashEncoder
from hypothesis import example, given
from hypothesis import strategies as st

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.corpora import Question
from dpr_rag.errors import MissingExtraError
from dpr_rag.evaluation import Evaluation, evaluate, has_answer
from dpr_rag.evaluation.answers import by_characters, find_answers, tokens
from dpr_rag.evaluation.report.tables import notes
from dpr_rag.evaluation.results import told_by_characters

DPR_TOKENS = regex.compile(
    r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])", flags=regex.IGNORECASE + regex.UNICODE + regex.MULTILINE
)
# characters that the two Unicode tables of this Python and of `regex` classify alike
CHARS = st.one_of(
    st.sampled_from("aAbBßéüŻžİΣςσ中あ한 .,'’-–$€%^_\u0301\u0308\u0338≠½²Ⅷ٣ \u00a0\u200b\u200d\u2028\t\n\x00|+"),
    st.characters(exclude_categories=("Cs", "Cn"), max_codepoint=0x2FFF),
)
TEXT = st.text(CHARS, max_size=25)
SPACED = st.text(CHARS.filter(lambda char: not by_characters(char)), max_size=25)


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
        ("東京", "東京都", True),
        ("京都", "東京 都", True),
        ("東京", "東 京", True),
        ("京東", "東京都", False),
        ("東京Tower", "この東京Towerは", True),
        ("東京", "in 東京都 since 1998", True),
        ("since", "in 東京都since 1998年 it has stood there for long", False),  # an English text: DPR's rule
        ("since", "in 東京都 since 1998", True),
        ("1998", "そこは1998年に始まった", True),
        ("199", "そこは1998年に始まった", False),
        ("か", "かが", True),
        ("か", "ががが", False),
        ("서울", "서울은 크다", True),
        ("가", "각", False),
        ("กา", "การ์ด", True),
        ("ก", "การ์ด", False),
        ("ไทย", "ภาษาไทยยาก", True),
        ("ខ្មែរ", "ភាសាខ្មែរ", True),
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
        (r"\bcaf\b", "a caf\u00e9 in Paris", False),  # the accent belongs to the word
        ("\\bcaf\u00e9\\b", "a caf\u00e9 in Paris", True),
        (r"^\w+$", "S\u00e3o", True),
        (r"\bkm\b", "on 5 km\u00b2", True),  # a superscript does not
        (r"5\b", "on 5\u00b2 tiles", True),
        (r"\bOsman\W", "Osman\u0301 Pasha", False),
        (r"\p{Lu}\d", "route E5", True),
        (r"a++b", "aab", True),
    ],
)
def test_regular_expressions(pattern: str, text: str, held: bool) -> None:
    assert has_answer([pattern], text, regex=True) is held
    assert bool(find_answers([pattern], unicodedata.normalize("NFD", text), regex=True)) is held


def dpr_regex_match(text: str, pattern: str) -> bool:
    """``regex_match`` of facebookresearch/DPR, ``dpr/data/qa_validation.py``, on what ``has_answer`` hands to it."""
    try:
        compiled = regex.compile(
            unicodedata.normalize("NFD", pattern), flags=regex.IGNORECASE + regex.UNICODE + regex.MULTILINE
        )
    except Exception:
        return False
    return compiled.search(unicodedata.normalize("NFD", text)) is not None


@given(st.sampled_from([r"\b{}\b", r"{}\w", r"\W{}", r"{}\B", r"^{}\s", "({})"]), st.text(CHARS, max_size=3), TEXT)
@example(r"\b{}\b", "e", "e\u0301 e\u00b2")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_regular_expressions_are_dprs(frame: str, inner: str, text: str) -> None:
    pattern = frame.format(inner)
    assert has_answer([pattern], text, regex=True) is dpr_regex_match(text, pattern)


def test_without_the_package_regular_expressions_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(
        MissingExtraError, match=r"need the package regex .*pip install -c constraints.txt '\.\[evaluation\]'"
    ):
        has_answer(["a pattern asked for nowhere else"], "text", regex=True)
    assert has_answer(["plain"], "plain text")


@given(TEXT)
@example("ΑΣ.Α Σ’Σ")
@example("≠a\u0301\u0338b")
def test_tokens_are_dprs(text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text)
    assert [token.word for token in tokens(decomposed)] == dpr_words(text)
    assert [decomposed[token.start : token.end].lower() for token in tokens(decomposed)] == dpr_words(text)


@given(st.lists(SPACED, max_size=3), SPACED, st.data())
def test_has_answer_is_dprs(answers: list[str], text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    answers = [*answers, text[start : data.draw(st.integers(start, len(text)))]]
    assert has_answer(answers, text) is dpr_has_answer(answers, text)
    assert bool(find_answers(answers, unicodedata.normalize("NFD", text))) is has_answer(answers, text)


RUNS = st.text("東京都の가각aB1 。", max_size=8)


def apart(text: str) -> str:
    """A text with space around every character of East Asia."""
    own = ("CJK UNIFIED", "HIRAGANA", "HANGUL")
    return "".join(f" {char} " if unicodedata.name(char).startswith(own) else char for char in text)


@given(st.lists(RUNS.filter(by_characters), min_size=1, max_size=2), st.text("東京都の가각aB1 。", max_size=20))
def test_answers_in_runs_of_characters_are_found_as_if_spaces_were_written(answers: list[str], text: str) -> None:
    assert has_answer(answers, text) is dpr_has_answer([apart(answer) for answer in answers], apart(text))
    assert bool(find_answers(answers, unicodedata.normalize("NFD", text))) is has_answer(answers, text)


@given(st.lists(st.sampled_from(["a", "a b", "b a", "b"]), max_size=3), st.text("ab ", max_size=20))
def test_places_are_apart_and_hold_an_answer(answers: list[str], text: str) -> None:
    found = find_answers(answers, text)
    assert all(has_answer(answers, text[start:end]) for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))


TEA = [
    Passage("a", "春茶四月在山中采摘。"),
    Passage("b", "秋茶十月在湖边采摘。"),
    Passage("c", "The harvest in the hills begins in April."),
]
ASKED = [
    Question("1", "春茶何时采摘", ("四月",), ("a",)),
    Question("2", "湖边采摘什么茶", ("秋茶",), ("b",)),
    Question("3", "When does the harvest begin?", ("April",), ("c",)),
]


@pytest.mark.parametrize("mode", ["bm25", "hybrid"])
def test_texts_without_spaces_are_judged_by_answer_as_by_passage(mode: str) -> None:
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add(TEA)
        system = {"it": Retriever(store, mode=mode, weight=0.01 if mode == "hybrid" else None)}
        found = {by: evaluate(system, ASKED, k=2, by=by) for by in ("answer", "passage")}
    assert [found[by]["it"].accuracy[1].value for by in found] == [1.0, 1.0]
    assert "2 of 3 questions have answers in scripts such as Chinese" in told_by_characters(found["answer"])
    assert "2 of 3 questions have answers in scripts such as Chinese" in str(notes(found["answer"]))
    assert found["answer"].figures()["by_characters"] == 2
    assert told_by_characters(found["passage"]) == ""


def test_answers_in_words_are_told_nothing_about_characters() -> None:
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add(TEA)
        found: Evaluation = evaluate({"it": Retriever(store, mode="bm25")}, ASKED[2:], k=1)
    assert (found.by_characters, told_by_characters(found)) == (0, "")
    assert "by characters" not in str(notes(found))

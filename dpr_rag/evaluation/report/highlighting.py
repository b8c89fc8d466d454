"""Texts in which the question's words and the answers are marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from dpr_rag.evaluation.answers import find_answers, tokens
from dpr_rag.evaluation.report.markup import Html, element, join

_LEAD = 150
_COMMON = frozenset(
    "a about after all also am an and any are as at be been before but by can could did do does for from had has have he "
    "her his how i if in into is it its many much me my name no not of on one or our she should so some than that the "
    "their them then there these they this to was we were what when where which while who whom whose why will with "
    "would you your s t".split()
)


def question_words(question: str) -> frozenset[str]:
    """The words of a question that say something, uncased; English function words are left out."""
    words = (token.word for token in tokens(unicodedata.normalize("NFD", question)))
    return frozenset(word for word in words if word[0].isalnum() and word not in _COMMON)


def marked(
    text: str, words: Collection[str], answers: Collection[str] = (), *, regex: bool = False, length: int = 700
) -> Html:
    """A text with ``<mark>`` of two kinds, cut to about a length that shows the first answer.

    Args:
        text: Any text.
        words: Uncased words to mark.
        answers: Answers to mark; where the two overlap they win.
        regex: Whether answers are regular expressions.
        length: Characters to show.
    """
    plain = unicodedata.normalize("NFD", text)
    held = find_answers(answers, plain, regex=regex)
    spans = [(token.start, token.end) for token in tokens(plain) if token.word in words]
    apart = [span for span in spans if not any(span[0] < end and start < span[1] for start, end in held)]
    first, last = _window(plain, held[0] if held else None, length)
    pieces = ["… "] if first else []
    at = first
    for (start, end), kind in sorted([*((span, "answer") for span in held), *((span, "question") for span in apart)]):
        if first <= start and end <= last:
            pieces += [plain[at:start], element("mark", plain[start:end], class_=kind)]
            at = end
    return join([*pieces, plain[at:last], *([" …"] if last < len(plain) else [])])


def _window(plain: str, answer: tuple[int, int] | None, length: int) -> tuple[int, int]:
    """Which part of a text to show: its start, unless the first answer lies behind it; cut between words."""
    first, end = 0, length
    if answer is not None and answer[1] > length:
        first = plain.rfind(" ", 0, max(0, answer[0] - _LEAD)) + 1
        end = max(first + length, answer[1])
    if end >= len(plain):
        return first, len(plain)
    while end < len(plain) and unicodedata.combining(plain[end]):
        end += 1  # an accent stays with its letter
    space = plain.rfind(" ", first, end + 1)
    return first, end if space < (answer[1] if answer else first + 1) else space

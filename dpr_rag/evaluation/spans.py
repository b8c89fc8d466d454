"""Exact match and F1 of answers, as in SQuAD's evaluation script."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable


def plain_words(text: str) -> list[str]:
    """The words of an answer in lower case, without punctuation and articles (Rajpurkar et al. 2016)."""
    letters = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", letters).split()


def exact_match(answer: str, right: str) -> float:
    """1 if both answers have the same words in the same order, else 0."""
    return float(plain_words(answer) == plain_words(right))


def f1(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall of an answer's words."""
    given, expected = plain_words(answer), plain_words(right)
    if not given or not expected:
        return float(given == expected)
    common = sum((Counter(given) & Counter(expected)).values())
    return 2 * common / (len(given) + len(expected))


def best_of(answer: str, rights: Iterable[str], measure: Callable[[str, str], float]) -> float:
    """The highest value of a measure over several right answers; 0 if there is none."""
    return max((measure(answer, right) for right in rights), default=0.0)

"""How well the words of an answer agree with the right ones: exact match and F1, as SQuAD's own script has them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable


def plain_words(text: str) -> list[str]:
    """The words that count (Rajpurkar et al. 2016): in lower case, without punctuation and articles."""
    letters = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", letters).split()


def exact_match(answer: str, right: str) -> float:
    """1 where two answers are the same words, else 0."""
    return float(plain_words(answer) == plain_words(right))


def f1(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall of an answer's words."""
    one, other = plain_words(answer), plain_words(right)
    if not one or not other:
        return float(one == other)
    same = sum((Counter(one) & Counter(other)).values())
    return 2 * same / (len(one) + len(other))


def best_of(answer: str, rights: Iterable[str], measure: Callable[[str, str], float]) -> float:
    """The measure of an answer against the right one that is nearest; 0 where there is none."""
    return max((measure(answer, one) for one in rights), default=0.0)

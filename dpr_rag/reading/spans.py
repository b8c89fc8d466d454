"""The best answer span of an input, its probability, and its characters in the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.encoders.tokens import PlacedTokens
from dpr_rag.lexical.characters import letters_of

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a text's tokens.

    Attributes:
        first: Its first token, counted in the text.
        last: Its last token.
        score: Sum of the two tokens' scores as start and end; less that of ``[CLS]`` where this says that there is no answer.
        probability: That the answer stands there, where it stands in this input or, if the reader can say so, nowhere.
        none: That the input holds no answer; 0 where the reader cannot say so.
    """

    first: int
    last: int
    score: float
    probability: float
    none: float


def best_span(start: Scores, end: Scores, null: tuple[float, float] | None, *, first: int, longest: int) -> Span:
    """The likeliest span of an input.

    Start and end are independent softmaxes over the text's tokens and, where there is one, ``[CLS]``, as in training.

    Args:
        start: Each text token's score as the start, float32 [n], at least one.
        end: The same as the end.
        null: The scores of ``[CLS]``, or None where it does not say that there is no answer.
        first: Which of the text's tokens is the input's first.
        longest: Most tokens of a span.
    """
    count = len(start)
    gaps = np.arange(count)[None, :] - np.arange(count)[:, None]
    sums = np.where((gaps >= 0) & (gaps < longest), start[:, None] + end[None, :], -np.inf)
    best = int(sums.argmax())
    at, to = divmod(best, count)
    top = float(sums[at, to])
    totals = [_log_sum(np.append(logits, null[row]) if null else logits) for row, logits in enumerate((start, end))]
    nothing = sum(null) if null else -np.inf
    return Span(
        first + at,
        first + to,
        top - (nothing if null else 0.0),
        float(np.exp(top - sum(totals))),
        float(np.exp(nothing - sum(totals))),
    )


def _log_sum(scores: npt.NDArray[np.floating]) -> float:
    top = float(scores.max())
    return top + float(np.log(np.exp(scores.astype(np.float64) - top).sum()))


def characters_of(span: Span, tokens: PlacedTokens, text: str) -> tuple[int, int]:
    """Start and end of a span of tokens in the passage's own text, extended to whole words.

    Args:
        span: The tokens.
        tokens: The text as tokens.
        text: The passage's text; the tokenizer may have read it otherwise, with plain letters for ligatures.
    """
    first, last = span.first, span.last
    while first > 0 and _same_word(tokens, first - 1, first):
        first -= 1
    while last + 1 < len(tokens.ids) and _same_word(tokens, last, last + 1):
        last += 1
    start, end = tokens.places[first][0], tokens.places[last][1]
    if tokens.read == text:
        return start, end
    return _place_in_text(start, end, tokens.read, text)


def _same_word(tokens: PlacedTokens, first: int, second: int) -> bool:
    return tokens.words[first] is not None and tokens.words[first] == tokens.words[second]


def _place_in_text(start: int, end: int, read: str, text: str) -> tuple[int, int]:
    """Map a range of ``read`` to the text, by the characters that both have.

    A character that only ``read`` has, such as the letters of a ligature, stands for what is between its neighbours.
    """
    known = _characters_in_both(read, text)
    begin, stop = known.get(start), known.get(end - 1)
    if begin is None:
        begin = 1 + max((to for at, to in known.items() if at < start), default=-1)
    if stop is None:
        return begin, min((to for at, to in known.items() if at >= end), default=len(text))
    return begin, stop + 1


def _characters_in_both(read: str, text: str) -> dict[int, int]:
    """Places in ``read`` of characters that were left as they are, each with its place in the text, in one pass.

    What else :class:`~dpr_rag.encoders.plain_letters.PlainLetters` does to a text: a character becomes plain letters or
    nothing, a space is set before a raised digit, and spaces are dropped.
    """
    known: dict[int, int] = {}
    at = 0
    for place, char in enumerate(text):
        plain = letters_of(char)
        if not read.startswith((char, plain, plain.lstrip(" ")), at) and read.startswith(" ", at):
            at += 1
        if read.startswith(char, at):
            known[at] = place
            at += 1
        else:
            for letter in plain:
                at += read.startswith(letter, at)
    return known

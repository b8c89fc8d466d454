"""Highlights words of a passage, as HTML that is safe to embed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise

from dpr_rag.lexical import Analyzer
from dpr_rag.lexical.unspaced import UNIT, pieces

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_BREAK = "<br>"
_MARKUP = re.compile(r"[!-/:-@\[-`{-~]")


def marked(text: str, by: str, analyzer: Analyzer) -> str:
    """A text as HTML on one line, with the words in ``<mark>`` that stand in another text, in whatever inflection.

    Args:
        text: What to show.
        by: Whose words are marked, such as an answer.
        analyzer: Which words are the same: that of the store's language.
    """
    wanted = frozenset(analyzer.sequence(by))
    made, shown = [], 0
    for start, end in _joined(_spans(text, wanted, analyzer)):
        made += [plain_html(text[shown:start]), "<mark>", plain_html(text[start:end]), "</mark>"]
        shown = end
    return "".join([*made, plain_html(text[shown:])])


def plain_markdown(text: str) -> str:
    """A text as Markdown that shows it as it stands."""
    return _MARKUP.sub(r"\\\g<0>", text)


def _spans(text: str, wanted: frozenset[int], analyzer: Analyzer) -> Iterator[tuple[int, int]]:
    for match in _WORD.finditer(text):
        runs = [run for run, _ in pieces(match[0]) if run]
        if runs:
            yield from _pairs(match[0], match.start(), wanted, analyzer)
        elif wanted.intersection(analyzer.sequence(match[0])):
            yield match.span()


def _pairs(word: str, at: int, wanted: frozenset[int], analyzer: Analyzer) -> Iterator[tuple[int, int]]:
    """Pairs of characters, where no spaces part words."""
    units = list(UNIT.finditer(word))
    for first, second in pairwise(units):
        if wanted.intersection(analyzer.sequence(word[first.start() : second.end()])):
            yield at + first.start(), at + second.end()


def _joined(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def plain_html(text: str) -> str:
    """A text as HTML on one line, in which nothing is markup."""
    return escape(text).replace("\r\n", "\n").replace("\n", _BREAK).replace("\r", _BREAK)

"""Splits a passage into sentences that can answer, each with its heading and the context it depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from dpr_rag.conversation import points_back
from dpr_rag.lexical.sentences import sentences

_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]+(.*?)[ \t#]*|[ \t]*(?:\*\*|__)(.+?)(?:\*\*|__)[ \t]*")
_UNDERLINE = re.compile(r"[ \t]*(?:={3,}|-{3,})[ \t]*")
_ENDED = re.compile(r"""[.!?…:;,。！？：；，][\s"'”’»)\]*_]*$""")
_NUMBERED = re.compile(r"(?:\d{1,2}\.)*\d{0,2}[.)]?\s*|[IVX]{1,5}\.\s+")
_LISTED = re.compile(r"\s*(?:[-*+•–|>]|\d{1,3}\)\s)")
_ASKS = re.compile(r"""[?？]["'”’»)\]*_]*$""")
_CELL = re.compile(r"[^\s:][^:\n]{0,40}: ?\S.*")
# "Holiday policy 2023" is a heading, "Founded in 1998" is an answer, and so is any other number
_YEAR = re.compile(r"\b(?:19|20)\d\d(?:\s?[-–/]\s?(?:19|20)?\d\d)?\b")
_SINCE = re.compile(
    r"\b(?:in|since|until|till|by|from|to|before|after|of|seit|bis|ab|von|depuis|en|desde|dal|nel|sinds)\s*$", re.I
)
_WORDS, _ROW, _LONGEST = 10, 80, 300
_ABOVE = 3
"""How many headings may stand right above one another."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage.

    Attributes:
        text: Its words on one line.
        heading: The heading that it stands under, or the question that it follows, or else the passage's title.
        before: The sentence before it where it begins by pointing back at that, or an empty string.
        after: The sentence after it under the same heading, or an empty string.
        is_row: Whether it is all cells of a row.
    """

    text: str
    heading: str
    before: str = ""
    after: str = ""
    is_row: bool = False


def parted(text: str, title: str = "") -> list[Sentence]:
    """The sentences of a text without its headings, its questions and what holds no letter or digit.

    A text of nothing else is one sentence, and so is a row of a table, whose cells answer together.
    """
    if row := _row(text):
        return [Sentence(row, title, is_row=True)]
    sentences = [sentence for heading, part in _sections(text, title) for sentence in _of_section(heading, part)]
    return sentences or [Sentence(" ".join(text.split()), title)]


def _row(text: str) -> str:
    lines = text.strip().split("\n")
    is_row = len(lines) > 1 and all(_CELL.fullmatch(line) and not _ASKS.search(line) for line in lines)
    return "; ".join(lines) if is_row and len(text.split()) <= _ROW else ""


def is_row(line: str) -> bool:
    """Whether a line is a row of a table: its cells have tabs between, or stand behind their columns' names."""
    line = line.strip()
    cells = line.split("; ")
    return "\t" in line or (len(cells) > 1 and all(_CELL.fullmatch(cell) for cell in cells))


def _of_section(heading: str, part: str) -> Iterator[Sentence]:
    for are_rows, lines in groupby(part.split("\n"), is_row):
        if are_rows:
            yield from (Sentence(" ".join(line.split()), heading, is_row=True) for line in lines)
        else:
            yield from _of_text(heading, "\n".join(lines))


def _of_text(heading: str, part: str) -> Iterator[Sentence]:
    cut = (" ".join(sentence.split()) for sentence in sentences(part))
    told = [sentence for sentence in cut if any(map(str.isalnum, sentence))]
    for at, sentence in enumerate(told):
        if _ASKS.search(sentence) and at + 1 < len(told):
            heading = sentence
            continue
        before = told[at - 1] if at and points_back(sentence) else ""
        after = told[at + 1] if at + 1 < len(told) and not _ASKS.search(told[at + 1]) else ""
        yield Sentence(sentence, heading, before, after)


def _sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    """Parts of a text with their headings, which stand at its beginning or behind a blank line, as no comment of a program's."""
    heading, kept, lines = title, list[str](), text.split("\n")
    is_below = False  # a heading, and nothing else yet
    for at, line in enumerate(lines):
        before = lines[at - 1].strip() if at and not is_below else ""
        match = _HEADING.fullmatch(line) if not before and len(line) <= _LONGEST else None
        named = (match[1] or match[2] or title) if match else line.strip() if _is_plain(lines, at, before) else None
        if named is not None:
            yield heading, "\n".join(kept)
            heading, kept, is_below = named, [], True
        elif not (_UNDERLINE.fullmatch(line) and not kept):
            kept.append(line)
            is_below = is_below and not line.strip()
    yield heading, "\n".join(kept)


def _is_plain(lines: list[str], at: int, before: str, above: int = 1) -> bool:
    """Whether a line is a heading without a sign of one: a few words that end no sentence, above a text that does."""
    line = lines[at].strip()
    bare = line[_NUMBERED.match(line).end() :]  # type: ignore[union-attr]
    if not bare[:1].isupper() or _has_number(bare) or len(bare.split()) > _WORDS or _ENDED.search(line):
        return False
    if (before and not _ENDED.search(before)) or is_row(line):
        return False
    rest = (
        number
        for number in range(at + 1, len(lines))
        if lines[number].strip() and not _UNDERLINE.fullmatch(lines[number])
    )
    below = next(rest, None)
    if below is None or _LISTED.match(line):
        return False
    after = lines[below].strip()
    runs = _ENDED.search(after) or len(after) > 2 * len(line) or is_row(after)
    runs = runs or (above < _ABOVE and _is_plain(lines, below, "", above + 1))
    return bool(runs) and not after[:1].islower()


def _has_number(line: str) -> bool:
    """Whether a line has a digit, but for years that name an edition."""
    rest = _YEAR.sub(lambda year: year[0] if _SINCE.search(line[: year.start()]) else "", line)
    return any(map(str.isdigit, rest))

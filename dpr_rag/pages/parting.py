"""A passage as sentences that can answer: each with what it stands under, what it leans on, and what follows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dpr_rag.conversation import points_back
from dpr_rag.lexical.sentences import sentences

_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]+(.*?)[ \t#]*|[ \t]*(?:\*\*|__)(.+?)(?:\*\*|__)[ \t]*")
_UNDERLINE = re.compile(r"[ \t]*(?:={3,}|-{3,})[ \t]*")
_ENDED = re.compile(r"""[.!?…:;,。！？：；，][\s"'”’»)\]*_]*$""")
_NUMBERED = re.compile(r"(?:\d{1,2}\.)*\d{0,2}[.)]?\s*|[IVX]{1,5}\.\s+")
_LISTED = re.compile(r"\s*(?:[-*+•–|>]|\d{1,3}\)\s)")
_ASKS = re.compile(r"""[?？]["'”’»)\]*_]*$""")
_CELL = re.compile(r"[^\s:][^:\n]{0,40}: ?\S.*")
_WORDS, _ROW, _LONGEST = 8, 80, 300


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
    found = [one for heading, part in _sections(text, title) for one in _of_section(heading, part)]
    return found or [Sentence(" ".join(text.split()), title)]


def _row(text: str) -> str:
    lines = text.strip().split("\n")
    is_row = len(lines) > 1 and all(_CELL.fullmatch(line) and not _ASKS.search(line) for line in lines)
    return "; ".join(lines) if is_row and len(text.split()) <= _ROW else ""


def _of_section(heading: str, part: str) -> Iterator[Sentence]:
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
    for at, line in enumerate(lines):
        before = lines[at - 1].strip() if at else ""
        found = _HEADING.fullmatch(line) if not before and len(line) <= _LONGEST else None
        named = (found[1] or found[2] or title) if found else line.strip() if _is_plain(lines, at, before) else None
        if named is not None:
            yield heading, "\n".join(kept)
            heading, kept = named, []
        elif not (_UNDERLINE.fullmatch(line) and not kept):
            kept.append(line)
    yield heading, "\n".join(kept)


def _is_plain(lines: list[str], at: int, before: str) -> bool:
    """Whether a line is a heading without a sign of one: a few words that end no sentence, above a text that does."""
    line = lines[at].strip()
    bare = line[_NUMBERED.match(line).end() :]  # type: ignore[union-attr]
    if not bare[:1].isupper() or any(map(str.isdigit, bare)) or len(bare.split()) > _WORDS or _ENDED.search(line):
        return False
    if before and not _ENDED.search(before):
        return False
    rest = (one.strip() for one in lines[at + 1 :])
    after = next((one for one in rest if one and not _UNDERLINE.fullmatch(one)), "")
    runs = _ENDED.search(after) is not None or len(after) > 2 * len(line) > 0
    return runs and not after[:1].islower() and _LISTED.match(line) is None

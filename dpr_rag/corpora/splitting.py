"""Texts cut into blocks of words, each as it stands in the text: with its own line breaks and indentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*")
_WORD = re.compile(r"\S+")
_END = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")
_ABBREVIATION = re.compile(
    r"(?:[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]|mrs?|ms|dr|prof|st|jr|sr|vs|etc|approx|no|vol|fig|ca|cf|inc|ltd|co|gen|col|sen|rev)\.",
    re.IGNORECASE,
)


class _Word(NamedTuple):
    """A word, and the white space before it; that of a line's first word begins with a line break."""

    space: str
    text: str


def split_lines(lines: Iterable[str], words: int, *, sentences: bool = False) -> Iterator[str]:
    """Cut a text into blocks of words.

    Args:
        lines: Its lines, without their ends.
        words: Largest number of words of a block.
        sentences: Whether a block ends where a sentence does, unless the sentence alone is longer.

    Yields:
        The blocks, without white space around them but for the indentation of a first line that is whole.
    """
    spaced = _spaced(lines)
    units = _sentences(spaced) if sentences else ([word] for _, found in spaced for word in found)
    return map(_as_it_stands, _blocks(units, words))


def _spaced(lines: Iterable[str]) -> Iterator[tuple[str, list[_Word]]]:
    """Each line with its words."""
    space = "\n"
    for line in lines:
        found, end = [], 0
        for match in _WORD.finditer(line):
            found.append(_Word(space + line[end : match.start()], match[0]))
            space, end = "", match.end()
        space += line[end:] + "\n"
        yield line, found


def _sentences(lines: Iterable[tuple[str, list[_Word]]]) -> Iterator[list[_Word]]:
    """Lists of words that belong together: a blank line or a heading ends a sentence too."""
    sentence: list[_Word] = []
    for line, words in lines:
        alone = not words or HEADING.fullmatch(line) is not None
        if alone and sentence:
            yield sentence
            sentence = []
        for word in words:
            sentence.append(word)
            if _END.search(word.text) and not _ABBREVIATION.fullmatch(word.text):
                yield sentence
                sentence = []
        if alone and sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _blocks(units: Iterable[list[_Word]], size: int) -> Iterator[list[_Word]]:
    block: list[_Word] = []
    for unit in units:
        if block and len(block) + len(unit) > size:
            yield block
            block = []
        block.extend(unit)
        while len(block) > size:
            yield block[:size]
            block = block[size:]
    if block:
        yield block


def _as_it_stands(block: list[_Word]) -> str:
    _, starts_line, indentation = block[0].space.rpartition("\n")
    rest = "".join(word.space + word.text for word in block[1:])
    return f"{indentation if starts_line else ''}{block[0].text}{rest}"

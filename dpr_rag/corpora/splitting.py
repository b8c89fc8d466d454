"""Splits texts into blocks of words, with their line breaks and indentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple
from unicodedata import category

from dpr_rag.lexical.sentences import ends_sentence
from dpr_rag.lexical.unspaced import CHARACTER, holds_units

HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*")
_WORD = re.compile(r"\S+")
_OPENING = r"(\[{“‘«「『【（〈《〔〖［｛｢"
# A character with its marks, or else a word, each with the brackets and stops that no line may part from it.
_PIECE = re.compile(
    rf"[{_OPENING}]*(?:{CHARACTER.pattern}|(?:(?!{CHARACTER.pattern})[^\s{_OPENING}])+)[^\w\s{_OPENING}]*|\S"
)
# A word counts as three of these, a character in a script without spaces as two: 100 words of English are some 130 tokens,
# and models take one or less for such a character.
_OF_WORD, _OF_CHARACTER = 3, 2
_LONGEST_HEADING = 30


class _Word(NamedTuple):
    """A word, or a character that counts as part of one, and the white space before it.

    That of a line's first word begins with a line break; there is none between characters of one run. Words of a heading say so.
    """

    space: str
    text: str
    size: int = _OF_WORD
    is_heading: bool = False


def split_lines(lines: Iterable[str], words: int, *, sentences: bool = False) -> Iterator[str]:
    """Cut a text into blocks of words.

    Three characters of a script without spaces, such as Chinese, Japanese or Thai, count as two words; such text is cut
    behind punctuation or a space where there is one, and elsewhere between characters.

    Args:
        lines: Its lines, without their ends.
        words: Largest number of words of a block.
        sentences: Whether a block ends where a sentence does, unless the sentence alone is longer.

    A heading stands with the text behind it, and a row of a table is as one sentence.

    A rest of less than a third of a block would say little, and few words are near to many questions: it shares the text with
    the block before it, half and half.

    Yields:
        The blocks, without white space around them but for the indentation of a first line that is whole.
    """
    spaced = _spaced(lines)
    units = _sentences(spaced) if sentences else _phrases(word for _, line_words in spaced for word in line_words)
    return map(_as_it_stands, _levelled(_blocks(units, words * _OF_WORD), words * _OF_WORD, sentences=sentences))


def _spaced(lines: Iterable[str]) -> Iterator[tuple[str, list[_Word]]]:
    """Each line with its words."""
    space = "\n"
    for line in lines:
        words, end = [], 0
        for match in _WORD.finditer(line):
            words += _pieces(space + line[end : match.start()], match[0])
            space, end = "", match.end()
        space += line[end:] + "\n"
        yield line, [word._replace(is_heading=True) for word in words] if is_heading(line) else words


class Heading(str):
    """A line that a reader knows as a heading by its markup, whatever it looks like."""

    __slots__ = ()


def apart(lines: list[str]) -> list[str]:
    """The lines to put before a heading: a blank one, if text stands above it."""
    return [""] if lines and lines[-1].strip() and not isinstance(lines[-1], Heading) else []


class Row(str):
    """A row of a table, which is cut only where it is too long for a block, and joined to no line as one sentence."""

    __slots__ = ()


def is_heading(line: str) -> bool:
    """Whether a line is a heading: of Markdown by its form, of other documents by what their readers say."""
    return isinstance(line, Heading) or HEADING.fullmatch(line) is not None


def _pieces(space: str, word: str) -> list[_Word]:
    """A word, or the single characters of a run in a script without spaces."""
    if word.isascii() or not holds_units(word):
        return [_Word(space, word)]
    pieces = [_Word("", piece, _size(piece)) for piece in _PIECE.findall(word)]
    return [pieces[0]._replace(space=space), *pieces[1:]]


def _size(piece: str) -> int:
    return _OF_CHARACTER if CHARACTER.search(piece) else _OF_WORD


def _phrases(words: Iterable[_Word]) -> Iterator[list[_Word]]:
    """Words, and runs of characters up to a space or punctuation, which are better not cut."""
    phrase: list[_Word] = []
    for word in words:
        if phrase and (word.space or category(phrase[-1].text[-1])[0] in "PS"):
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _sentences(lines: Iterable[tuple[str, list[_Word]]]) -> Iterator[list[_Word]]:
    """Sentences as lists of words. A blank line ends a sentence, too; a heading goes with the sentence that follows it."""
    sentence: list[_Word] = []
    for line, words in lines:
        heads, is_row = bool(words) and words[0].is_heading, isinstance(line, Row)
        if sentence and (heads or is_row or not words) and not _is_short_heading(sentence):
            yield sentence
            sentence = []
        for word in words:
            if sentence and not (heads or is_row or sentence[-1].is_heading) and _ends_sentence(sentence, word):
                yield sentence
                sentence = []
            sentence.append(word)
        if is_row and sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _is_short_heading(sentence: list[_Word]) -> bool:
    """Whether there are only headings so far, and few enough words of them to wait for what they head."""
    return sentence[-1].is_heading and len(sentence) <= _LONGEST_HEADING


def _ends_sentence(words: list[_Word], following: _Word) -> bool:
    return ends_sentence(words[-2].text if len(words) > 1 else "", words[-1].text, following.text)


def _blocks(units: Iterable[list[_Word]], most: int) -> Iterator[list[_Word]]:
    block: list[_Word] = []
    size = 0
    for unit in units:
        needed = sum(word.size for word in unit)
        # what is cut anyway may begin in the rest of a block that is nearly empty
        if block and size + needed > most and (needed <= most or 3 * size >= most):
            yield block
            block, size = [], 0
        for word in unit:
            if block and size + word.size > most:
                yield block
                block, size = [], 0
            block.append(word)
            size += word.size
    if block:
        yield block


def _levelled(blocks: Iterable[list[_Word]], most: int, *, sentences: bool) -> Iterator[list[_Word]]:
    """The blocks; where the last would be short, the last two are balanced."""
    before: list[_Word] = []
    last: list[_Word] = []
    for block in blocks:
        if before:
            yield before
        before, last = last, block
    if before and 3 * sum(word.size for word in last) < most:
        both = before + last
        if cut := _middle(both, most, sentences=sentences):
            before, last = both[:cut], both[cut:]
    yield from (block for block in (before, last) if block)


def _middle(words: list[_Word], most: int, *, sentences: bool) -> int:
    """Where to cut words in two: near the middle, preferably or only at the end of a sentence; 0 if a half would not fit."""
    total, run, best, nearest = sum(word.size for word in words), 0, 0, float("inf")
    for at, (word, following) in enumerate(pairwise(words), 1):
        run += word.size
        ends = _ends_sentence(words[max(0, at - 2) : at], following) or "\n" in following.space.strip(
            " \t"
        ).removeprefix("\n")
        if word.is_heading and not following.is_heading:
            continue
        if max(run, total - run) > most or not (ends or (following.space and not sentences)):
            continue
        distance = abs(run - total / 2) - ends * most / 6
        if distance < nearest:
            best, nearest = at, distance
    return best


def _as_it_stands(block: list[_Word]) -> str:
    _, starts_line, indentation = block[0].space.rpartition("\n")
    rest = "".join(word.space + word.text for word in block[1:])
    return f"{indentation if starts_line else ''}{block[0].text}{rest}"

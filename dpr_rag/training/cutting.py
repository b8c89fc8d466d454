"""Splits texts into words, or characters in scripts without spaces, for random crops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category

from dpr_rag.lexical.characters import plain
from dpr_rag.lexical.unspaced import keys, written

_WORD = re.compile(r"\w+")


class _Apart(dict[int, str]):
    """Spaces for punctuation and signs, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = " " if category(chr(code))[0] in "PS" and chr(code) != "_" else chr(code)
        return self[code]


_APART = _Apart()


def words_of(text: str) -> list[str]:
    """The words of a text in order, each with one space before it where white space stood there.

    In Chinese, Japanese, Thai and their like each character with its marks is one, and the stop behind it is part of it.
    """
    if text.isascii():
        return [f" {word}" for word in text.split()]
    words: list[str] = []
    for piece in written(f" {text}"):
        if words and not any(char.isspace() or char.isalnum() for char in piece):
            words[-1] += piece
        else:
            words.append(f" {piece.lstrip()}" if piece[0].isspace() else piece)
    return words


def joined_words(words: Iterable[str]) -> str:
    """The inverse of :func:`words_of`: words, or some of them, as one text."""
    return "".join(words).strip()


def keywords_of(text: str) -> list[str]:
    """Words in lower case without punctuation, as they are typed into a search box; pairs of characters where no spaces are."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return keys(plain(text.lower().translate(_APART)))

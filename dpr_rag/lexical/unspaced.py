"""Tokens for scripts without spaces between words, and for Hangul: pairs of adjacent characters."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Han with its iteration marks and numbers, Kana, Bopomofo, Yi, Hangul; Tangut, Nushu, Khitan and the rarer Han.
_EAST = (
    r"\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
    r"\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff"
    r"\U00016fe0-\U00018d8f\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
_HANGUL = r"\u1100-\u11ff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"
# Thai and Lao, Myanmar, Khmer, the scripts of the Tai, Balinese, Javanese. Tibetan writes a mark behind each syllable.
_BLOCKS = (
    *((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x1950, 0x19E0), (0x1A20, 0x1AB0), (0x1B00, 0x1B80)),
    *((0xA980, 0xAAE0),),
)


def _letters_and_marks() -> tuple[str, str]:
    """Those of the scripts of South-East Asia; digits are none, they make numbers."""
    chars = [chr(code) for first, end in _BLOCKS for code in range(first, end)]
    kinds = [(char, unicodedata.category(char)[0]) for char in chars]
    return tuple("".join(char for char, kind in kinds if kind == wanted) for wanted in "LM")  # type: ignore[return-value]


_LETTERS, _MARKS = _letters_and_marks()
_ACCENTS = r"\u0300-\u036f\u302a-\u302f\u3099\u309a"
_OF_RUN = f"{_EAST}{_HANGUL}{_LETTERS}{_MARKS}"
_STACKS = r"[\u17d2\u1039\u1a60\u1b44\ua9c0]"  # behind it, a consonant stands below the one before
_UNITS = (
    r"[\u1100-\u115f\ua960-\ua97c][\u1160-\u11a7\ud7b0-\ud7c6]*[\u11a8-\u11ff\ud7cb-\ud7fb]*",  # a syllable in pieces
    # a vowel that is written before its consonant, the consonant, and what follows as part of its syllable
    rf"[\u0e40-\u0e44\u0ec0-\u0ec4]?[{_LETTERS}](?:{_STACKS}[{_LETTERS}]|[{_MARKS}\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3])*",
    rf"[{_OF_RUN}]",
)
UNIT = re.compile(rf"(?:{'|'.join(_UNITS)})[{_ACCENTS}]*")
"""A character with its marks; in Thai and its like one with the vowels around it."""
CHARACTER = re.compile(rf"(?![{_HANGUL}]){UNIT.pattern}")
"""The same but for Hangul, whose words have spaces between them."""
_HIGH = re.compile("[\u0e00-\U0003ffff]")
_RUN = re.compile(f"[{_OF_RUN}]")
_PIECES = re.compile(rf"([{_OF_RUN}][{_OF_RUN}{_ACCENTS}]*)|([^\s{_OF_RUN}]+)")


_WRITTEN = re.compile(rf"\s*(?:{CHARACTER.pattern}|(?:(?!{CHARACTER.pattern})\S)+)")
_KEYS = re.compile(rf"((?:{CHARACTER.pattern})+)|((?:(?!{CHARACTER.pattern})\S)+)")


def written(text: str) -> list[str]:
    """Tokens of a text with the space before each: words, or characters in scripts without spaces."""
    return _WRITTEN.findall(text)


def keys(text: str) -> list[str]:
    """Tokens to compare texts by: words, and pairs of adjacent characters in scripts without spaces."""
    return [token for run, word in _KEYS.findall(text) for token in (pairs_of(run) if run else [word])]


def holds_units(text: str) -> bool:
    """Whether a text holds characters of scripts without spaces, or Hangul."""
    return _HIGH.search(text) is not None and _RUN.search(text) is not None


def pieces(text: str) -> list[tuple[str, str]]:
    """Splits a text into words, and runs of characters in scripts without spaces; each item is (run, "") or ("", word)."""
    return _PIECES.findall(text)


def pairs_of(run: str) -> list[str]:
    """Overlapping pairs of adjacent characters in a run, or its only one; as Lucene's ``CJKBigramFilter`` makes of a run."""
    units = UNIT.findall(run)
    return [first + second for first, second in pairwise(units)] or units


def singles_of(text: str) -> list[str]:
    """The units that stand beside others, each as often as it does: those for which :func:`pairs_of` has pairs alone."""
    runs = (UNIT.findall(run) for run, _ in pieces(text) if run)
    return [unit for units in runs if len(units) > 1 for unit in units]

"""Character normalisation for BM25: one form per character; characters that only control typesetting are removed."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase, digits

_APOSTROPHES = "'’＇"
# Selectors of a glyph's variant, and fillers; to Unicode's NFKC_Casefold they are nothing.
_IGNORED = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# Format characters that are seen, such as the end of a verse, or that part a word from its annotation.
_SEEN = re.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd]")
RAISED_DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉"
_RAISED_DIGITS = re.compile(rf"[{RAISED_DIGITS}](?<=\d[{RAISED_DIGITS}])")
# Scripts without spaces between words: Thai to Tibetan, Myanmar, Khmer, Tai, and those of East Asia.
_UNSPACED = (
    r"[\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf\u2e80-\ua4cf\uf900-\ufaff]"
)
# ASCII with one letter for all small letters, for all capitals and for all digits.
_SHAPES = bytes.maketrans((ascii_lowercase + ascii_uppercase + digits).encode(), b"a" * 26 + b"A" * 26 + b"0" * 10)
_DIGITS = re.compile(r"\d+")
_ACROSS_DIGITS = re.compile(b"a0+A|A0+a")
# ASCII with spaces for what is of no word, as it stands and in lower case.
_SPACED = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)).ljust(256)
_LOWERED = _SPACED.lower()
# The vowel am of Thai and Lao comes apart into a ring and a vowel, and a tone between or behind them looks the same.
_RING_AND_TONE = re.compile("([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb])")
# A soft hyphen that is seen: the word goes on in the next line.
_HYPHENATED = re.compile(r"\u00ad(?=\s*[\n\r\x0b\x0c\x85\u2028\u2029])\s+")
_BETWEEN_WORDS = re.compile(rf"\u200b(?={_UNSPACED})|(?<={_UNSPACED})\u200b")


class _Plain(dict[int, str]):
    """Table for ``str.translate``, filled lazily: plain form of a letter, or a space for what is in no word."""

    def __missing__(self, code: int) -> str:
        self[code] = _plain_of(chr(code))
        return self[code]


def _is_of_word(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


def _plain_of(char: str) -> str:
    if char in _APOSTROPHES:
        return "'"
    kind = unicodedata.category(char)
    if _IGNORED.match(char) or (kind == "Cf" and not _SEEN.match(char)):
        return ""
    form = unicodedata.decomposition(char).partition(">")[0]
    if not form.startswith("<"):
        return char if _is_of_word(char) else " "
    return _of_compatible(char, kind, form)


def letters_of(char: str) -> str:
    """The plain letters that a compatibility character stands for, such as those of a ligature; else itself.

    Letters and digits are those of :func:`plain`, punctuation and spaces NFKC's own, and format characters nothing.
    """
    kind = unicodedata.category(char)
    if kind == "Cf":
        return char if _SEEN.match(char) else ""
    form = unicodedata.decomposition(char).partition(">")[0]
    if not form.startswith("<"):
        return char
    plain_form = unicodedata.normalize("NFKC", char)
    return _of_compatible(char, kind, form) if any(map(str.isalnum, plain_form)) else plain_form


def _of_compatible(char: str, kind: str, form: str) -> str:
    """The letters and digits that a character stands for; those of ``½``, ``①`` and ``㎏`` are words of their own."""
    letters = "".join(
        plain_char if _is_of_word(plain_char) else " " for plain_char in unicodedata.normalize("NFKC", char)
    ).strip()
    if not letters:  # punctuation in another shape: it parts words as what it stands for does
        return " "
    if form == "<super" and kind[0] == "S":  # the ™ behind a name is no part of it and no word
        return " "
    if kind[0] in "PS" and unicodedata.category(letters[:1] or " ")[0] == "M":  # ´ is a space with an accent
        return " "
    radical = "\u2e80" <= char <= "\u2fdf"  # a symbol that texts from PDF have in place of its letter
    joins = radical or kind[0] in "LMP" or kind in ("Nd", "Nl") or form in ("<super", "<sub")
    return letters if joins and " " not in letters else f" {letters} "


_PLAIN = _Plain()


def plain(text: str) -> str:
    """A text in plain letters, with spaces and apostrophes between its words.

    Ligatures, full-width letters, presentation forms and mathematical letters are those that they stand for (Unicode's
    NFKC), except that numbers stay apart: ``3½`` is 3 and 1 and 2, and ``10²`` 10 and 2. Format characters (soft hyphens,
    joiners, byte order marks) are dropped. A zero-width space separates words next to a script that is written
    without spaces, such as Thai or Khmer; elsewhere it is a place where a long word may break, as a soft hyphen is. A word
    that is broken at a soft hyphen is put together again. Punctuation in another shape, such as a non-breaking hyphen, an
    ellipsis or a full-width comma, parts words as ASCII's does.
    """
    text = unicodedata.normalize("NFC", text)
    if "\u00ad" in text:
        text = _HYPHENATED.sub("", text)
    if "\u200b" in text:
        text = _BETWEEN_WORDS.sub(" ", text)
    text = unicodedata.normalize("NFC", _RAISED_DIGITS.sub(r" \g<0>", text).translate(_PLAIN))
    return _RING_AND_TONE.sub(r"\2\1", text) if "\u0e4d" in text or "\u0ecd" in text else text


def may_hold_identifiers(text: str) -> bool:
    """Whether an ASCII text may hold identifiers; much faster than a look at each word."""
    shape = text.encode().translate(_SHAPES)
    if b"_" in shape or b"aA" in shape:
        return True
    if (b"AA" in shape and b"AAa" in shape) or (b"0A" in shape and b"0Aa" in shape):
        return True
    behind_digits = (b"0A" in shape and b"a0" in shape) or (b"0a" in shape and b"A0" in shape)
    return behind_digits and _ACROSS_DIGITS.search(shape) is not None


def spaced(text: str) -> str:
    """An ASCII text with spaces for characters that are in no word."""
    return text.encode().translate(_SPACED).decode()


def lowered_and_spaced(text: str) -> str:
    """Like :func:`spaced`, in lower case; much faster than a regular expression."""
    return text.encode().translate(_LOWERED).decode()


def parts_of(word: str) -> list[str]:
    """The parts of an identifier, ``get``, ``User`` and ``Name`` of ``getUserName``; none for other words.

    Single letters are left out, such as those of ``pH`` and ``iPhone``: they would be found everywhere. Where an identifier
    has digits, such as ``HTTP2Server``, ``userID42`` and ``SQLite3``, what stands between them is a part as well (``HTTP``,
    ``ID``, ``SQLite``). Words in one case, such as ``mp3``, ``COVID19`` and ``MP3s``, stay whole.
    """
    if "_" not in word and (_is_of_one_case(word) or (word[-1:] == "s" and _is_of_one_case(word[:-1]))):
        return []
    pieces = word.split("_")
    parts = [part for piece in pieces for part in _humps(piece) if len(part) > 1 and part != word]
    known = {word, *parts}
    between = (part for piece in pieces for run in _runs(piece) for part in (run, *_humps(run)))
    return parts + [part for part in dict.fromkeys(between) if len(part) > 1 and part not in known]


def _is_of_one_case(word: str) -> bool:
    return word[1:].islower() or word.islower() or word.isupper()


def _runs(piece: str) -> list[str]:
    """What stands between the digits of a piece that has some."""
    runs = _DIGITS.split(piece)
    return runs if len(runs) > 1 else []


def _humps(piece: str) -> list[str]:
    cuts = [0, *(at for at in range(1, len(piece)) if _begins(piece, at)), len(piece)]
    return [piece[start:end] for start, end in pairwise(cuts)]


def _begins(piece: str, at: int) -> bool:
    """Whether a capital begins a word: behind a small letter, or before one where it is not the plural's, as in ``URLs``."""
    if not piece[at].isupper():
        return False
    before, after = piece[at - 1], piece[at + 1 : at + 2]
    if before.islower():
        return True
    plural = after == "s" and not piece[at + 2 : at + 3].islower()
    return (before.isupper() or before.isdigit()) and after.islower() and not plural

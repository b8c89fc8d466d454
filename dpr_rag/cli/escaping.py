"""Escapes characters that control the terminal or reorder a line, or that its encoding lacks."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from typing import Any, TextIO

_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Soft hyphen, zero width non-joiner and joiner: parts of words in Persian and of the scripts of India, and of emoji.
_HARMLESS = {"\xad", "\u200c", "\u200d"}


def steers(char: str) -> bool:
    """Whether a character is a control, reorders text (bidirectional overrides), breaks a line, or is a lone surrogate."""
    return char not in _HARMLESS and unicodedata.category(char) in _STEERING


class _Escapes(dict[int, str]):
    """A table for ``str.translate`` that escapes control characters, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = _escape(char) if steers(char) else char
        return self[code]


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()


_LINES = _Escapes({ord("\n"): "\n"})
_ONE_LINE = _Escapes()


def visible(text: str) -> str:
    r"""Escape characters that control the terminal, except newlines: ``ESC`` becomes the four characters ``\x1b``."""
    return text.translate(_LINES)


def printable(text: str) -> str:
    """The same as :func:`visible` on one line, with single spaces for white space."""
    return " ".join(text.split()).translate(_ONE_LINE)


def json_line(value: Any, stream: TextIO) -> str:
    """A value as one line of JSON in the stream's encoding, with characters that control the terminal escaped."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not _can_hold(stream, text):
        text = json.dumps(value, default=str)
    return "".join(json.dumps(char)[1:-1] if steers(char) or char == "\x7f" else char for char in text)


def _can_hold(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def fitting(text: str, stream: TextIO) -> str:
    """Escape the characters of a text that a stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def let_streams_escape() -> None:
    """Let standard output and error escape characters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

"""Decodes text files that are not UTF-8: Windows-1252, and UTF-16 with a byte order mark."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

WINDOWS = "Windows-1252"
_MOST_BYTES = 256 << 20
_CHUNK = 1 << 20
_MOST_SPECIAL = 0.25
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]")
_LETTERS = re.compile(r"[^\W\d_]")


def in_utf8(file: Path, folder: Path) -> tuple[Path, str]:
    """A text that can be read as UTF-8, and the charset that it was read as where that is another one.

    Args:
        file: Of text, by its ending.
        folder: Takes a copy under the same name, where one is needed.

    Returns:
        The file itself, or its copy; and an empty string, or the charset's name.
    """
    if _is_utf8(file):
        return file, ""
    data = file.read_bytes()
    for name, decoded in (("UTF-16", _utf_16), (WINDOWS, _windows)):
        if (text := decoded(data)) is not None:
            copy = folder / file.name
            copy.write_text(text, encoding="utf-8", newline="")
            return copy, name
    return file, ""


def _is_utf8(file: Path) -> bool:
    """Whether it is UTF-8, or nothing that is worth a try."""
    if not file.is_file() or file.stat().st_size > _MOST_BYTES:
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except OSError:  # the reader says so
        return True
    return True


def _utf_16(data: bytes) -> str | None:
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _windows(data: bytes) -> str | None:
    """The text, where its bytes are all valid, none is a control character, and few letters are beyond ASCII.

    Cyrillic, Greek and Hebrew of one byte a letter are valid as well, but nearly all of their letters are beyond it.
    """
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    letters = special = 0
    for match in _LETTERS.finditer(text):
        letters, special = letters + 1, special + (not match[0].isascii())
    return None if _CONTROL.search(text) or special > _MOST_SPECIAL * max(1, letters) else text

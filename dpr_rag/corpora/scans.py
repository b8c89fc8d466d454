"""Recognises pages of a PDF file without text: scans, also with a text layer such as page numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dpr_rag.faces import ByFace

REMEDY = ByFace("recognise it first, for example with ocrmypdf", page="recognise its text first")
PAGES_OF = "page of "
"""What reasons begin with that count pages of one file."""
_MOST_LINES = 4
_DRAWN = 1000
_DEEP = 3
_INLINE = re.compile(rb"\bBI\b[^<>]{1,400}?\bID\b", re.DOTALL)
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"[\W\d_]{1,12}|\W*(?:page|pages|pg|p|seite|s|página|pagina|pág|pag|blatt|sida|side|strona|str|с|стр)\W{0,3}\d{1,5}"
    r"(?:\s*(?:of|von|de|di|van|av|af|z|из|/|\||-|–)\s*\d{1,5})?\W*",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"\W*(?:x[cl]|l?x{0,3})(?:i[xv]|v?i{0,3})\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a PDF page, and whether it shows pictures.

    Attributes:
        text: Its text; None where it could not be read.
        draws: Whether it shows more than text: a picture, or drawings.
    """

    text: str | None
    draws: bool = False

    @property
    def lines(self) -> list[str]:
        """Its lines that are not blank."""
        return [" ".join(line.split()) for line in (self.text or "").splitlines() if line.strip()]

    @property
    def is_short(self) -> bool:
        """Whether it may hold nothing but a header and a page number."""
        return self.text is not None and len(self.lines) <= _MOST_LINES


def bare_pages(pages: Sequence[PageText]) -> list[bool]:
    """Which pages have no text of their own: none at all, or nothing but page numbers and what stands on other pages, too.

    A line that all pages have, of two or more, counts as a header. Where there is a picture, so does one that half of them have
    but for its numbers.
    """
    exactly = Counter(line for page in pages for line in set(page.lines))
    alike = Counter(line for page in pages for line in {_DIGITS.sub("#", text) for text in page.lines})

    def is_own(line: str, page: PageText) -> bool:
        if _PAGE_NUMBER.fullmatch(line) or (page.draws and _ROMAN.fullmatch(line)):
            return False
        often = alike[_DIGITS.sub("#", line)]
        on_all = exactly[line] == len(pages)
        return len(pages) < 2 or not (on_all or (page.draws and often >= 2 and 2 * often >= len(pages)))

    return [page.is_short and not any(is_own(line, page) for line in page.lines) for page in pages]


def draws(page: Any) -> bool:
    """Whether a page of pypdf shows a picture, or drawings of some size, such as letters that were turned into curves.

    Raises:
        Exception: What pypdf raises over damaged files.
    """
    resources = page.get("/Resources")
    if resources is not None and _has_picture(resources.get_object(), _DEEP):
        return True
    contents = page.get_contents()
    data = b"" if contents is None else bytes(contents.get_data())
    return len(data) > _DRAWN or _INLINE.search(data) is not None


def _has_picture(resources: Any, deep: int) -> bool:
    """Whether resources hold a picture, or a form that does."""
    named = resources.get("/XObject")
    for reference in [] if named is None else named.get_object().values():
        resource = reference.get_object()
        if resource.get("/Subtype") == "/Image":
            return True
        inner = resource.get("/Resources")
        if deep and inner is not None and _has_picture(inner.get_object(), deep - 1):
            return True
    return False


def scans_of(name: str, count: int) -> dict[str, int]:
    """The reason under which scanned pages of a file are counted as left out, and their number."""
    return {f"{PAGES_OF}{name} without text, as scans have none (" + REMEDY + ")": count} if count else {}

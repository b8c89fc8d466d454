"""The text of PDF files, page by page, through pypdf."""

from __future__ import annotations

import re
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_rag.corpora.lines import OnBad, refuse_unopened, tell
from dpr_rag.corpora.scans import REMEDY, PageText, bare_pages, draws
from dpr_rag.corpora.titles import given_title
from dpr_rag.errors import CorpusError, MissingExtraError, UnreadableError, install
from dpr_rag.faces import ByFace

ENCRYPTED, NO_TEXT = "encrypted file", "file without text"
_SPACE = re.compile(r"\s+")


class Pages:
    """Maps texts of a file to page numbers, by counting characters other than white space, which splitting keeps.

    Attributes:
        ends: How many such characters come before the end of each page read so far.
        scans: How many pages show something and have no text, but perhaps a page number, which is left out.
    """

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.scans = 0
        self._done = 0

    def add(self, text: str) -> None:
        """Count the characters of a page."""
        self.ends.append((self.ends[-1] if self.ends else 0) + _size(text))

    def of_next(self, text: str) -> tuple[int, int]:
        """First and last page, from 1, of the next text; texts have to be given in order."""
        start = self._done
        self._done += _size(text)
        return bisect_right(self.ends, start) + 1, bisect_left(self.ends, self._done) + 1


def _size(text: str) -> int:
    return len(_SPACE.sub("", text))


class PdfFile:
    """One PDF file.

    Args:
        path: The file.
        on_bad: Takes the errors of pages that cannot be read; None raises the first.

    Attributes:
        title: Of its properties, where somebody gave it; or an empty string.
        pages: Where the text stands, as far as it has been read.

    Raises:
        MissingExtraError: pypdf is not installed.
        UnreadableError: It is damaged, or encrypted with a password.
    """

    def __init__(self, path: Path, on_bad: OnBad = None) -> None:
        self.pages = Pages()
        self._path, self._on_bad = path, on_bad
        pypdf = import_pypdf()
        self._damage = (pypdf.errors.PyPdfError, *_DAMAGE)
        try:
            self._reader = pypdf.PdfReader(path)
            locked = self._reader.is_encrypted and not self._reader.decrypt("")
            title = None if locked else (self._reader.metadata or {}).get("/Title")
            self._count = 0 if locked else len(self._reader.pages)
        except pypdf.errors.DependencyError as error:  # the cipher of a password that pypdf alone does not know
            raise self._encrypted() from error
        except self._damage as error:
            refuse_unopened(path, error)
            raise UnreadableError(f"{path}: is no PDF that can be read ({error!s:.200}); save it anew") from error
        if locked:
            raise self._encrypted()
        self.title = given_title(title) if isinstance(title, str) else ""

    def _encrypted(self) -> UnreadableError:
        return UnreadableError(f"{self._path}: is encrypted with a password; save it without one", ENCRYPTED)

    def lines(self) -> Iterator[str]:
        """The lines of all pages.

        Raises:
            UnreadableError: No page has text but page numbers and headers, as in a scan.
        """
        read = [self._page_text(page, number) for number, page in self._each()]
        bare = bare_pages(read)
        if all(bare):
            typed = any(page.lines for page in read)
            but = " but page numbers or headers" if typed else ""
            raise UnreadableError(
                f"{self._path}: has no text{but} on its {self._count:,} pages, as scans have none; " + REMEDY, NO_TEXT
            )
        self.pages.scans = sum(page.draws for page, is_bare in zip(read, bare, strict=True) if is_bare)
        for page, is_bare in zip(read, bare, strict=True):
            text = "" if is_bare else page.text or ""
            self.pages.add(text)
            yield from text.strip().split("\n")

    def _page_text(self, page: Any, number: int) -> PageText:
        layer = PageText(self._text_of(page, number))
        if page is None or not layer.is_short:
            return layer
        try:
            return PageText(layer.text, draws(page))
        except self._damage:  # the text is there, and the picture is not read
            return layer

    def _each(self) -> Iterator[tuple[int, Any]]:
        for at in range(self._count):
            try:
                page = self._reader.pages[at]
            except self._damage as error:
                tell(self._on_bad, self._bad(at + 1, error))
                yield at + 1, None
            else:
                yield at + 1, page

    def _text_of(self, page: Any, number: int) -> str | None:
        if page is None:
            return None
        try:
            return str(page.extract_text())
        except self._damage as error:
            tell(self._on_bad, self._bad(number, error))
            return None

    def _bad(self, number: int, error: Exception) -> CorpusError:
        return CorpusError(f"{self._path}: page {number} cannot be read ({error!s:.200}); save the file anew")


_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pypdf raises over damaged files beside its own errors."""


def import_pypdf() -> Any:
    """Return pypdf.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pypdf
        import pypdf.errors
    except ImportError as error:
        raise MissingExtraError(
            "PDF files need pypdf" + ByFace(f" ({error})", page="") + f"; {install('files')}"
        ) from error
    return pypdf

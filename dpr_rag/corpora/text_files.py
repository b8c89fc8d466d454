"""Text files by extension: their lines, title, and page breaks."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dpr_rag.corpora.docx import read_docx
from dpr_rag.corpora.gzipped import unpacked, unpacked_name
from dpr_rag.corpora.html import Page, charset_of_marks, decode_html
from dpr_rag.corpora.lines import OnBad, bad_line, decoded, read_lines, tell
from dpr_rag.corpora.magic import LENGTH, refuse_device, refuse_foreign
from dpr_rag.corpora.pdf import Pages, PdfFile
from dpr_rag.corpora.splitting import HEADING
from dpr_rag.errors import CorpusError, UnreadableError, install
from dpr_rag.faces import message_of

MOST_BYTES = 64 << 20
"""Bytes of a web page that are read; more is no page."""
NEEDS_PYPDF = f"PDF file ({install('files')})"
"""What files are counted by that only an extra reads."""
_PDF, _DOCX, _HTML = (".pdf",), (".docx",), (".html", ".htm", ".xhtml")


@dataclass(frozen=True, slots=True)
class Written:
    """An opened text file: its lines, title and pages.

    Attributes:
        title: Its own title, possibly empty.
        lines: Its lines, without their ends.
        pages: Where its pages end, as far as the lines have been read; None where it has none.
    """

    title: str
    lines: Iterator[str]
    pages: Pages | None = None

    def place_of_next(self, text: str) -> dict[str, int]:
        """Metadata with the pages of the next text; texts have to be given in order."""
        if self.pages is None:
            return {}
        first, last = self.pages.of_next(text)
        return {"page": first} if first == last else {"page": first, "last_page": last}


def is_beyond(file: Path) -> bool:
    """Whether reading a file needs an extra that is not installed."""
    return file.suffix.lower() in _PDF and find_spec("pypdf") is None


def read_written(file: Path, on_bad: OnBad) -> Written:
    """Open a file by its extension: web page, PDF, Word document, or else plain text.

    Args:
        file: The file.
        on_bad: Takes the errors of lines and pages that cannot be read; None raises the first.

    Raises:
        UnreadableError: It cannot be read.
        MissingExtraError: It is a PDF file, and pypdf is not installed.
    """
    refuse_device(file)
    ending = unpacked_name(file).suffix.lower()
    if ending in (*_PDF, *_DOCX) and ending != file.suffix.lower():
        raise UnreadableError(f"{file}: documents are not read packed; unpack it with gunzip, and give that file")
    if ending in _PDF:
        pdf = PdfFile(file, on_bad)
        return Written(pdf.title, pdf.lines(), pdf.pages)
    if ending in _DOCX:
        title, lines = read_docx(file)
        return Written(title, iter(lines))
    if ending in _HTML:
        page = Page(decode_html(_bytes(file)))
        return Written(page.title, iter(page.lines))
    return Written(_heading(file), _lines(file, on_bad))


def check_text(file: Path) -> None:
    """Refuse a plain text file that is damaged or not UTF-8; it is read to the end for that.

    Raises:
        UnreadableError: Naming the line.
    """
    if file.suffix.lower() in (*_PDF, *_DOCX, *_HTML):
        return
    try:
        for _ in _lines(file, None):
            pass
    except UnreadableError:
        raise
    except CorpusError as error:
        raise UnreadableError(message_of(error)) from error


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as raw, unpacked(file, raw) as opened:
            data = opened.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableError(
            f"{file}: the gzip data are damaged or end early ({error}); fetch the file again"
        ) from error
    except OSError as error:
        raise UnreadableError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"{file}: is larger than {MOST_BYTES >> 20} MiB, which no web page is; split it")
    if not charset_of_marks(data):  # browsers read UTF-16
        refuse_foreign(file, data[:LENGTH])
    return data


def _lines(path: Path, on_bad: OnBad) -> Iterator[str]:
    for number, line in read_lines(path):
        try:
            text = decoded(line)
        except CorpusError as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            yield text


def _heading(path: Path) -> str:
    """Return the first heading outside code fences of a markdown file, or nothing."""
    if unpacked_name(path).suffix.lower() != ".md":
        return ""
    fenced = False
    for _, line in read_lines(path):
        text = line.decode("utf-8", "replace")
        if text.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        match = None if fenced else HEADING.fullmatch(text)
        if match and match[1]:
            return str(match[1])
    return ""

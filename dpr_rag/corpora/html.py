"""The text of HTML pages, by the standard library's parser: what a reader sees, without scripts, styles and navigation."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from dpr_rag.corpora.grids import Grid
from dpr_rag.corpora.magic import unmarked_utf_16
from dpr_rag.corpora.splitting import Heading, apart
from dpr_rag.corpora.titles import given_title

_UNSEEN = {"script", "style", "nav", "template", "noscript", "svg", "iframe", "object", "canvas", "select", "head"}
_LINES = set(
    "address article aside blockquote body br caption dd details dialog div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 "
    "h4 h5 h6 header hr html legend li main ol p pre section summary table "
    "tbody tfoot thead tr ul".split()
)
_CELLS = {"td", "th"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_VOID = {"br", "hr"}
# What ends a navigation, or a head, that nobody closed.
_CONTENT = {"body", "main", "article"}
_DECLARED = re.compile(
    rb"""<(?:meta\b[^>]*?\bcharset|\?xml\b[^>]*?\bencoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE
)
_HEAD = 4096
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Names of the WHATWG standard that Python knows by the same name; other codecs of Python unpack or interpret.
_KNOWN = re.compile(
    r"utf-?8|windows-125[0-8]|iso-?8859-(?:[2-9]|1[03-6])|koi8-[ru]|gb(?:k|2312|18030)|big5(?:-hkscs)?|shift[_-]jis|euc-(?:jp|kr)|"
    r"iso-2022-jp|ibm866|windows-874|tis-620"
)
_FALLBACK = "cp1252"
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)", re.DOTALL)
# A tag, or a comment of another form, that the end of a page cuts off; versions of Python differ in what they make of it.
_CUT_OFF = re.compile(r"<(?:[a-zA-Z!?]|/[^>]).*", re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r\f]+")


def decode_html(data: bytes) -> str:
    """Decode a page as browsers do: by its byte order mark, by the charset that it names, as UTF-8, or as Windows-1252.

    Bytes that the charset does not have become U+FFFD.
    """
    if marked := charset_of_marks(data):
        return data.decode(marked, "replace")
    declared = _DECLARED.search(data[:_HEAD])
    name = declared[1].decode("ascii", "replace").lower() if declared else ""
    if _KNOWN.fullmatch(name):
        return data.decode(name, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_FALLBACK, "replace")


def charset_of_marks(data: bytes) -> str:
    """The codec that a byte order mark names, or that the zeros of UTF-16 without one show; an empty string otherwise."""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    return marked or unmarked_utf_16(data)


class Page(HTMLParser):
    """The text of a page.

    Args:
        html: The page.

    Attributes:
        title: Of its head, or its first ``h1``, or an empty string.
        lines: A line for each block, and for each row of a table, whose cells have their columns' names, or tabs between.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.lines: list[str] = []
        self._heading = ""
        self._line: list[str] = []
        self._unseen: list[str] = []
        self._in_title = self._in_heading = self._heads = False
        self._pre = 0
        self._grids: list[Grid] = []
        last = html.rfind(">") + 1
        self.feed(html[:last] + _CUT_OFF.sub("", html[last:], count=1))
        self.close()
        self._end_line()
        while self._grids:
            self._end_table()
        self.title = given_title(self.title) or " ".join(self._heading.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line, or a part that is not seen."""
        if tag in _CONTENT:
            self._unseen = [name for name in self._unseen if name not in {"head", "nav"}]
        if tag in _UNSEEN:
            self._unseen.append(tag)
        self._in_title = self._in_title or (tag == "title" and "svg" not in self._unseen and not self.title)
        self._in_heading = self._in_heading or (tag == "h1" and not self._heading)
        self._pre += tag == "pre"
        self._between(tag)
        if tag == "table":
            self._grids.append(Grid())
        elif self._grids and tag == "tr":
            self._grids[-1].end_row()
            self._grids[-1].begin_row()
        elif self._grids and tag in _CELLS:
            self._begin_cell(heads=tag == "th")
        self._heads = self._heads or tag in _HEADINGS

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself, as XHTML has them, holds nothing."""
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        """End a line, or a part that is not seen."""
        if tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        self._in_title = self._in_title and tag != "title"
        self._in_heading = self._in_heading and tag != "h1"
        self._pre -= tag == "pre" and self._pre > 0
        if tag not in _VOID:
            self._between(tag)
        if self._grids and tag == "tr":
            self._grids[-1].end_row()
        elif self._grids and tag == "table":
            self._end_table()
        self._heads = self._heads and tag not in _HEADINGS

    def parse_comment(self, i: int, report: bool = True) -> int:
        """Pass over a comment as browsers do: one that nobody closed goes on to the end of the page."""
        closed = _COMMENT.match(self.rawdata, i)
        return closed.end() if closed else len(self.rawdata)

    def handle_data(self, data: str) -> None:
        """Take text that is seen."""
        if self._in_title:
            self.title += data
            return
        if self._unseen:
            return
        if self._in_heading:
            self._heading += data
        if not self._pre:
            self._line.append(_SPACE.sub(" ", data))
            return
        first, *others = data.split("\n")
        self._line.append(first)
        for line in others:
            self._end_line(as_it_stands=True)
            self._line.append(line)

    def _begin_cell(self, *, heads: bool) -> None:
        kept = self._grids[-1].begin_cell(heads=heads)
        self._line += [f"{cell}\t" for cell in kept]

    def _end_table(self) -> None:
        self._grids[-1].end_row()
        self.lines += self._grids.pop().lines()

    def _between(self, tag: str) -> None:
        if tag in _CELLS and self._grids and self._grids[-1].cells:
            self._end_line()
        elif tag in _CELLS:
            self._line.append("\t")
        elif tag in _LINES:
            self._end_line()

    def _end_line(self, *, as_it_stands: bool = False) -> None:
        text = "".join(self._line)
        self._line.clear()
        if self._grids and self._grids[-1].take(text):
            return
        line = text.rstrip() if self._pre or as_it_stands else "\t".join(_cells(text))
        if line or as_it_stands:
            self.lines += [*apart(self.lines), Heading(line)] if self._heads else [line]


def _cells(text: str) -> Iterator[str]:
    return (cell for cell in (_SPACE.sub(" ", part).strip() for part in text.split("\t")) if cell)

"""The text of Word documents (.docx), by the standard library's zip and XML readers, within bounds and without DTDs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import normpath
from typing import Any
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from dpr_rag.corpora.grids import lines_of, may_head
from dpr_rag.corpora.splitting import Heading, apart
from dpr_rag.corpora.titles import given_title
from dpr_rag.errors import UnreadableError

MOST_BYTES = 256 << 20
"""Unpacked bytes of one part of a document that are read; more is no document."""
_CHUNK = 1 << 16
_WORD = ("wordprocessingml/2006/main ", "ooxml/wordprocessingml/main ")
_MAIN, _CORE = "/officeDocument", "/core-properties"
_MARKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
# Text that stood there before it was moved, and what older programs show instead of a drawing: both come twice.
_TWICE = {"moveFrom", "Fallback"}
_TITLES = ("Title", "Heading1")
# ids of styles, which word processors make of their names, without letters beyond ASCII
_HEADING = re.compile(
    r"(?:heading|title|titel|[üu]?berschrift|titre|t.?tulo|titolo|kop|rubrik|overskrift|nag.?wek)\d?$", re.I
)
_FIRST_ROW = 0x20
_OLE = b"\xd0\xcf\x11\xe0"


class _Refused(Exception):
    """A part of the document declares or needs something that is not read."""


def read_docx(path: Path) -> tuple[str, list[str]]:
    """Read a document's title and its text: a line for each paragraph, and for each row of a table.

    The title is the paragraph in the style Title, or the title of the properties, or the first heading, or an empty string.
    Foot- and endnotes come last. Deleted text that Word still tracks is left out.

    Raises:
        UnreadableError: It is damaged, encrypted, an older format, or unpacks to too much.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == _OLE:
                raise UnreadableError(
                    f"{path}: is encrypted with a password, or in the format of Word 97; save it as .docx without one"
                )
            with ZipFile(file) as archive:
                return _read(archive)
    except (BadZipFile, KeyError, EOFError, RuntimeError, NotImplementedError, zlib.error, expat.ExpatError) as error:
        raise UnreadableError(f"{path}: is no Word document that can be read ({error}); save it anew") from error
    except _Refused as error:
        raise UnreadableError(f"{path}: {error}; open it in a word processor and save it anew") from error
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def _read(archive: ZipFile) -> tuple[str, list[str]]:
    links = _Links()
    _parse(archive, "_rels/.rels", links)
    main = links.found.get(_MAIN, "word/document.xml")
    text = _Text()
    _parse(archive, main, text)
    names = set(archive.namelist())
    folder = main.rpartition("/")[0]
    for notes in ("footnotes.xml", "endnotes.xml"):
        part = f"{folder}/{notes}".lstrip("/")
        if part in names:
            _parse(archive, part, text)
    properties = _Title()
    if links.found.get(_CORE) in names:
        _parse(archive, links.found[_CORE], properties)
    styled = text.styled
    return styled.get("Title") or given_title(properties.text) or styled.get("Heading1", ""), text.lines


def _parse(archive: ZipFile, name: str, handler: Any) -> None:
    """Parse the XML of one part in chunks, and pass its elements to a handler."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler, parser.EndElementHandler = handler.start, handler.end
    parser.CharacterDataHandler = handler.data
    parser.buffer_text = True
    done = 0
    with archive.open(name) as part:
        for chunk in _chunks(part.read):
            done += len(chunk)
            if done > MOST_BYTES:
                raise _Refused(f"its part {name} unpacks to more than {MOST_BYTES >> 20} MiB")
            parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(_CHUNK):
        yield chunk


def _refuse_doctype(*_: object) -> None:
    raise _Refused("it declares a document type, whose entities could name files or grow without end")


def _shows_header(look: dict[str, str]) -> bool:
    """Whether a table's style marks its first row as a header, by an attribute or in the older bit mask."""
    by_name = {key.rpartition(" ")[2]: value for key, value in look.items()}
    number = by_name.get("val", "")
    return by_name.get("firstRow") in ("1", "true", "on") or bool(
        "firstRow" not in by_name and re.fullmatch("[0-9A-Fa-f]{1,4}", number) and int(number, 16) & _FIRST_ROW
    )


class _Links:
    """Collects the relationships of the document: the part of each type."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        kind, target = attributes.get("Type", ""), attributes.get("Target", "")
        for wanted in (_MAIN, _CORE):
            if kind.endswith(wanted):
                self.found.setdefault(wanted, normpath(target.lstrip("/")))

    def end(self, name: str) -> None: ...

    def data(self, text: str) -> None: ...


class _Title:
    """Collects the title from the document's properties."""

    def __init__(self) -> None:
        self.text, self._inside = "", False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._inside = name.endswith(" title")

    def end(self, name: str) -> None:
        self._inside = False

    def data(self, text: str) -> None:
        self.text += text if self._inside else ""


class _Text:
    """The paragraphs and rows of a document.

    Attributes:
        lines: What has been read.
        styled: The first paragraph with text in each of the styles of titles.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.styled: dict[str, str] = {}
        self._cells: list[list[str]] = []  # of the row that is being read, outermost alone
        self._table: list[list[str]] = []  # rows of the table that is being read, likewise
        self._heads: bool | None = False  # whether its first row is a header; None where it is shown as one
        self._tables = self._rows = self._skipped = 0
        self._inside = self._stops = False
        self._open: list[list[str]] = []  # paragraphs; one with a text box holds others
        self._style = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if local in _TWICE or self._skipped:
            self._skipped += 1
            return
        if not any(namespace in name for namespace in _WORD):
            return
        self._inside, self._stops = local == "t", self._stops or local == "tabs"
        if local in _MARKS and not self._stops and self._open:
            self._open[-1].append(_MARKS[local])
        elif local == "p":
            self._open.append([])
        elif local == "pStyle":
            self._style = next((value for key, value in attributes.items() if key.endswith(" val")), "")
        else:
            self._start_of_table(local, attributes)

    def _start_of_table(self, local: str, attributes: dict[str, str]) -> None:
        if local == "tbl":
            self._tables += 1
        elif local == "tblLook" and self._tables == 1 and _shows_header(attributes):
            self._heads = None
        elif local == "tblHeader" and self._tables == 1 and not self._table:
            self._heads = True
        elif local == "tr":
            self._rows += 1
        elif local == "tc" and self._rows == 1:
            self._cells.append([])

    def end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        self._inside = False
        if not any(namespace in name for namespace in _WORD):
            return
        local = name.rpartition(" ")[2]
        self._stops = self._stops and local != "tabs"
        if local == "p":
            self._end_paragraph()
        elif local == "tr" and self._rows:
            self._rows -= 1
            if not self._rows:
                self._table.append([" ".join(cell) for cell in self._cells])
                self._cells = []
        elif local == "tbl" and self._tables:
            self._tables -= 1
            if not self._tables:
                self._end_table()

    def data(self, text: str) -> None:
        if self._inside and not self._skipped and self._open:
            self._open[-1].append(text)

    def _end_table(self) -> None:
        heads = None if self._heads is False and may_head(self._table) else self._heads
        self.lines += lines_of(self._table, headed=heads)
        self._table, self._heads = [], False

    def _end_paragraph(self) -> None:
        text, style = "".join(self._open.pop()) if self._open else "", self._style
        self._style = ""
        if style in _TITLES and text.strip():
            self.styled.setdefault(style, " ".join(text.split()))
        if self._rows and self._cells:
            self._cells[-1] += [" ".join(text.split())] if text.strip() else []
        else:
            lines = text.split("\n")
            if _HEADING.match(style) and text.strip():
                self.lines += [*apart(self.lines), *map(Heading, lines)]
            else:
                self.lines += lines

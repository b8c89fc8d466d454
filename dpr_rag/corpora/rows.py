"""Rows of delimited files: quotation marks quote only if they enclose a whole field."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dpr_rag.corpora.lines import BYTE_ORDER_MARK, OnBad, bad_line, decoded, read_lines, tell, without_end
from dpr_rag.errors import CorpusError

MOST_LINES = 1000
"""Lines that a quoted field may run over."""
_CLOSING = re.compile(rb'[^"]*+(?:""[^"]*+)*+"')
_NEEDS_QUOTES = re.compile(r'["\t\r\n]|\A\ufeff')  # a byte order mark that opens a file bare would be dropped


@dataclass(frozen=True, slots=True)
class Shape:
    """Delimiter, number of columns and quoting of a table's rows.

    Attributes:
        width: How many columns they have.
        needed: Places of the columns that no row leaves blank.
        delimiter: What stands between fields: a tab, a comma or a semicolon.
        ragged: Whether the last columns may be missing.
        strict: Whether a mark that opens a field has to close it, as in CSV; otherwise it is text then.
    """

    width: int
    needed: tuple[int, ...]
    delimiter: bytes = b"\t"
    ragged: bool = False
    strict: bool = False

    def fits(self, fields: list[bytes]) -> bool:
        """Whether a row has as many fields as the table has columns; at most as many in a ragged table."""
        return len(fields) <= self.width if self.ragged else len(fields) == self.width

    def is_row(self, line: bytes) -> bool:
        """Whether a line looks like a whole row by itself; a comma with a space behind it is one of the text."""
        space = b"" if self.delimiter == b"\t" else rb"(?!\s)"
        cells = re.split(re.escape(self.delimiter) + space, without_end(line))
        return len(cells) == self.width and all(cells[at].strip() for at in self.needed)


class Lines:
    """The lines of a file with lookahead."""

    def __init__(self, path: Path) -> None:
        """Open a file, plain or gzipped."""
        self.path = path
        self._fresh = read_lines(path, ends=True)
        self._ahead: deque[tuple[int, bytes]] = deque()
        self._broken: CorpusError | None = None

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        if not self._ahead and not self._look(1):
            if self._broken is not None:
                raise self._broken
            raise StopIteration
        number, line = self._ahead.popleft()
        return number, line.removeprefix(BYTE_ORDER_MARK)  # of a joined file; fields that hold one are in quotes

    def ahead(self, place: int) -> bytes | None:
        """The line that is ``place`` lines behind the next one, or None behind the last one that can be read."""
        return self._ahead[place][1] if len(self._ahead) > place or self._look(place + 1) else None

    def give_back(self, number: int, line: bytes) -> None:
        """Put back the line that was taken last."""
        self._ahead.appendleft((number, line))

    def skip(self, count: int) -> None:
        """Drop lines that were looked at."""
        for _ in range(count):
            self._ahead.popleft()

    def _look(self, count: int) -> bool:
        try:
            while len(self._ahead) < count and self._broken is None:
                self._ahead.append(next(self._fresh))
        except StopIteration:
            return False
        except CorpusError as error:  # damage further on is no fault of the row that is being read
            self._broken = error
        return len(self._ahead) >= count


def read_rows(source: Path | Lines, shape: Shape, *, on_bad: OnBad = None) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a table; blank lines are passed over.

    A field is quoted as in csv where a mark opens it and the next mark that is not doubled stands at its end: before a
    delimiter or the line's end. Every other mark is text. A quoted field may hold delimiters and line breaks as long as
    the row comes out with the table's columns.

    Args:
        source: The file, or its lines behind a header.
        shape: Of the table.
        on_bad: Takes the errors of bad rows; None raises the first. Reading goes on with the next line.

    Yields:
        The line where the row starts, from 1, and its fields.

    Raises:
        CorpusError: A row that is not UTF-8; a quoted field that runs over lines which look like rows themselves.
    """
    lines = source if isinstance(source, Lines) else Lines(source)
    for number, line in lines:
        try:
            row = _row(lines, number, line, shape) if without_end(line) else []
        except CorpusError as error:
            tell(on_bad, bad_line(lines.path, number, error))
        else:
            if row:
                yield number, row


def header_of(line: bytes, delimiter: bytes = b"\t") -> list[str]:
    """The fields of a line that is a row by itself, whatever the number of its columns."""
    return [cell.decode("utf-8", "replace") for cell in _Row(line, Shape(0, (), delimiter)).fields]


def width_of(lines: Lines, delimiter: bytes = b"\t") -> int:
    """How many columns the next row has, whose quoted fields may run over further lines; nothing is taken."""
    number, line = next(lines, (0, b""))
    width = len(_Row(line, Shape(0, (), delimiter), lines).fields)
    if number:
        lines.give_back(number, line)
    return width


def _row(lines: Lines, number: int, line: bytes, shape: Shape) -> list[str]:
    if b'"' not in line:
        return decoded(without_end(line)).split(shape.delimiter.decode())
    record, fields = _fields(lines, number, line, shape)
    decoded(record)  # names a bad byte by its place in the row
    return [cell.decode() for cell in fields]


def _fields(lines: Lines, number: int, line: bytes, shape: Shape) -> tuple[bytes, list[bytes]]:
    """The row that a line begins, and its fields; further lines of the row are taken."""
    row = _Row(line, shape, lines)
    if row.more and shape.fits(row.fields):
        if row.may_be_rows(lines):
            raise CorpusError(
                f"a quotation mark opens a field that would end on line {number + row.more}, over lines that look like rows; "
                "where the mark is text, put the field in quotes and double the mark, and where the lines are one field, "
                "put all fields of the row in quotes; or write JSONL"
            )
        lines.skip(row.more)
        return row.line, row.fields
    if row.more:
        row = _Row(line, shape)
    plain = [_unquoted(cell) for cell in without_end(line).split(shape.delimiter)]
    fields = plain if len(plain) == shape.width != len(row.fields) else row.fields
    if shape.strict and row.opened:
        raise CorpusError(
            "is no CSV: a quotation mark opens a field and does not close it; close it, or double it inside"
        )
    return line, fields


def _unquoted(cell: bytes) -> bytes:
    closed = _CLOSING.match(cell, 1) if cell.startswith(b'"') else None
    return cell[1:-1].replace(b'""', b'"') if closed and closed.end() == len(cell) else cell


@dataclass(slots=True)
class _Row:
    """A line, and the lines behind it that its quoted fields run over, as csv has it.

    Attributes:
        line: The first line.
        shape: Of the table.
        lines: What follows, or None to read the line by itself.
        fields: The row's fields.
        more: How many lines the row takes behind the first.
        opened: Whether a mark opens a field that it does not close.
    """

    line: bytes
    shape: Shape
    lines: Lines | None = None
    fields: list[bytes] = field(default_factory=list)
    more: int = 0
    opened: bool = False
    _all_quoted: bool = True
    _across: set[int] = field(default_factory=set)  # lines with a delimiter inside a field that runs over several

    def __post_init__(self) -> None:
        at, size = 0, len(without_end(self.line))
        while at <= size:
            end = self._quoted_end(at) if self.line.startswith(b'"', at) else -1
            if end < 0:
                self._all_quoted = False
                place = self.line.find(self.shape.delimiter, at)
                end = size if place < 0 else place
                self.fields.append(self.line[at:end])
            elif self.more:
                size = len(without_end(self.line))
            at = end + 1

    def _quoted_end(self, at: int) -> int:
        """Take the quoted field that begins at a place, and return where it ends; -1 where none does."""
        line, more = self.line, self.more
        closed = _CLOSING.match(line, at + 1)
        while closed is None:
            behind = None if self.lines is None or more == MOST_LINES else self.lines.ahead(more)
            if behind is None:
                break
            line, more, start = line + behind, more + 1, len(line)
            closed = _CLOSING.match(line, start)
        if closed is None or not self._ends(line, closed.end()):
            self.opened = True
            return -1
        inside = line[at + 1 : closed.end() - 1]
        if more > self.more:
            parts = enumerate(inside.split(b"\n"), self.more)
            self._across |= {place for place, part in parts if self.shape.delimiter in part}
        self.line, self.more = line, more
        self.fields.append(inside.replace(b'""', b'"'))
        return closed.end()

    def _ends(self, line: bytes, at: int) -> bool:
        return line.startswith(self.shape.delimiter, at) or not without_end(line[at:])

    def may_be_rows(self, lines: Lines) -> bool:
        """Whether what csv takes for one row looks like several; a row with all fields in quotes is beyond doubt."""
        if self._all_quoted:
            return False
        first = self.line.split(b"\n", 1)[0]
        return any(self.shape.is_row(lines.ahead(at - 1) or b"" if at else first) for at in self._across)


def quoted(text: str, *, always: bool = False) -> str:
    """A field as csv writes it: in quotes where it holds a quote, a tab or a line break, or begins with U+FEFF."""
    if not always and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def written(fields: list[str]) -> str:
    """A row with tabs between; one that runs over several lines has all fields in quotes, so that nothing is in doubt."""
    several = any("\n" in text for text in fields)
    return "\t".join(quoted(text, always=several) for text in fields) + "\n"

"""Passages from tables: DPR's and MS MARCO's TSV, and CSV; columns are named by a header or by the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpr_rag.corpora.columns import Columns, lacking, listed, located, no_header, refuse_header, refuse_twice
from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.lines import BARE_RETURNS, LeftOut, OnBad, bad_line, has_bare_returns, tell, without_end
from dpr_rag.corpora.rows import Lines, Shape, header_of, read_rows, width_of
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of

COLUMNS = ("id", "text", "title")
_MS_MARCO = ("id", "text")
_DELIMITERS = ",;\t"
_TAB = "\t"


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a table, and whether it has a header.

    Attributes:
        names: Of all columns; one without a name has its number, as ``column 3``.
        found: Which of them hold the passage.
        header: The first row as it stands, where it is a header.
        name: What ids begin with where no column holds them: this, ``#`` and the number of the row from 1.
    """

    names: tuple[str, ...]
    found: Columns
    header: tuple[str, ...] = ()
    name: str = ""

    @property
    def needed(self) -> tuple[int, ...]:
        return tuple(self.names.index(name) for name in (self.found.id, self.found.text) if name is not None)


def read_tsv(
    path: str | Path, *, columns: Columns | None = None, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[Passage]:
    r"""Read passages from DPR's ``psgs_w100.tsv`` or a table like it, plain or gzipped.

    The columns are those that a header row names, in any order and spelling (``docid``, ``Contents``), or that the user
    does; further ones become metadata, as strings. Without a header they are ``id``, ``text``, ``title``, or, as in MS
    MARCO's ``collection.tsv``, ``id`` and ``text``. Quotation marks that enclose a whole field quote it as in csv, all
    others are text.

    Args:
        path: The file.
        columns: Names of columns, or their numbers from 1.
        on_bad: Takes the errors of bad records; None raises the first.
        left_out: Takes the number of rows without text and title; None logs it as a warning.

    Yields:
        The passages, in the file's order. A title alone is the text.

    Raises:
        CorpusError: A bad record, with the file's name and the line where it starts; a first row that looks like a header
            and names no columns that are known.
    """
    return (passage for _, passage in tsv_by_line(place_of(path), columns or Columns(), on_bad, left_out))


def read_csv(
    path: str | Path, *, columns: Columns | None = None, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[Passage]:
    """Read passages from CSV, delimited by commas, semicolons or tabs, under a header, in the quoting of spreadsheets.

    Args and errors are those of :func:`read_tsv`; a quotation mark that opens a field has to close it.
    """
    return (passage for _, passage in csv_by_line(place_of(path), columns or Columns(), on_bad, left_out))


def tsv_by_line(
    path: Path, wanted: Columns, on_bad: OnBad, left_out: LeftOut | None, *, numbered: bool = False
) -> Iterator[tuple[int, Passage]]:
    """Read passages as :func:`read_tsv` does, each with the line where it starts; ``numbered`` as in ``Reading``."""
    return _read(Lines(path), _TAB, wanted, on_bad, left_out, numbered=numbered)


def csv_by_line(
    path: Path, wanted: Columns, on_bad: OnBad, left_out: LeftOut | None, *, numbered: bool = False
) -> Iterator[tuple[int, Passage]]:
    """Read passages as :func:`read_csv` does, each with the line where it starts; ``numbered`` as in ``Reading``."""
    lines = Lines(path)
    if _first(lines)[1].lower().startswith(b"sep="):  # Excel's own line about the delimiter
        next(lines)
    return _read(lines, _delimiter(_first(lines)[1], wanted), wanted, on_bad, left_out, strict=True, numbered=numbered)


def _read(
    lines: Lines,
    delimiter: str,
    wanted: Columns,
    on_bad: OnBad,
    left_out: LeftOut | None,
    *,
    strict: bool = False,
    numbered: bool,
) -> Iterator[tuple[int, Passage]]:
    layout = _layout(lines, delimiter, wanted, strict=strict, numbered=numbered)
    shape = Shape(len(layout.names), layout.needed, delimiter.encode(), strict=strict)
    with Maker.counting(lines.path, left_out) as maker:
        number = 0
        for line, row in read_rows(lines, shape, on_bad=on_bad):
            if layout.header and tuple(row) == layout.header:
                continue  # the header, which shards joined by cat repeat
            number += 1
            try:
                passage = _made(row, layout, delimiter, maker, number)
            except (CorpusError, PassageError) as error:
                tell(on_bad, bad_line(lines.path, line, error))
            else:
                if passage is not None:
                    yield line, passage


def _first(lines: Lines) -> tuple[int, bytes]:
    """The first row's line, which is not taken; blank lines above it are."""
    for number, line in lines:
        if without_end(line).strip():
            lines.give_back(number, line)
            return number, line
    return 1, b""


def _delimiter(first: bytes, wanted: Columns) -> str:
    """The delimiter of CSV: the one with which the header has the most known names."""

    def known(delimiter: str) -> tuple[int, int]:
        names = _named(header_of(first, delimiter.encode()))
        try:
            return len(located(names, wanted).given()), len(names)
        except CorpusError:
            return 0, len(names)

    return max(_DELIMITERS, key=known)


def _layout(lines: Lines, delimiter: str, wanted: Columns, *, strict: bool, numbered: bool) -> _Layout:
    """Find the columns by the first row."""
    number, first = _first(lines)
    header = tuple(header_of(first, delimiter.encode()))
    names = _named(header)
    try:
        _refuse_bare_returns(lines, first, header)
        if _are_numbers(wanted, names):
            if _has_header(wanted, header):
                return _numbered(wanted, names, header)
            refuse_header(list(header))
            return _numbered(wanted, _named(("",) * width_of(lines, delimiter.encode())))
        columns = located(names, wanted) if first else Columns()
        if columns.id and columns.text:
            return _headed(names, columns, header)
        if first and numbered and (strict or _looks_like_header(header)):
            return _headed(names, columns, header, lines.path.name)
        if first and (strict or wanted.given() or (columns.text and not header[0].strip())):
            raise lacking(columns, names)
        refuse_header(list(header))
        return _headless(width_of(lines, delimiter.encode()))
    except CorpusError as error:
        raise bad_line(lines.path, number, error) from error


def _refuse_bare_returns(lines: Lines, first: bytes, names: tuple[str, ...]) -> None:
    """Refuse lines that end by a carriage return alone: all of them would be one, a header without rows or a single passage.

    Raises:
        CorpusError: Unquoted returns stand in a header, or in the only line of the file.
    """
    if not has_bare_returns(first):
        return
    usual = located(names, Columns())
    is_whole = lines.ahead(1) is None and not first.endswith(b"\n")
    if is_whole or (usual.id and usual.text):
        raise CorpusError(BARE_RETURNS)


def _looks_like_header(names: tuple[str, ...]) -> bool:
    try:
        refuse_header(list(names))
    except CorpusError:
        return True
    return False


def _are_numbers(wanted: Columns, names: tuple[str, ...]) -> bool:
    given = wanted.given().values()
    return bool(given) and all(name.isdecimal() and name not in names for name in given)


def _has_header(wanted: Columns, header: tuple[str, ...]) -> bool:
    """Whether a first row of which the user gives columns by number is a header: it names the id and the text, or one of them.

    The other may then be a column without a name, as pandas' index; a passage there would lack its id or its text.
    """
    usual = located(header, Columns())
    unnamed = {str(at) for at, name in enumerate(header, 1) if not name.strip()}
    return bool(
        (usual.id and usual.text) or (usual.text and wanted.id in unnamed) or (usual.id and wanted.text in unnamed)
    )


def _numbered(wanted: Columns, names: tuple[str, ...], header: tuple[str, ...] = ()) -> _Layout:
    """The layout of a table whose columns the user gives by number; without a header, numbers are their names."""
    for name in wanted.given().values():
        if not 1 <= int(name) <= len(names):
            raise CorpusError(f"there is no column {name!r}, only {len(names)} columns; number them from 1")
    columns = Columns(**{field: names[int(name) - 1] for field, name in wanted.given().items()})
    columns = located(names, columns) if header else columns
    if not (columns.id and columns.text):
        raise lacking(columns, names)
    return _headed(names, columns, header)


def _named(header: Sequence[str]) -> tuple[str, ...]:
    """Names for all columns: a spreadsheet's last ones often have none, nor has the index that pandas writes as the first."""
    return tuple(name if name.strip() else f"column {at}" for at, name in enumerate(header, 1))


def _headed(names: tuple[str, ...], columns: Columns, header: tuple[str, ...], name: str = "") -> _Layout:
    refuse_twice(names)
    return _Layout(names, columns, header, name)


def _headless(width: int) -> _Layout:
    if width > len(COLUMNS):
        raise no_header(width)
    names = _MS_MARCO if width == len(_MS_MARCO) else COLUMNS
    return _Layout(names, Columns("id", "text", "title" if "title" in names else None))


def _made(row: list[str], layout: _Layout, delimiter: str, maker: Maker, number: int) -> Passage | None:
    names, columns = layout.names, layout.found
    if len(row) != len(names):
        between = "tabs" if delimiter == _TAB else repr(delimiter)
        raise CorpusError(f"{len(row)} columns, expected {len(names)}: {listed(names)}, with {between} between")
    if names == COLUMNS:
        return maker.make(row[0], row[1], row[2])
    fields = dict(zip(names, row, strict=True))
    if layout.name:
        return _numbered_row(fields, layout, maker, number)
    known = [fields.pop(name) if name is not None else "" for name in (columns.id, columns.text, columns.title)]
    return maker.make(known[0], known[1], known[2], fields)


def _numbered_row(fields: dict[str, str], layout: _Layout, maker: Maker, number: int) -> Passage | None:
    """A row without a column for the id or the text: the text is then what a person reads, under the columns' names.

    An id in such a row is what people call the thing, and they ask by it: it stays in the text.
    """
    columns = layout.found
    named = zip(layout.header, fields.values(), strict=True)
    lines = [f"{name}: {cell}" for name, cell in named if name.strip() and cell.strip()]
    title = fields.pop(columns.title) if columns.title else ""
    text = fields.pop(columns.text) if columns.text else "\n".join(lines)
    return maker.make(f"{layout.name}#{number}", text, title or Path(layout.name).stem, fields)

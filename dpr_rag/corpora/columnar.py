"""Passages from Arrow columns, as in Parquet and saved datasets: which column is which field, and values as JSON."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_rag.corpora.columns import VECTORS, Columns, lacking, located, refuse_twice
from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.lines import OnBad, id_of, tell
from dpr_rag.corpora.records import Found
from dpr_rag.corpora.values import expect_object, parsed
from dpr_rag.errors import CorpusError, MissingExtraError, PassageError, install
from dpr_rag.faces import message_of

ROWS = 100  # a few bytes of a file may stand for very long texts, once for each row
"""Rows that are held at once."""
_WRITTEN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)
PART = b"dpr_rag"
"""Under which a part that ``encode`` or ``export`` wrote says what it is; its metadata are JSON in one column."""
_PACKED = "metadata"
_NO_VALUE = (OverflowError, ValueError, LookupError)
"""What pyarrow raises for what Python has no value for: a time beyond the year 9999 or in an unknown zone, text that is none."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns hold the fields of a passage, its vector and its metadata.

    Attributes:
        found: The passage's.
        kept: All that are read, in the order of the file.
        vector: The column of vectors, where they are wanted, or None.
        beside: The columns that are not read, each with the reason.
        packed: The column that holds all metadata as JSON, as in parts, or None.
    """

    found: Columns
    kept: tuple[str, ...]
    vector: str | None
    beside: tuple[str, ...]
    packed: str | None = None


def layout_of(
    file: Path, schema: Any, wanted: Columns, *, vectors: bool = False, features: dict[str, str] | None = None
) -> Layout:
    """Find the passage among the columns of a schema.

    Args:
        file: For messages.
        schema: A ``pyarrow.Schema``.
        wanted: What the user called the columns.
        vectors: Whether a column of vectors is read.
        features: Names of types by column, where the file has better ones than Arrow's.

    Raises:
        CorpusError: The id or the text is not found, or is of a type that no text is; a name comes twice.
    """
    try:
        refuse_twice(schema.names)
        named = {field.name: (features or {}).get(field.name, str(field.type)) for field in schema}
        bytes_in = [field.name for field in schema if _holds_bytes(field.type)]
        vector = next((name for name in VECTORS if name in named and _is_vector(schema.field(name).type)), None)
        columns = _found(named, {*bytes_in, *([vector] if vector else [])}, wanted)
    except CorpusError as error:
        raise CorpusError(f"{file}: " + message_of(error)) from error
    unread = [*bytes_in, *([vector] if vector and not vectors else [])]
    beside = tuple(f"column {name} ({named[name]:.60})" for name in unread)
    kept = tuple(name for name in named if name not in unread)
    is_packed = PART in (schema.metadata or {}) and _PACKED in {*kept} - {columns.id, columns.text, columns.title}
    return Layout(columns, kept, vector if vectors else None, beside, _PACKED if is_packed else None)


def _found(named: dict[str, str], no_text: set[str], wanted: Columns) -> Columns:
    columns = located(tuple(named), wanted)
    if not (columns.id and columns.text):
        raise lacking(columns, tuple(named))
    wrong = [name for name in (columns.id, columns.text, columns.title) if name in no_text]
    if wrong:
        raise CorpusError(
            f"the column {wrong[0]!r:.120} is of the type {named[wrong[0]]:.120}, expected text; name another"
        )
    return columns


def _holds_bytes(kind: Any) -> bool:
    """Whether a column or a nested part of it holds bytes, such as images; these are not read as metadata."""
    types = _pyarrow_types()
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if kind.num_fields:
        return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))
    of_bytes = types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary
    return any(holds(kind) for holds in of_bytes) and not types.is_decimal(kind)


def _is_vector(kind: Any) -> bool:
    types = _pyarrow_types()
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists and types.is_floating(kind.value_type))


def passages_of(
    file: Path, batches: Iterable[Any], layout: Layout, maker: Maker, on_bad: OnBad, start: int = 0
) -> Iterator[Found]:
    """Make passages of record batches, each with its row as the place, counted from 1, and its vector where there is one.

    Args:
        file: For messages.
        batches: With the columns ``layout.kept``.
        layout: Which columns hold what.
        maker: Makes the passages.
        on_bad: Takes the errors of bad rows; None raises the first.
        start: Rows that came before.
    """
    rows = (row for batch in batches for row in _rows(batch))
    for number, row in enumerate(rows, start + 1):
        try:
            if isinstance(row, CorpusError):
                raise row
            vector = None if layout.vector is None else row.pop(layout.vector)
            passage = _made(row, layout, maker)
        except (CorpusError, PassageError) as error:
            tell(on_bad, CorpusError(f"{file}: row {number}: " + message_of(error)))
        else:
            if passage is not None:
                yield Found(passage, file, f"{file}: row {number}", vector)


def _rows(batch: Any) -> Iterator[dict[str, Any] | CorpusError]:
    """The rows of a record batch, each under the names of its columns, or the error of one that Python has no values for."""
    try:
        yield from batch.to_pylist()
    except _NO_VALUE:
        yield from (_row(batch.slice(at, 1)) for at in range(batch.num_rows))


def _row(batch: Any) -> dict[str, Any] | CorpusError:
    row = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        try:
            row[field.name] = column[0].as_py()
        except _NO_VALUE as error:
            what = f"the column {field.name!r:.120} ({field.type!s:.60}) holds what cannot be read"
            return CorpusError(f"{what} ({error}); write it anew, a time as text")
    return row


def _made(row: dict[str, Any], layout: Layout, maker: Maker) -> Any:
    columns = layout.found
    known = [None if name is None else row.pop(name) for name in (columns.id, columns.text, columns.title)]
    whole = {} if layout.packed is None else _unpacked(row.pop(layout.packed))
    return maker.make(id_of(known[0]), known[1], known[2], {name: _plain(value) for name, value in row.items()} | whole)


def _unpacked(value: Any) -> dict[str, Any]:
    """The metadata of a row of a part."""
    return expect_object(parsed(value) if isinstance(value, str) else value)


def _plain(value: Any) -> Any:
    """A value in JSON types."""
    if isinstance(value, _WRITTEN):
        return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
    if isinstance(value, list):
        if value and type(value[0]) is tuple:  # as pyarrow gives the entries of a map
            return _plain(dict(value))
        return [_plain(entry) for entry in value]
    return {name: _plain(entry) for name, entry in value.items()} if isinstance(value, dict) else value


def import_pyarrow(what: str) -> Any:
    """Return pyarrow with its module for Parquet.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(f"{what} needs pyarrow ({error}); {install('parquet')}") from error
    return pyarrow


def _pyarrow_types() -> Any:
    import pyarrow.types

    return pyarrow.types

"""Passages out of Parquet, a row each, by the names of its columns."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_rag.corpora.columns import Columns, lacking, located
from dpr_rag.corpora.lines import LeftOut, OnBad, id_of, tell
from dpr_rag.corpora.making import Maker
from dpr_rag.errors import CorpusError, MissingExtraError, PassageError, install
from dpr_rag.passages import OnBadText, Passage
from dpr_rag.paths import place_of

_ROWS = 1000
_WRITTEN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)


def read_parquet(
    path: str | Path,
    *,
    columns: Columns | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Read passages from Parquet as a stream; columns beside id, text and title become metadata in their own types.

    Dates, times, decimals and UUIDs become strings, as metadata are JSON.

    Args:
        path: The file.
        columns: Names of columns; None finds them by their usual names.
        on_bad: Takes the errors of bad rows; None raises the first.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of rows without text and title; None logs it as a warning.

    Raises:
        CorpusError: A damaged file, or a bad row, with its number from 1.
        MissingExtraError: pyarrow is not installed.
    """
    found = parquet_by_row(place_of(path), columns or Columns(), on_bad, left_out, on_bad_text)
    return (passage for _, passage in found)


def parquet_by_row(
    file: Path, wanted: Columns, on_bad: OnBad, left_out: LeftOut | None, on_bad_text: OnBadText = "error"
) -> Iterator[tuple[int, Passage]]:
    """Read passages as :func:`read_parquet` does, each with the number of its row, from 1."""
    arrow = _pyarrow()
    try:
        with arrow.parquet.ParquetFile(file) as opened, Maker.counting(file, left_out, on_bad_text) as maker:
            found = _found(file, tuple(opened.schema_arrow.names), wanted)
            rows = (row for batch in opened.iter_batches(_ROWS) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                try:
                    passage = _made(row, found, maker)
                except (CorpusError, PassageError) as error:
                    tell(on_bad, CorpusError(f"{file}: row {number}: {error}"))
                else:
                    if passage is not None:
                        yield number, passage
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, OSError) as error:
        raise CorpusError(f"{file}: is no Parquet that can be read ({error}); write it anew") from error


def _found(file: Path, names: tuple[str, ...], wanted: Columns) -> Columns:
    try:
        found = located(names, wanted)
        if not (found.id and found.text):
            raise lacking(found, names)
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from error
    return found


def _made(row: dict[str, Any], found: Columns, maker: Maker) -> Passage | None:
    known = [None if name is None else row.pop(name) for name in (found.id, found.text, found.title)]
    return maker.make(id_of(known[0]), known[1], known[2], {name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    """A value as JSON has it, as far as there is one way to write it."""
    if isinstance(value, _WRITTEN):
        return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(f"Parquet needs pyarrow ({error}); {install('parquet')}") from error
    return pyarrow

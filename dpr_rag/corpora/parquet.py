"""Passages out of Parquet, a row each, by the names of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr_rag.corpora.columnar import ROWS, import_pyarrow, layout_of, passages_of
from dpr_rag.corpora.columns import Columns
from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.lines import LeftOut, OnBad, refuse_unopened
from dpr_rag.corpora.records import Found, Reading
from dpr_rag.errors import CorpusError
from dpr_rag.passages import OnBadText, Passage
from dpr_rag.paths import place_of


def read_parquet(
    path: str | Path,
    *,
    columns: Columns | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Read passages from Parquet as a stream; columns beside id, text and title become metadata in their own types.

    Dates, times, decimals and UUIDs become strings, as metadata are JSON. Columns of bytes, and of vectors under the names of
    :data:`~dpr_rag.corpora.columns.VECTORS`, are left out and counted.

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
    reading = Reading(columns or Columns(), on_bad, on_bad_text, left_out)
    return (item.passage for item in parquet_by_row(place_of(path), reading))


def parquet_by_row(file: Path, reading: Reading) -> Iterator[Found]:
    """Read passages as :func:`read_parquet` does, each with its row, and its vector where those are wanted."""
    arrow = import_pyarrow("Parquet")
    counting = Maker.counting(file, reading.left_out, reading.on_bad_text)
    try:
        with arrow.parquet.ParquetFile(file) as opened, counting as maker:
            layout = layout_of(file, opened.schema_arrow, reading.columns, vectors=reading.vectors)
            maker.left_out.update(layout.beside)
            batches = opened.iter_batches(ROWS, columns=list(layout.kept) if layout.beside else None)
            yield from passages_of(file, batches, layout, maker, reading.on_bad)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        refuse_unopened(file, error)
        raise CorpusError(f"{file}: is no Parquet that can be read ({error}); write it anew") from error

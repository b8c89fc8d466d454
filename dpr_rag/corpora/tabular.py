"""Passages one a line: DPR's ``psgs_w100.tsv`` and JSONL, read and written as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpr_rag.corpora.lines import (
    BAD_TEXT,
    LeftOut,
    OnBad,
    bad_line,
    id_of,
    read_json_lines,
    tell,
    without_end,
    write_objects,
    writing,
)
from dpr_rag.corpora.rows import Lines, Shape, header_of, read_rows, written
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import SOURCE_KEY, OnBadText, Passage, check_on_bad_text
from dpr_rag.paths import place_of

COLUMNS = ("id", "text", "title")


def read_tsv(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Passage]:
    """Read passages from DPR's ``psgs_w100.tsv`` or a table like it, plain or gzipped.

    The columns are ``id``, ``text``, ``title`` in this order, or in the order that a header row gives; further
    columns of a header become metadata. Quotation marks that enclose a whole field quote it as in csv, all others are
    text.

    Args:
        path: The file.
        on_bad: Takes the errors of bad records; None raises the first.

    Yields:
        The passages, in the file's order.

    Raises:
        CorpusError: A bad record, with the file's name and the line where it starts.
    """
    lines = Lines(place_of(path))
    columns = _columns(lines)
    shape = Shape(len(columns), (columns.index("id"), columns.index("text")))
    for line, row in read_rows(lines, shape, on_bad=on_bad):
        if tuple(row) == columns:
            continue  # the header, which shards joined by cat repeat
        try:
            passage = _from_row(row, columns)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(lines.path, line, error))
        else:
            yield passage


def _columns(lines: Lines) -> tuple[str, ...]:
    """Column names out of the first row, which is a header when it names id and text."""
    blank = 0
    while (first := lines.ahead(blank)) is not None and not without_end(first):
        blank += 1
    names = header_of(first or b"")
    if not {"id", "text"} <= set(names):
        return COLUMNS
    if len(set(names)) < len(names):
        raise bad_line(lines.path, blank + 1, f"the header {names} names a column twice; rename one")
    return tuple(names)


def _from_row(row: list[str], columns: tuple[str, ...]) -> Passage:
    if len(row) != len(columns):
        raise CorpusError(f"{len(row)} columns, expected {len(columns)}: {', '.join(columns)}, with tabs between")
    if columns == COLUMNS:
        return Passage(row[0], row[1], row[2])
    fields = dict(zip(columns, row, strict=True))
    return Passage(fields.pop("id"), fields.pop("text"), fields.pop("title", ""), fields)


def write_tsv(path: str | Path, passages: Iterable[Passage]) -> int:
    """Write passages as DPR's ``psgs_w100.tsv``, gzipped when the name ends in ``.gz``.

    Args:
        path: The file to write or replace; it appears once it is complete.
        passages: What to write; the format has no place for metadata.

    Returns:
        How many were written.

    Raises:
        CorpusError: A passage has metadata, or the file cannot be written.
    """
    path = place_of(path)
    count = 0
    with writing(path) as file:
        file.write("\t".join(COLUMNS) + "\n")
        for passage in passages:
            if passage.visible_metadata:
                raise CorpusError(f"{path}: passage {passage.id!r} has metadata, which TSV cannot hold; write JSONL")
            file.write(written([passage.id, passage.text, passage.title]))
            count += 1
    return count


def read_jsonl(
    path: str | Path, *, on_bad: OnBad = None, on_bad_text: OnBadText = "error", left_out: LeftOut | None = None
) -> Iterator[Passage]:
    """Read passages from JSONL, plain or gzipped: ``{"id", "title", "text", "metadata"}`` a line.

    ``_id`` is taken for a missing ``id`` and integers are accepted; other keys become metadata beside those of the
    object under ``metadata``.

    Args:
        path: The file.
        on_bad: Takes the errors of bad lines; None raises the first.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of passages that ``on_bad_text="skip"`` passed over.

    Yields:
        The passages, in the file's order.

    Raises:
        CorpusError: A bad line, with the file's name and the line's number.
    """
    check_on_bad_text(on_bad_text)

    def build(item: dict[str, Any], _: int) -> Passage | None:
        return Passage.made(*fields_of(item), on_bad_text=on_bad_text)

    for passage in read_json_lines(place_of(path), build, on_bad):
        if passage is not None:
            yield passage
        elif left_out is not None:
            left_out[BAD_TEXT] += 1


def passage_of(item: dict[str, Any]) -> Passage:
    """Return the passage that a JSON object holds.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: A value that no passage can have, such as an empty text.
    """
    return Passage(*fields_of(item))


def fields_of(item: dict[str, Any]) -> tuple[str, Any, Any, dict[str, Any]]:
    """Id, text, title and metadata of a passage as a JSON object holds them, not yet checked but for the id.

    Raises:
        CorpusError: A key is missing or has the wrong type.
    """
    rest = dict(item)
    name = id_of(rest.pop("id" if "id" in rest else "_id", None))
    if "text" not in rest:
        raise CorpusError(f"passage {name!r:.120} has no 'text', only {sorted(item)}")
    text, title, metadata = rest.pop("text"), rest.pop("title", None), rest.pop("metadata", None)
    if metadata is not None and not isinstance(metadata, dict):
        raise CorpusError(f"passage {name!r:.120}: metadata is {metadata!r:.60}, expected an object")
    inside = metadata or {}
    twice = sorted(key for key in rest.keys() & inside.keys() if rest[key] != inside[key])
    if twice:
        raise CorpusError(f"passage {name!r:.120}: {twice[0]!r} stands in the metadata and beside them; keep one")
    return name, text, "" if title is None else title, {**rest, **inside}


def object_of(passage: Passage) -> dict[str, Any]:
    """Return the JSON object that holds a passage; without metadata it has no such key."""
    fields: dict[str, Any] = {"id": passage.id, "title": passage.title, "text": passage.text}
    metadata = exported_metadata(passage)
    return {**fields, "metadata": metadata} if metadata else fields


def exported_metadata(passage: Passage) -> dict[str, Any]:
    """The metadata that go into a file: without what the passage was read from, which is another file now."""
    return {key: value for key, value in passage.metadata.items() if key != SOURCE_KEY}


def write_jsonl(path: str | Path, passages: Iterable[Passage]) -> int:
    """Write passages as JSONL, gzipped when the name ends in ``.gz``.

    Args:
        path: The file to write or replace; it appears once it is complete.
        passages: What to write.

    Returns:
        How many were written.

    Raises:
        CorpusError: The file cannot be written.
    """
    return write_objects(place_of(path), map(object_of, passages))

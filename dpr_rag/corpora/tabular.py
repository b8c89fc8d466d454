"""Passages one a line: DPR's ``psgs_w100.tsv`` and JSONL, read and written as streams."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dpr_rag.corpora.lines import (
    OnBad,
    bad_line,
    decoded,
    id_of,
    read_json_lines,
    read_lines,
    tell,
    without_end,
    write_objects,
    writing,
)
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.passages import Passage

COLUMNS = ("id", "text", "title")
MAX_RECORD_LINES = 1000
_CLOSING = re.compile(rb'[^"]*+(?:""[^"]*+)*+"[^\t]*')
_FIELD = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"([^\t]*)|([^\t]*)')
_NEEDS_QUOTES = re.compile(r'["\t\r\n]|\A\ufeff')  # a byte order mark that opens a file bare would be dropped
_Row = tuple[int, list[str]]


def read_tsv(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Passage]:
    """Read passages from DPR's ``psgs_w100.tsv`` or a table like it, plain or gzipped.

    The columns are ``id``, ``text``, ``title`` in this order, or in the order that a header row gives; further
    columns of a header become metadata. Fields are quoted as in csv.

    Args:
        path: The file.
        on_bad: Takes the errors of bad records; None raises the first.

    Yields:
        The passages, in the file's order.

    Raises:
        CorpusError: A bad record, with the file's name and the line where it starts.
    """
    path = Path(path)
    columns: tuple[str, ...] = ()
    for line, row in read_rows(path, on_bad=on_bad):
        if not columns:
            columns = _columns(path, row)
            if columns == tuple(row):
                continue
        elif tuple(row) == columns:
            continue  # shards joined by cat repeat the header
        try:
            passage = _from_row(row, columns)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield passage


def _columns(path: Path, row: list[str]) -> tuple[str, ...]:
    """Column names out of the first row, which is a header when it names id and text."""
    if not {"id", "text"} <= set(row):
        return COLUMNS
    if len(set(row)) < len(row):
        raise bad_line(path, 1, f"the header {row} names a column twice; rename one")
    return tuple(row)


def _from_row(row: list[str], columns: tuple[str, ...]) -> Passage:
    if len(row) != len(columns):
        raise CorpusError(f"{len(row)} columns, expected {len(columns)}: {', '.join(columns)}, with tabs between")
    if columns == COLUMNS:
        return Passage(row[0], row[1], row[2])
    fields = dict(zip(columns, row, strict=True))
    return Passage(fields.pop("id"), fields.pop("text"), fields.pop("title", ""), fields)


def read_rows(path: Path, *, on_bad: OnBad = None) -> Iterator[_Row]:
    """Read tab-separated rows with csv quoting; blank lines are passed over.

    Unlike the csv module this sets no global field limit, keeps NUL, and a quote that is never closed costs one row.

    Yields:
        The line where the row starts, from 1, and its fields.

    Raises:
        CorpusError: A row that is not UTF-8 or whose quote is not closed.
    """
    lines = _Lines(path)
    for number, line in lines:
        try:
            record = without_end(lines.rest_of(line) if b'"' in line and _is_open(line) else line)
            if record:
                yield number, _split(decoded(record))
        except CorpusError as error:
            tell(on_bad, bad_line(path, number, error))


class _Lines:
    """Lines that can be handed back: what follows a stray quote is read again as rows of its own."""

    def __init__(self, path: Path) -> None:
        self._fresh = read_lines(path, ends=True)
        self._back: deque[tuple[int, bytes]] = deque()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return self._back.popleft() if self._back else next(self._fresh)

    def rest_of(self, first: bytes) -> bytes:
        """Return the record that a line with an open quote begins."""
        taken: list[tuple[int, bytes]] = []
        for number, line in islice(self, MAX_RECORD_LINES):
            taken.append((number, line))
            if not _is_open(line, inside=True):
                return first + b"".join(line for _, line in taken)
        self._back.extendleft(reversed(taken))
        raise CorpusError(f"a quote opens a field and is not closed within {MAX_RECORD_LINES} lines; double it")


def _is_open(line: bytes, *, inside: bool = False) -> bool:
    """Whether a quoted field goes on behind this line, whose start may lie inside one already."""
    at = 0
    if not inside and line.startswith(b'"'):
        inside, at = True, 1
    while True:
        if inside:
            closed = _CLOSING.match(line, at)
            if closed is None:
                return True
            at = closed.end()
        else:
            tab = line.find(b"\t", at)
            at = len(line) if tab < 0 else tab
        if at == len(line):
            return False
        inside = line.startswith(b'"', at + 1)
        at += 2 if inside else 1


def _split(record: str) -> list[str]:
    if '"' not in record:
        return record.split("\t")
    fields = []
    at = 0
    while at <= len(record):
        found = _FIELD.match(record, at)
        if found is None:  # pragma: no cover - the pattern also matches nothing
            break
        quoted, tail, bare = found.groups()
        fields.append(bare if quoted is None else quoted.replace('""', '"') + tail)
        at = found.end() + 1
    return fields


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
    path = Path(path)
    count = 0
    with writing(path) as file:
        file.write("\t".join(COLUMNS) + "\n")
        for passage in passages:
            if passage.metadata:
                raise CorpusError(f"{path}: passage {passage.id!r} has metadata, which TSV cannot hold; write JSONL")
            file.write("\t".join(map(quoted, (passage.id, passage.text, passage.title))) + "\n")
            count += 1
    return count


def quoted(field: str) -> str:
    """A field as csv writes it: in quotes where it holds a quote, a tab or a line break, or begins with U+FEFF."""
    if not _NEEDS_QUOTES.search(field):
        return field
    return '"' + field.replace('"', '""') + '"'


def read_jsonl(path: str | Path, *, on_bad: OnBad = None) -> Iterator[Passage]:
    """Read passages from JSONL, plain or gzipped: ``{"id", "title", "text", "metadata"}`` a line.

    ``_id`` is taken for a missing ``id`` and integers are accepted; other keys become metadata beside those of the
    object under ``metadata``.

    Args:
        path: The file.
        on_bad: Takes the errors of bad lines; None raises the first.

    Yields:
        The passages, in the file's order.

    Raises:
        CorpusError: A bad line, with the file's name and the line's number.
    """
    return read_json_lines(Path(path), lambda item, _: passage_of(item), on_bad)


def passage_of(item: dict[str, Any]) -> Passage:
    """Return the passage that a JSON object holds.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: A value that no passage can have, such as an empty text.
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
    return Passage(name, text, "" if title is None else title, {**rest, **inside})


def object_of(passage: Passage) -> dict[str, Any]:
    """Return the JSON object that holds a passage; without metadata it has no such key."""
    fields: dict[str, Any] = {"id": passage.id, "title": passage.title, "text": passage.text}
    return {**fields, "metadata": passage.metadata} if passage.metadata else fields


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
    return write_objects(Path(path), map(object_of, passages))

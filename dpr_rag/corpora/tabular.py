"""Passages as JSON objects, read and written as streams; and DPR's ``psgs_w100.tsv``, written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dpr_rag.corpora.arrays import numbering, read_objects
from dpr_rag.corpora.columns import Columns, lacking, located
from dpr_rag.corpora.fields import Maker, unreserved
from dpr_rag.corpora.lines import LeftOut, OnBad, id_of, read_json_lines, write_objects, writing
from dpr_rag.corpora.rows import written
from dpr_rag.corpora.tables import COLUMNS
from dpr_rag.errors import CorpusError
from dpr_rag.passages import OnBadText, Passage
from dpr_rag.paths import place_of

DEFAULT = Columns()


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
    path: str | Path,
    *,
    columns: Columns | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Read passages from JSONL, plain or gzipped: ``{"id", "title", "text", "metadata"}`` a line.

    Other usual names of the keys (``_id``, ``docid``, ``contents`` …) are known, see
    :data:`~dpr_rag.corpora.columns.USUAL`, and integers are accepted for ids; other keys become metadata beside those of
    the object under ``metadata``.

    Args:
        path: The file.
        columns: Names of keys; None finds them by their usual names.
        on_bad: Takes the errors of bad lines; None raises the first.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of records without text and title, and of passages that ``on_bad_text="skip"`` passed
            over; None logs it as a warning.

    Yields:
        The passages, in the file's order. A title alone is the text.

    Raises:
        CorpusError: A bad line, with the file's name and the line's number.
    """
    numbered = jsonl_by_line(place_of(path), columns or Columns(), on_bad, left_out, on_bad_text)
    return (passage for _, passage in numbered)


def read_json(
    path: str | Path,
    *,
    columns: Columns | None = None,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Read passages from one JSON array of objects, or from JSONL, as a stream; otherwise as :func:`read_jsonl`."""
    numbered = json_by_line(place_of(path), columns or Columns(), on_bad, left_out, on_bad_text)
    return (passage for _, passage in numbered)


def jsonl_by_line(
    path: Path,
    wanted: Columns,
    on_bad: OnBad,
    left_out: LeftOut | None,
    on_bad_text: OnBadText = "error",
    *,
    numbered: bool = False,
) -> Iterator[tuple[int, Passage]]:
    """Read passages as :func:`read_jsonl` does, each with its line."""
    return _read(read_json_lines, path, wanted, on_bad, left_out, on_bad_text, numbered)


def json_by_line(
    path: Path,
    wanted: Columns,
    on_bad: OnBad,
    left_out: LeftOut | None,
    on_bad_text: OnBadText = "error",
    *,
    numbered: bool = False,
) -> Iterator[tuple[int, Passage]]:
    """Read passages as :func:`read_json` does, each with the line where it starts."""
    return _read(read_objects, path, wanted, on_bad, left_out, on_bad_text, numbered)


def _read(
    read: Callable[..., Iterator[tuple[int, Passage | None]]],
    path: Path,
    wanted: Columns,
    on_bad: OnBad,
    left_out: LeftOut | None,
    on_bad_text: OnBadText,
    numbered: bool,
) -> Iterator[tuple[int, Passage]]:
    number = numbering()

    def fields(item: dict[str, Any], line: int) -> tuple[str, Any, Any, dict[str, Any]]:
        if numbered and located(tuple(item), wanted, "key").id is None:
            item = {**item, wanted.id or "id": f"{path.name}#{number(line)}"}
        return fields_of(item, wanted)

    with Maker.counting(path, left_out, on_bad_text) as maker:
        records = read(path, lambda item, line: (line, maker.make(*fields(item, line))), on_bad)
        yield from ((line, passage) for line, passage in records if passage is not None)


def passage_of(item: dict[str, Any]) -> Passage:
    """Return the passage that a JSON object holds.

    Raises:
        CorpusError: A key is missing or has the wrong type.
        PassageError: A value that no passage can have, such as an empty text.
    """
    name, text, title, metadata = fields_of(item)
    return Passage(name, text, "" if title is None else title, unreserved(metadata))


def fields_of(item: dict[str, Any], wanted: Columns = DEFAULT) -> tuple[str, Any, Any, dict[str, Any]]:
    """Id, text, title and metadata of a passage as a JSON object holds them, not yet checked but for the id.

    Raises:
        CorpusError: A key is missing or has the wrong type.
    """
    keys = located(tuple(item), wanted, "key")
    if keys.id is None or keys.text is None:
        raise lacking(keys, set(item), "key")
    rest = dict(item)
    name, text = id_of(rest.pop(keys.id), keys.id), rest.pop(keys.text)
    title = None if keys.title is None else rest.pop(keys.title)
    metadata = rest.pop("metadata", None)
    if metadata is not None and not isinstance(metadata, dict):
        raise CorpusError(f"passage {name!r:.120}: metadata is {metadata!r:.60}, expected an object")
    inside = metadata or {}
    twice = sorted(key for key in rest.keys() & inside.keys() if rest[key] != inside[key])
    if twice:
        raise CorpusError(f"passage {name!r:.120}: {twice[0]!r} stands in the metadata and beside them; keep one")
    return name, text, title, {**rest, **inside}


def object_of(passage: Passage) -> dict[str, Any]:
    """Return the JSON object that holds a passage; without metadata it has no such key."""
    fields: dict[str, Any] = {"id": passage.id, "title": passage.title, "text": passage.text}
    metadata = exported_metadata(passage)
    return {**fields, "metadata": metadata} if metadata else fields


def exported_metadata(passage: Passage) -> dict[str, Any]:
    """The metadata that go into a file: the user's own, as a reader takes no others."""
    return passage.visible_metadata


def write_jsonl(path: str | Path, passages: Iterable[Passage]) -> int:
    """Write passages as JSONL, gzipped if the name ends in ``.gz``.

    Args:
        path: The file to write or replace; it appears once it is complete.
        passages: The passages; metadata under ``RESERVED_KEYS`` are left out, since :func:`read_jsonl` refuses them.

    Returns:
        The number of passages written.

    Raises:
        CorpusError: The file cannot be written.
    """
    return write_objects(place_of(path), map(object_of, passages))

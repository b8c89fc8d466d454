"""Parts of an encoded corpus: Parquet files of passages and vectors that record their position in the corpus."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.arguments import iterated
from dpr_rag.corpora.columnar import PART, import_pyarrow
from dpr_rag.corpora.lines import refuse_unopened
from dpr_rag.corpora.values import parsed
from dpr_rag.derived import checksum
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import CorpusError, DprRagError, PassageError
from dpr_rag.faces import ByFace, each_face, message_of
from dpr_rag.passages import SOURCE_KEY, Passage
from dpr_rag.paths import place_of, replacing, writing_to

FORM = 1
LARGEST = 1 << 32
"""Bytes of a part before compression."""
ANEW = "encode it anew: remove it and run the same command again"
_ENCODINGS, _TEXTS = {"PLAIN", "RLE", "BIT_PACKED"}, 4
_COLUMNS = ("id", "title", "text", "metadata", "vector")
_DIGITS = 8


Folders = str | Path | Iterable[str | Path]
"""Where the parts of a corpus lie: in a folder, or in several."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a part says of itself, in the metadata of the Parquet file under the key ``dpr_rag``, as JSON.

    Attributes:
        number: Of the part, from 0; together the parts are the corpus, in its order.
        passages: How many it holds.
        before: Chained checksum of all passages of the corpus before this part; 0 for the first.
        after: The same with those of this part, which is what the next one has under ``before``.
        last: Whether the corpus ends with it.
        dim: Components per vector; 0 for a part that waits for its vectors, and holds passages alone.
        fingerprint: Of the encoder, empty where nobody knows.
        source: Where the encoder's weights came from, plain text for people.
        profile: What the encoder says of how it reads, plain values, or None.
        runtime: What ran it in which numbers, for people.
        vectors: Checksum of the vectors.
        filled: Of the vectors of a store, what ran the encoder and since when; None where ``runtime`` says it.
    """

    number: int
    passages: int
    before: int
    after: int
    last: bool
    dim: int = 0
    fingerprint: str = ""
    source: str = ""
    profile: Mapping[str, Any] | None = None
    runtime: str = ""
    vectors: int = 0
    filled: Mapping[str, str] | None = None
    form: int = field(default=FORM, kw_only=True)

    @property
    def name(self) -> str:
        """The part's file."""
        return f"part-{self.number:0{_DIGITS}}.parquet"


def chained(value: int, passage: Passage) -> int:
    """Extend the chained checksum of a corpus by one passage, without its source."""
    metadata = {name: entry for name, entry in passage.metadata.items() if name != SOURCE_KEY}
    whole = [passage.id, passage.title, passage.text, metadata]
    return checksum(json.dumps(whole, separators=(",", ":"), sort_keys=True).encode(), seed=value)


def write_part(folder: Path, mark: Mark, passages: Sequence[Passage], vectors: Vectors | None) -> Path:
    """Write a part atomically under its name.

    Args:
        folder: Where the parts of the corpus lie; made where it is not there.
        mark: What it says of itself; the checksum of the vectors is put in.
        passages: In the corpus's order.
        vectors: Theirs, float32 of shape [n, dim], or None where the part waits for them.

    Raises:
        CorpusError: The folder cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = import_pyarrow("Parquet")
    texts = [
        [passage.id for passage in passages],
        [passage.title for passage in passages],
        [passage.text for passage in passages],
        [json.dumps(passage.metadata, ensure_ascii=False) for passage in passages],
    ]
    columns, sum_of_vectors = [arrow.array(column, arrow.string()) for column in texts], 0
    if vectors is not None:
        values = check_vectors(vectors, rows=len(passages), dim=mark.dim, names=[passage.id for passage in passages])
        columns.append(arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), mark.dim))
        sum_of_vectors = checksum(values)
    if sum(column.nbytes for column in columns) > LARGEST:
        raise CorpusError(
            f"{folder}: part {mark.number} would be too long to be read again; give a smaller "
            + ByFace("rows=", cli="--part-size")
        )
    record = {**asdict(mark), "vectors": sum_of_vectors}
    if mark.filled is None:
        del record["filled"]  # which earlier versions do not know
    told = json.dumps(record, sort_keys=True)
    table = arrow.table(columns, names=list(_COLUMNS[: len(columns)])).replace_schema_metadata({PART: told.encode()})
    place = folder / mark.name
    with writing_to(folder, CorpusError):
        folder.mkdir(parents=True, exist_ok=True)
    with replacing(place, CorpusError) as partial, partial.open("xb") as file:
        arrow.parquet.write_table(table, file, compression=dict.fromkeys(_COLUMNS[:4], "zstd"), use_dictionary=False)
        file.flush()
        os.fsync(file.fileno())
    return place


def read_mark(file: Path) -> Mark:
    """Read the record of a part from the file's footer.

    Raises:
        CorpusError: It is damaged, no part, or of a later version.
    """
    arrow = import_pyarrow("Parquet")
    try:
        record = (arrow.parquet.read_schema(file).metadata or {}).get(PART)
    except (arrow.ArrowException, OSError) as error:
        refuse_unopened(file, error)
        raise CorpusError(f"{file}: a damaged Parquet file ({error}); {ANEW}") from error
    if record is None:
        raise CorpusError(f"{file}: is Parquet, but no part that dpr-rag encoded; index it with: dpr-rag index {file}")
    return _mark_of(file, record)


def _mark_of(file: Path, told: bytes) -> Mark:
    try:
        values = parsed(told.decode())
        later = isinstance(values, dict) and type(values.get("form")) is int and values["form"] > FORM
        mark = None if later else Mark(**values)
        if mark is not None:
            _check(mark)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{file}: what it says of itself cannot be read ({error!s:.120}); {ANEW}") from error
    if mark is None:
        raise CorpusError(f"{file}: was written by a later version of dpr-rag; read it with that one")
    if file.name != mark.name:
        raise CorpusError(f"{file}: is part {mark.number} under the name of another one; call it {mark.name}")
    return mark


def _check(mark: Mark) -> None:
    counts = (mark.number, mark.passages, mark.before, mark.after, mark.dim, mark.vectors)
    texts = (mark.fingerprint, mark.source, mark.runtime)
    if not all(type(value) is int and 0 <= value < 1 << 64 for value in counts) or type(mark.last) is not bool:
        raise ValueError("a number is none")
    if not all(isinstance(value, str) for value in texts) or not isinstance(mark.profile, dict | None):
        raise ValueError("a text is none")
    runs = {} if mark.filled is None else mark.filled
    if not isinstance(runs, dict) or not all(isinstance(value, str) for pair in runs.items() for value in pair):
        raise ValueError("what filled the store is no text")


def is_encoded(folder: Path) -> bool:
    """Whether a folder holds parts of an encoded corpus."""
    return folder.is_dir() and any(_part_files(folder))


def _part_files(folder: Path) -> Iterator[Path]:
    return folder.glob("part-" + "[0-9]" * _DIGITS + ".parquet")


def parts_of(folders: Folders) -> list[tuple[Path, Mark]]:
    """The parts of one corpus in its order, after the proof that all are there, none twice, and all of one encoder.

    Args:
        folders: Where they lie, in one folder or in several.

    Raises:
        CorpusError: They are no folders, or hold no parts; parts are missing or doubled, or of several corpora or encoders.
    """
    given = [folders] if isinstance(folders, str | Path) else folders
    listed = iterated(
        "folders", given, "a folder of parts, or a list of them", error=CorpusError, advice="give its path"
    )
    places = [place_of(one) for one in listed]
    if not places:
        raise CorpusError("no folder of parts was given; give what dpr-rag encode or export wrote to")
    parts = sorted(
        ((file, read_mark(file)) for folder in places for file in _part_files(folder)), key=lambda pair: pair[1].number
    )
    if not parts:
        what = "holds no part-….parquet" if any(place.exists() for place in places) else "does not exist"
        raise CorpusError(f"{', '.join(map(str, places))}: {what}; write parts with: dpr-rag encode")
    for (earlier, previous), (later, following) in pairwise(parts):
        if previous.number == following.number:
            raise CorpusError(f"{earlier} and {later} are the same part of the corpus; remove one of them")
    _refuse_missing(places[0], parts)
    for (earlier, previous), (later, following) in pairwise(parts):
        if previous.after != following.before or previous.last:
            raise CorpusError(
                f"{later} does not follow {earlier}: they were encoded from corpora that differ; encode one of them anew"
            )
        if (previous.fingerprint, previous.dim) != (following.fingerprint, following.dim):
            raise CorpusError(
                f"{later} is of the encoder {following.fingerprint!r}, {earlier} of {previous.fingerprint!r}; encode all with one"
            )
    return parts


def _refuse_missing(place: Path, parts: Sequence[tuple[Path, Mark]]) -> None:
    there = {mark.number for _, mark in parts}
    last = parts[-1][1].number
    lost = last + 1 - len(there)
    missing = list(islice((number for number in range(last) if number not in there), 5)) if lost else []
    end = "" if parts[-1][1].last else f"{' and ' if lost else ''}what comes after part {parts[-1][1].number}"
    if not lost and not end:
        return
    named = ", ".join(map(str, missing)) + (" …" if lost > 5 else "")
    told = f"part{'' if lost == 1 else 's'} {named}" if lost else ""
    raise CorpusError(
        f"{place}: lacks {told}{end} of the corpus, so that passages would be missing; "
        + ByFace(
            "encode it again with the same arguments, and every shard of it, and give all folders",
            cli="run dpr-rag encode again with the same arguments, and every --shard of it, and give all folders",
        )
    )


def read_part(file: Path) -> tuple[list[Passage], Vectors]:
    """Read a part, and verify its checksums.

    Args:
        file: The part.

    Returns:
        Passages, and their vectors of shape [n, dim]; [n, 0] where it waits for them.

    Raises:
        CorpusError: It is damaged.
        MissingExtraError: pyarrow is not installed.
    """
    mark = read_mark(file)
    arrow = import_pyarrow("Parquet")
    try:
        with arrow.parquet.ParquetFile(file) as opened:
            _refuse_large(opened.metadata, mark)
            table = opened.read(columns=list(_COLUMNS if mark.dim else _COLUMNS[:4]))
        passages = [_passage(*row) for row in zip(*(table.column(at).to_pylist() for at in range(4)), strict=True)]
        vectors = (
            _vectors(table.column(4), len(passages), mark.dim) if mark.dim else np.empty((len(passages), 0), np.float32)
        )
    except (arrow.ArrowException, OSError, ValueError, TypeError, AttributeError, LookupError, DprRagError) as error:
        refuse_unopened(file, error)
        why = each_face(lambda text: f"{text:.120}", message_of(error))
        raise CorpusError(f"{file}: is damaged (" + why + f"); {ANEW}") from error
    after = mark.before
    for passage in passages:
        after = chained(after, passage)
    if (after, len(passages), checksum(vectors) if mark.dim else 0) != (mark.after, mark.passages, mark.vectors):
        raise CorpusError(f"{file}: holds other passages or vectors than were written to it; {ANEW}")
    return passages, vectors


def _vectors(column: Any, rows: int, dim: int) -> Vectors:
    numbers = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return check_vectors(numbers.reshape(rows, dim), rows=rows, dim=dim)


def _refuse_large(metadata: Any, mark: Mark) -> None:
    """Refuse a file that would expand beyond memory, larger or encoded otherwise than parts are."""
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns)
    # of every string four bytes say how long it is
    if size > LARGEST or metadata.num_rows != mark.passages or 4 * _TEXTS * mark.passages > size:
        raise ValueError("it is longer than parts are, or than it says")
    if not all({*column.encodings} <= _ENCODINGS for column in columns):
        raise ValueError("it is written in another way than parts are")


def _passage(name: Any, title: Any, text: Any, metadata: Any) -> Passage:
    fields = parsed(metadata)
    if not isinstance(fields, dict):
        raise PassageError(f"metadata is {metadata!r:.60}, expected an object")
    return Passage(id=name, title=title, text=text, metadata=fields)

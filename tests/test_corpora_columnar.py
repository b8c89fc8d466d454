"""Columns of Arrow's types in Parquet and Arrow files: names that come twice, and values that neither Python nor JSON has."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpr_rag.corpora import LeftOut, SkipReport, open_corpus, read_vectors
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

pa = pytest.importorskip("pyarrow")


def as_parquet(folder: Path, table: Any) -> Path:
    from pyarrow import parquet

    parquet.write_table(table, folder / "p.parquet")
    return folder / "p.parquet"


def as_arrow(folder: Path, table: Any) -> Path:
    with pa.OSFile(str(folder / "p.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return folder / "p.arrow"


written = pytest.mark.parametrize("write", [as_parquet, as_arrow])
Write = Callable[[Path, Any], Path]


def of(more: Any) -> Any:
    return pa.table({"id": ["1", "2"], "text": ["a", "b"], "more": more})


@written
@pytest.mark.parametrize("twice", ["year", "text"])
def test_a_column_twice_is_refused(tmp_path: Path, write: Write, twice: str) -> None:
    path = write(tmp_path, pa.table([["1"], ["a"], ["b"], ["c"]], names=["id", "text", twice, twice]))
    with pytest.raises(CorpusError, match=rf"p\.\w+: the header id, text, .* names the column '{twice}' twice"):
        list(open_corpus(path))


def test_vectors_beside_a_column_twice_are_refused(tmp_path: Path) -> None:
    column = pa.array([[1.0, 2.0]])
    path = as_parquet(tmp_path, pa.table([["1"], column, column], names=["id", "vector", "vector"]))
    for read in (read_vectors, open_corpus):
        with pytest.raises(
            CorpusError, match=r"p\.parquet: the header id, vector, vector names the column 'vector' twice"
        ):
            list(read(path))


@written
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (pa.array([0, 5_000_000], pa.int32()).cast(pa.date32()), "date value out of range"),
        (pa.array([0, -(10**14)], pa.timestamp("ms")), "out of range"),
        (pa.array([0, 2**62], pa.duration("ms")), "C int|days"),
        (pa.array([[0], [5_000_000]], pa.list_(pa.int32())).cast(pa.list_(pa.date32())), "date value out of range"),
    ],
    ids=["date", "timestamp", "duration", "in a list"],
)
def test_a_time_that_python_has_no_value_for_is_an_error_of_its_row(
    tmp_path: Path, write: Write, more: Any, said: str
) -> None:
    path, report = write(tmp_path, of(more)), SkipReport()
    with pytest.raises(
        CorpusError, match=rf"p\.\w+: row 2: the column 'more' \(.*{said}.*; write it anew, a time as text"
    ):
        list(open_corpus(path))
    assert [one.id for one in open_corpus(path, on_bad=report)] == ["1"]
    assert report.count == 1


@written
def test_times_in_a_zone_that_is_unknown_here_are_errors_of_their_rows(tmp_path: Path, write: Write) -> None:
    path, report = write(tmp_path, of(pa.array([None, 7], pa.timestamp("us", "Mars/Phobos")))), SkipReport()
    assert list(open_corpus(path, on_bad=report)) == [Passage("1", "a", "", {"more": None})]
    assert "row 2: the column 'more' (timestamp[us, tz=Mars/Phobos]) holds what cannot be read" in report.examples[0]


@written
def test_a_map_is_an_object(tmp_path: Path, write: Write) -> None:
    days = pa.map_(pa.string(), pa.date32())
    day = datetime.date(1601, 1, 2)
    path = write(tmp_path, of(pa.array([[("first", day), ("last", None)], None], days)))
    assert [one.metadata for one in open_corpus(path)] == [
        {"more": {"first": "1601-01-02", "last": None}},
        {"more": None},
    ]


@written
def test_a_uuid_is_an_id(tmp_path: Path, write: Write) -> None:
    name = uuid.UUID(int=7)
    table = pa.table({"id": pa.array([name.bytes], pa.uuid()), "text": ["a"]})
    assert list(open_corpus(write(tmp_path, table))) == [Passage(str(name), "a")]
    vectors = as_parquet(tmp_path, pa.table({"id": table["id"], "vector": pa.array([[1.0, 2.0]])}))
    assert [names for names, _ in read_vectors(vectors)] == [[str(name)]]


@written
@pytest.mark.parametrize(
    "more",
    [pa.array([b"\xff", None]).dictionary_encode(), pa.array([b"\xff", None], pa.binary_view())],
    ids=["dictionary", "view"],
)
def test_bytes_of_every_layout_are_left_out(tmp_path: Path, write: Write, more: Any) -> None:
    path, left_out = write(tmp_path, of(more)), LeftOut()
    assert list(open_corpus(path, left_out=left_out)) == [Passage("1", "a"), Passage("2", "b")]
    assert left_out == {f"column more ({more.type!s:.60})": 1}

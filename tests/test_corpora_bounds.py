"""Small files that would unpack, or be read, without end are refused by name; files of the field's sizes stream."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dpr_rag.corpora import Columns, SkipReport, gzipped, open_corpus, read_csv, read_json, read_jsonl, read_tsv
from dpr_rag.corpora import lines as reading
from dpr_rag.errors import CorpusError

MIB = 1 << 20
RECORD = b'{"id": "%d", "text": "%s"}'


def bomb(path: Path, head: bytes, fill: bytes, mib: int) -> Path:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head), *(packer.compress(fill * MIB) for _ in range(mib)), packer.flush()]
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("a.tsv.gz", b"id\ttext\n1\t", r"a\.tsv\.gz:2: the line is longer than 64 MiB"),
        ("a.csv.gz", b"id,text\n1,", r"a\.csv\.gz:2: the line is longer than 64 MiB"),
        ("a.jsonl.gz", b'{"id": "1", "text": "', r"a\.jsonl\.gz:1: the line is longer than 64 MiB"),
        ("a.json.gz", b'[{"id": "1", "text": "', r"a\.json\.gz:1: the record that starts here is longer than 64 MiB"),
        ("a.txt", b"", r"a\.txt:1: the line is longer than 64 MiB"),
    ],
)
def test_a_line_without_end_takes_no_more_memory_than_the_longest_line(
    tmp_path: Path, name: str, head: bytes, said: str
) -> None:
    path = bomb(tmp_path / name, head, b"a", 450)
    assert path.stat().st_size < MIB
    tracemalloc.start()
    try:
        with pytest.raises(CorpusError, match=said):
            list(open_corpus(path))
        assert tracemalloc.get_traced_memory()[1] < 400 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "head", "fill"), [("a.jsonl.gz", b"", b"\n"), ("a.tsv.gz", b"", b"\n"), ("a.json.gz", b"[", b" \n")]
)
def test_what_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, name: str, head: bytes, fill: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzipped, "ALWAYS", 4 * MIB)
    path = bomb(tmp_path / name, head, fill, 8)
    size = path.stat().st_size
    with pytest.raises(CorpusError, match=rf"{name}: its {size:,} bytes unpack to more than 4,194,304.*gunzip"):
        list(open_corpus(path))


def test_text_of_any_size_that_packs_as_text_does_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipped, "ALWAYS", 1000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(RECORD % (at, b"words of a text, " * 20) for at in range(2000))))
    assert sum(1 for _ in read_jsonl(path)) == 2000


def test_a_line_of_the_greatest_length_is_read_and_one_of_a_byte_more_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(RECORD % (1, b"a" * 50) + b"\n" + RECORD % (2, b"a" * 50) + b"\n")
    longest = len(RECORD % (1, b"a" * 50)) + 1
    monkeypatch.setattr(reading, "LONGEST", longest)
    assert [passage.id for passage in read_jsonl(path)] == ["1", "2"]
    monkeypatch.setattr(reading, "LONGEST", longest - 1)
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: the line is longer than"):
        list(read_jsonl(path))


@pytest.mark.timeout(240)
def test_a_table_of_a_hundred_thousand_columns_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    more = [f"c{at}" for at in range(100_000)]
    path.write_text(",".join(["ID", "Text", *more]) + "\n" + ",".join(["1", "words", *more]) + "\n")
    (passage,) = read_csv(path)
    assert (passage.id, passage.text, passage.metadata["c99999"]) == ("1", "words", "c99999")


@pytest.mark.parametrize("read", [read_jsonl, read_json])
@pytest.mark.parametrize(
    ("record", "key"),
    [
        ('{"id": "1", "text": "one", "text": "two"}', "text"),
        ('{"id": "1", "text": "one", "metadata": {"year": 1, "lang": "en", "year": 2}}', "year"),
        ('{"id": "1", "text": "one", "tags": [{"a": 1, "a": 1}]}', "a"),
    ],
)
def test_a_key_twice_in_one_object_is_named_with_its_line(
    tmp_path: Path, read: Callable[..., object], record: str, key: str
) -> None:
    good = '{"id": "2", "text": "good"}'
    for name, content in (("a.jsonl", f"{good}\n{record}\n"), ("a.json", f"[{good},\n{record}]\n")):
        path = tmp_path / name
        path.write_text(content)
        if read is read_jsonl and name == "a.json":
            continue
        with pytest.raises(CorpusError, match=rf"{name}:2: the key '{key}' stands twice in one object; keep one"):
            list(read(path))  # type: ignore[call-overload]
        report = SkipReport()
        assert [one.id for one in read(path, on_bad=report)] == ["2"]  # type: ignore[attr-defined]
        assert report.count == 1


def test_a_column_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id\ttext\tyear\tyear\n1\ta\t1\t2\n")
    with pytest.raises(CorpusError, match=r"names the column 'year' twice"):
        list(read_tsv(path, columns=Columns()))


def test_parquet_strings_that_are_no_utf_8_are_an_error_of_their_row(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ends = pa.py_buffer((0).to_bytes(4, "little") + (2).to_bytes(4, "little"))
    text = pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(b"\xff\xfe")])
    parquet.write_table(pa.table({"id": pa.array(["1"]), "text": text}), tmp_path / "a.parquet")
    with pytest.raises(
        CorpusError, match=r"a\.parquet: row 1: the column 'text' \(string\) holds what cannot be read.*utf-8"
    ):
        list(open_corpus(tmp_path / "a.parquet"))

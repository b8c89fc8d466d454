"""What was gzipped, or written in another encoding, is called what it is, whatever reads it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dpr_rag.corpora import open_corpus
from dpr_rag.errors import UnreadableError

LINE = "A hive has one queen.\n"


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", ["txt", "md", "csv", "tsv", "jsonl", "json"])
@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-16", "UTF-16"), ("utf-32", "UTF-32")]
)
def test_wide_text_is_named_with_and_without_a_mark(tmp_path: Path, ending: str, encoding: str, said: str) -> None:
    path = write(tmp_path, f"bees.{ending}", LINE.encode(encoding))
    with pytest.raises(UnreadableError, match=rf"bees\.{ending}: is {said} text; convert it to UTF-8"):
        list(open_corpus(path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["bees.html", "bees.html.gz"])
def test_web_pages_are_read_in_wide_encodings(tmp_path: Path, encoding: str, name: str) -> None:
    data = f"<title>Bees</title><p>{LINE}".encode(encoding)
    if name.endswith(".gz") and encoding != "utf-8-sig":
        with pytest.raises(UnreadableError, match="text that was gzipped; unpack it with gunzip"):
            list(open_corpus(write(tmp_path, name, gzip.compress(data))))
        return
    path = write(tmp_path, name, gzip.compress(data) if name.endswith(".gz") else data)
    assert [(one.title, one.text) for one in open_corpus(path)] == [("Bees", LINE.strip())]


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("bees.txt.gz", LINE, "bees"),
        ("bees.TXT.GZ", LINE, "bees"),
        ("bees.md.gz", f"# Of bees\n{LINE}", "Of bees"),
        ("bees.html.gz", f"<h1>Of bees</h1><script>x</script><p>{LINE}", "Of bees"),
        ("bees.html", f"<h1>Of bees</h1><p>{LINE}", "Of bees"),
    ],
)
def test_gzipped_texts_are_read_as_what_was_packed(tmp_path: Path, name: str, data: str, title: str) -> None:
    (passage,) = open_corpus(write(tmp_path, name, gzip.compress(data.encode())))
    assert passage.title == title
    assert passage.text.endswith(LINE.strip())
    assert "<" not in passage.text
    assert passage.id == f"{name}#1"


@pytest.mark.parametrize(
    ("name", "inside", "said"),
    [
        ("bees.pdf.gz", b"%PDF-1.4\n%%EOF", "documents are not read packed"),
        ("bees.docx.gz", b"PK\x03\x04", "documents are not read packed"),
        ("bees.txt.gz", b"%PDF-1.4\n%%EOF", "is a PDF document that was gzipped"),
        ("bees.csv.gz", b"PK\x03\x04", "that was gzipped"),
        ("bees.jsonl.gz", gzip.compress(b"{}", mtime=0), "is a gzipped file that was gzipped"),
        ("bees.csv.gz", LINE.encode("utf-16"), "is UTF-16 text that was gzipped"),
    ],
)
def test_what_was_gzipped_and_is_no_text_is_refused(tmp_path: Path, name: str, inside: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=rf"{said}.*; unpack it with gunzip, and give that file"):
        list(open_corpus(write(tmp_path, name, gzip.compress(inside))))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04....", "is a zip archive"),
        (gzip.compress(b"<p>" + LINE.encode(), mtime=0)[:15], "are damaged or end early"),
    ],
)
def test_a_web_page_that_is_none_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=rf"bees\.html: .*{said}"):
        list(open_corpus(write(tmp_path, "bees.html", data)))

"""Columns and keys of passages as others write them: found by their usual names, or named by the user; never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpr_rag.corpora import Columns, LeftOut, SkipReport, open_corpus, read_tsv
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

PLAYS = [Passage("d1", "A tragedy about a prince.", "Hamlet"), Passage("d2", "A scholar, a bargain.", "Faust")]


def file(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def table(header: str, order: str, *, delimiter: str = "\t") -> str:
    rows = [[getattr(one, {"i": "id", "x": "text", "t": "title"}[at]) for at in order] for one in PLAYS]
    cells = [header.split(), *rows]
    return "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in cells) + "\n"


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("docid title text", "itx"),
        ("Id Title Text", "itx"),
        ("ID Text Title", "ixt"),
        ("pid passage title", "ixt"),
        ("title body doc_id", "txi"),
        ("_id contents TITLE", "ixt"),
        ("Passage-ID Text Title", "ixt"),
        ('"id" "text" "title"', "ixt"),
    ],
)
@pytest.mark.parametrize(("name", "delimiter"), [("p.tsv", "\t"), ("p.csv", ","), ("p.csv", ";"), ("p.csv", "\t")])
def test_headers_are_recognised_in_any_spelling_and_order(
    tmp_path: Path, header: str, order: str, name: str, delimiter: str
) -> None:
    assert list(open_corpus(file(tmp_path / name, table(header, order, delimiter=delimiter)))) == PLAYS


@pytest.mark.parametrize("header", ["name\tvalue\tz", "Name\tDescription", "uid\tlong text\tname", "编号\t标题\t正文"])
def test_a_first_line_of_short_words_is_not_taken_for_a_passage(tmp_path: Path, header: str) -> None:
    path = file(tmp_path / "p.tsv", f"{header}\nd1\t" + "\t".join(["a text"] * header.count("\t")) + "\n")
    with pytest.raises(CorpusError, match=r"p\.tsv:1: .*looks like a header") as caught:
        list(open_corpus(path))
    for part in (header.split("\t")[0], "columns=Columns(", "put the header id, text, title above"):
        assert part in str(caught.value)


def test_columns_that_are_named_make_the_rest_metadata(tmp_path: Path) -> None:
    path = file(tmp_path / "p.tsv", "name\tvalue\tz\tyear\nd1\tA tragedy.\tHamlet\t1601\n")
    named = Columns(id="name", text="value", title="z")
    assert list(open_corpus(path, columns=named)) == [Passage("d1", "A tragedy.", "Hamlet", {"year": "1601"})]
    assert list(open_corpus(path, columns=Columns(id="NAME", text="value"))) == [
        Passage("d1", "A tragedy.", "", {"z": "Hamlet", "year": "1601"})
    ]


def test_a_named_column_goes_before_a_usual_one(tmp_path: Path) -> None:
    path = file(tmp_path / "p.csv", "id,text,body,title\nd1,short,A long body.,T\n")
    assert list(open_corpus(path, columns=Columns(text="body"))) == [
        Passage("d1", "A long body.", "T", {"text": "short"})
    ]


def test_a_named_column_that_is_missing_or_named_twice_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path / "p.csv", "id,text\nd1,a\n")
    with pytest.raises(CorpusError, match=r"p\.csv:1: there is no column 'body', only id, text"):
        list(open_corpus(path, columns=Columns(text="body")))
    with pytest.raises(CorpusError, match="'text' is named for two"):
        Columns(text="text", title="text")
    rows = file(tmp_path / "p.jsonl", '{"id": "1", "text": "a"}\n')
    with pytest.raises(CorpusError, match=r"p\.jsonl:1: there is no key 'body', only id, text"):
        list(open_corpus(rows, columns=Columns(text="body")))


def test_columns_of_a_table_without_a_header_are_named_by_number(tmp_path: Path) -> None:
    path = file(tmp_path / "docs.tsv", "D1\thttp://a\tHamlet\tA tragedy.\nD2\thttp://b\tFaust\tA bargain.\n")
    found = list(open_corpus(path, columns=Columns(id="1", title="3", text="4")))
    assert found == [
        Passage("D1", "A tragedy.", "Hamlet", {"column 2": "http://a"}),
        Passage("D2", "A bargain.", "Faust", {"column 2": "http://b"}),
    ]
    with pytest.raises(CorpusError, match=r"docs\.tsv:1: there is no column '5', only 4 columns"):
        list(open_corpus(path, columns=Columns(id="1", text="5")))
    with pytest.raises(CorpusError, match=r"docs\.tsv:1: 4 columns and no header"):
        list(open_corpus(path))


def test_numbers_of_columns_under_a_header_do_not_make_it_a_passage(tmp_path: Path) -> None:
    path = file(tmp_path / "p.csv", "sep=;\nid;body;text;n\n1;long;short;7\n")
    found = list(open_corpus(path, columns=Columns(id="1", text="2")))
    assert found == [Passage("1", "long", "", {"text": "short", "n": "7"})]
    with pytest.raises(CorpusError, match=r"q\.tsv:1: .*looks like a header"):
        list(open_corpus(file(tmp_path / "q.tsv", "name\tvalue\n1\tx\n"), columns=Columns(id="1", text="2")))


def test_ms_marco_has_two_columns_and_no_header(tmp_path: Path) -> None:
    path = file(tmp_path / "collection.tsv", '0\tThe presence of minds.\n1\t"A lone mark.\n2\tA "second" one.\n')
    expected = [Passage("0", "The presence of minds."), Passage("1", '"A lone mark.'), Passage("2", 'A "second" one.')]
    assert list(open_corpus(path)) == expected
    assert list(open_corpus(file(tmp_path / "collection", path.read_bytes()))) == expected
    other = file(tmp_path / "c.tsv", '0\t"A lone mark.\n1\tAnother.\n')
    assert list(read_tsv(other)) == [Passage("0", '"A lone mark.'), Passage("1", "Another.")]


def test_a_first_passage_of_several_lines_keeps_its_three_columns(tmp_path: Path) -> None:
    path = file(tmp_path / "p.tsv", '1\t"two\nlines"\tT\n2\tx\tU\n')
    assert list(read_tsv(path)) == [Passage("1", "two\nlines", "T"), Passage("2", "x", "U")]


def test_short_passages_with_numbers_for_ids_need_no_header(tmp_path: Path) -> None:
    assert list(read_tsv(file(tmp_path / "p.tsv", "doc-1\ta\tT\n"))) == [Passage("doc-1", "a", "T")]
    assert list(read_tsv(file(tmp_path / "q.tsv", "one\tA whole sentence.\tT\n"))) == [
        Passage("one", "A whole sentence.", "T")
    ]


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    data = '\ufeffurl;Text;ID;year;Title\r\nhttp://a;"two\r\nlines; ""quoted""";d1;1601;Hamlet\r\n;short;d2;;\r\n'
    assert list(open_corpus(file(tmp_path / "p.csv", data))) == [
        Passage("d1", 'two\r\nlines; "quoted"', "Hamlet", {"url": "http://a", "year": "1601"}),
        Passage("d2", "short", "", {"url": "", "year": ""}),
    ]


def test_bad_rows_of_csv_are_named(tmp_path: Path) -> None:
    path = file(tmp_path / "p.csv", 'id,text\n1,fine\n2,a, b\n3,"open\n4,fine\n')
    report = SkipReport()
    assert [one.id for one in open_corpus(path, on_bad=report)] == ["1", "4"]
    assert [one.split(": ")[0] for one in report.examples] == [f"{path}:3", f"{path}:4"]
    assert "3 columns, expected 2: id, text, with ',' between" in report.examples[0]
    lacking = file(tmp_path / "q.csv", "Text,Title\na,b\n")
    with pytest.raises(CorpusError, match=r"q\.csv:1: no column of Text, Title is known for the id"):
        list(open_corpus(lacking))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"id": "doc1", "contents": "Hamlet\nA tragedy."}, Passage("doc1", "Hamlet\nA tragedy.")),
        ({"docid": 7, "title": "Hamlet", "text": "A tragedy."}, Passage("7", "A tragedy.", "Hamlet")),
        ({"passage_id": "p", "passage": "A tragedy."}, Passage("p", "A tragedy.")),
        ({"ID": "p", "Text": "A", "Title": "T", "n": 1}, Passage("p", "A", "T", {"n": 1})),
        ({"id": "a", "docid": "b", "text": "x", "body": "y"}, Passage("a", "x", "", {"docid": "b", "body": "y"})),
    ],
)
def test_json_of_pyserini_tevatron_and_others(tmp_path: Path, line: dict[str, object], expected: Passage) -> None:
    assert list(open_corpus(file(tmp_path / "p.jsonl", json.dumps(line)))) == [expected]
    for name in ("p.json", "passages"):
        assert list(open_corpus(file(tmp_path / name, json.dumps([line, line], indent=1)))) == [expected, expected]


def test_keys_that_are_not_known_are_named(tmp_path: Path) -> None:
    path = file(tmp_path / "p.jsonl", '{"key": "1", "content_en": "a"}\n')
    with pytest.raises(CorpusError, match=r"p\.jsonl:1: no key of content_en, key is known for the id") as caught:
        list(open_corpus(path))
    assert "docid" in str(caught.value)
    assert "columns=Columns(id=…)" in str(caught.value)
    named = Columns(id="key", text="content_en")
    assert list(open_corpus(path, columns=named)) == [Passage("1", "a")]
    array = file(tmp_path / "p.json", '[\n{"id": "1", "text": "a"},\n{"id": "2"}\n]')
    with pytest.raises(CorpusError, match=r"p\.json:3: no key of id is known for the text"):
        list(open_corpus(array))


def test_columns_belong_to_tables_and_json(tmp_path: Path) -> None:
    path = file(tmp_path / "a.txt", "words")
    with pytest.raises(CorpusError, match=r"a\.txt: .*text has no columns"):
        list(open_corpus(path, columns=Columns(id="x")))


def test_parquet_columns_are_found_by_their_usual_names(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"docid": [1, 2], "Text": ["a", "b"], "Title": ["T", None], "year": [1601, None], "tags": [["x"], []]}
    parquet.write_table(pa.table(rows), tmp_path / "p.parquet")
    expected = [
        Passage("1", "a", "T", {"year": 1601, "tags": ["x"]}),
        Passage("2", "b", "", {"year": None, "tags": []}),
    ]
    assert list(open_corpus(tmp_path / "p.parquet")) == expected
    (tmp_path / "p.parquet").rename(tmp_path / "passages")
    assert list(open_corpus(tmp_path / "passages")) == expected
    (tmp_path / "passages").write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(CorpusError, match="passages: is no Parquet"):
        list(open_corpus(tmp_path / "passages"))


def test_bad_rows_of_parquet_are_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"id": ["1", "", "3"], "text": ["a", "b", None]}), tmp_path / "p.parquet")
    report, left_out = SkipReport(), LeftOut()
    assert list(open_corpus(tmp_path / "p.parquet", on_bad=report, left_out=left_out)) == [Passage("1", "a")]
    assert left_out == {"passage without text and title": 1}
    assert report.examples[0].startswith(f"{tmp_path / 'p.parquet'}: row 2: ")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\x03\x04", "zip.*unpack it first, or let a Word document's name end in .docx"),
        (b"\x28\xb5\x2f\xfd", "Zstandard.*with unzstd; only gzip is read packed"),
        (b"\xfd7zXZ\x00", "xz.*with unxz"),
        (b"BZh91AY", "bzip2.*with bunzip2"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip.*with 7z x"),
        (b"\x04\x22\x4d\x18", "LZ4.*with unlz4"),
        (b"\xd0\xcf\x11\xe0", "Office document"),
        (b"\xff\xfei\x00d\x00", "UTF-16"),
        (b"%PDF-1.7", "PDF.*a name that ends in .pdf"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
@pytest.mark.parametrize("name", ["p.jsonl", "p.tsv", "p.json", "p.csv", "p.txt", "p.jsonl.zst", "p"])
def test_packed_and_foreign_files_are_called_what_they_are(tmp_path: Path, head: bytes, said: str, name: str) -> None:
    with pytest.raises(CorpusError, match=rf"{name}.*{said}"):
        list(open_corpus(file(tmp_path / name, head + b"\x00\xffrest\n")))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.jsonl", '{"_id": "1", "title": "Hamlet", "text": ""}\n{"_id": "2", "text": "x"}\n{"_id": "3", "text": ""}'),
        (
            "p.json",
            '[{"_id": "1", "title": "Hamlet", "text": null}, {"_id": "2", "text": "x"}, {"_id": 3, "text": ""}]',
        ),
        ("p.tsv", "id\ttext\ttitle\n1\t\tHamlet\n2\tx\t\n3\t\t\n"),
        ("p.csv", "title,text,id\nHamlet,,1\n,x,2\n,,3\n"),
    ],
)
def test_a_title_alone_is_text_and_an_empty_record_is_counted(
    tmp_path: Path, name: str, data: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, left_out = file(tmp_path / name, data), LeftOut()
    assert list(open_corpus(path, left_out=left_out)) == [Passage("1", "Hamlet"), Passage("2", "x")]
    assert left_out == {"passage without text and title": 1}
    assert caplog.text == ""
    assert len(list(open_corpus(path))) == 2
    assert f"{path}: left out 1 passage without text and title" in caplog.text

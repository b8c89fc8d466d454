"""Quotation marks in tables: quoting where they enclose a field, text where they do not, and never merged rows."""

from __future__ import annotations

import csv
import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag.arguments import is_blank
from dpr_rag.corpora import Judgement, Question, SkipReport, read_qrels, read_questions, read_tsv, write_tsv
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

HEADER = "id\ttext\ttitle\n"
BARE = st.text('" a,.', min_size=1, max_size=8).filter(str.strip)
CHECKED = settings(max_examples=200)


def file(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path, data: str, **options) -> list[tuple[str, str, str]]:
    return [(item.id, item.text, item.title) for item in read_tsv(file(path, data), **options)]


def test_marks_that_enclose_no_whole_field_are_text(tmp_path: Path) -> None:
    rows = [
        ("1", "The first passage.", "One"),
        ("2", '"An unbalanced quote starts here.', "Two"),
        ("3", "The third passage.", "Three"),
        ("4", 'Fourth "quoted" passage.', "Four"),
        ("5", 'The fifth says "yes" twice, "yes".', "Five"),
        ("6", '"Yes" and "no"', '"Heroes" (album)'),
        ("7", '""Yes" he said"', 'The 12" single'),
        ("8", '"', '"""'),
    ]
    data = HEADER + "".join("\t".join(row) + "\n" for row in rows)
    assert read(tmp_path / "raw.tsv", data) == rows
    assert read(tmp_path / "crlf.tsv", data.replace("\n", "\r\n")) == rows
    assert read(tmp_path / "bare.tsv", data.removeprefix(HEADER)) == rows
    assert read(tmp_path / "cut.tsv", data.removesuffix("\n")) == rows
    packed = tmp_path / "raw.tsv.gz"
    packed.write_bytes(gzip.compress(data.encode()))
    assert [(item.id, item.text, item.title) for item in read_tsv(packed)] == rows


@CHECKED
@given(st.lists(st.tuples(st.text("12a", min_size=1, max_size=2), BARE, BARE), min_size=1, max_size=5))
def test_raw_rows_are_read_as_they_stand_or_named(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    """No row of a raw table is ever lost in another one: it is there, or an error names its line."""

    def enclosed(field: str) -> str:
        inner = field[1:-1]
        whole = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
        return inner.replace('""', '"') if whole else field

    report = SkipReport(keep=10)
    found = read(tmp_path / "raw.tsv", HEADER + "".join("\t".join(row) + "\n" for row in rows), on_bad=report)
    named = {int(example.split(":")[1]) for example in report.examples}
    read_ones = [tuple(map(enclosed, row)) for line, row in enumerate(rows, 2) if line not in named]
    # a title alone is text, and white space is none
    parts = [(one, title, "") if is_blank(text) else (one, text, title) for one, text, title in read_ones]
    assert found == [part for part in parts if not is_blank(part[1])]


def test_a_quoted_field_over_lines_that_look_like_rows_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    data = HEADER + '1\tfine\tOne\n2\t"Unbalanced.\tTwo\n3\tThird.\tThree\n4\tends with a "mark"\tFour\n5\tfine\tFive\n'
    assert len(read(tmp_path / "text.tsv", data)) == 5  # the mark before "mark" shows that nothing was quoted
    data = data.replace('"mark"', 'mark"')
    path = file(tmp_path / "p.tsv", data)
    with pytest.raises(
        CorpusError, match=r"p\.tsv:3: a quotation mark opens a field that would end on line 5"
    ) as caught:
        list(read_tsv(path))
    assert "in quotes" in str(caught.value)
    report = SkipReport()
    found = [(item.id, item.text) for item in read_tsv(path, on_bad=report)]
    assert found == [("1", "fine"), ("3", "Third."), ("4", 'ends with a mark"'), ("5", "fine")]
    assert report.count == 1


@pytest.mark.parametrize(
    "data",
    [
        HEADER + '2\t"Unbalanced\tTwo\n\n3\tends so"\tThree\n',
        HEADER + '2\t"Unbalanced\tTwo\n3\tbroken\n4\tends so"\tFour\n',
        HEADER + '2\t"Broken\n3\tends so"\tThree\n',
        HEADER + '2\tTwo.\t"Title\n3\tThree.\tends so"\n',
        'title\tid\ttext\n"Title\t2\tTwo.\nends so"\t3\tThree.\n',
        HEADER + '1\t"\ta\n2\t"\ta\n',
        'id\ttext\n2\t"Unbalanced\n3\tends so"\n',
        HEADER + '2\t"Unbalanced ""double"".\tTwo\r\n3\tends so"\tThree\r\n',
    ],
)
def test_rows_are_never_merged_in_silence(tmp_path: Path, data: str) -> None:
    first = 2
    with pytest.raises(CorpusError, match=rf"p\.tsv:{first}: a quotation mark opens a field"):
        read(tmp_path / "p.tsv", data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEADER + '1\t"two\nlines"\tT\n', ("1", "two\nlines", "T")),
        (HEADER + '1\ttext\t"two\nlines"\n', ("1", "text", "two\nlines")),
        (HEADER + '"1\n2"\ttext\tT\n', ("1\n2", "text", "T")),
        ('id\ttitle\ttext\n1\tcode\t"def f():\n\treturn 1"\n', ("1", "def f():\n\treturn 1", "code")),
        ('id\ttext\n1\t"def f():\n\treturn 1"\n', ("1", "def f():\n\treturn 1", "")),
        (HEADER + '1\t"a\tb\t\n\nc"\tT\n', ("1", "a\tb\t\n\nc", "T")),
        (HEADER + '1\t"He said ""no""\r\ntwice"\tT\r\n', ("1", 'He said "no"\r\ntwice', "T")),
        (HEADER + '"1"\t"a\tb\tc\nd\te\tf"\t"T"\n', ("1", "a\tb\tc\nd\te\tf", "T")),
        (HEADER + '1\t"a\tb"\tT\n', ("1", "a\tb", "T")),
        (HEADER + '1\t"a\tb"\n', ("1", '"a', 'b"')),
    ],
)
def test_fields_in_quotes(tmp_path: Path, data: str, expected: tuple[str, str, str]) -> None:
    assert read(tmp_path / "p.tsv", data + data.splitlines(keepends=True)[0] + data.split("\n", 1)[1]) == [expected] * 2


@CHECKED
@given(st.lists(st.tuples(*[st.text('"\t\n ab', min_size=1, max_size=8)] * 3), min_size=1, max_size=4))
def test_tables_in_sparing_quotes_are_read_as_csv_reads_them_or_named(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    """``csv`` quotes only where it must, which can look like rows; then the line is named, and nothing else changes."""
    path = tmp_path / "p.tsv"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        for row in [("id", "text", "title"), *rows]:
            writer.writerow(row)
    report = SkipReport()
    found = [(item.id, item.text, item.title) for item in read_tsv(path, on_bad=report)]
    # a passage without text is its title, and without both it is left out
    kept = [(name, text, title) if text.strip() else (name, title, "") for name, text, title in rows]
    assert found == [row for row in kept if row[1].strip()] or "look like rows" in report.examples[0]


def test_what_the_writer_writes_is_never_taken_for_rows(tmp_path: Path) -> None:
    passages = [Passage("1", "a\tb\tc\n2\td\te\n3\tf\tg", "T"), Passage("2", '"\n1\t"', "4\t5\t6\n7\t8\t9")]
    write_tsv(tmp_path / "p.tsv", passages)
    assert list(read_tsv(tmp_path / "p.tsv")) == passages
    with (tmp_path / "p.tsv").open(encoding="utf-8", newline="") as back:
        assert [row[1] for row in csv.reader(back, delimiter="\t")] == ["text", *(item.text for item in passages)]


def test_damage_behind_an_open_quote_is_not_taken_for_the_end(tmp_path: Path) -> None:
    rows = "".join(f"{n}\tpassage {n * 7919}\tT\n" for n in range(2, 5000))
    data = gzip.compress((HEADER + '1\t"open\tT\n' + rows).encode())
    path = file(tmp_path / "p.tsv.gz", data[: len(data) * 3 // 4])
    seen = []
    with pytest.raises(CorpusError, match="damaged or end early"):
        seen.extend(item.id for item in read_tsv(path, on_bad=SkipReport()))
    path = file(tmp_path / "short.tsv.gz", data[:400])
    with pytest.raises(CorpusError, match="damaged or end early"):
        list(read_tsv(path, on_bad=SkipReport()))


def test_unbalanced_marks_in_every_row_cost_no_time(tmp_path: Path) -> None:
    rows = "".join(f'{n}\t"open {n} ""x\tT\n' for n in range(20_000))
    start = time.process_time()
    assert len(read(tmp_path / "p.tsv", HEADER + rows)) == 20_000
    assert time.process_time() - start < 30  # 0.3 s where it was measured


def test_judgements_and_questions_keep_their_rows(tmp_path: Path) -> None:
    path = file(tmp_path / "q.tsv", 'query-id\tcorpus-id\tscore\n"a\tb\t1\nc\td"\t0\n')
    assert list(read_qrels(path)) == [Judgement('"a', "b", 1), Judgement("c", 'd"', 0)]
    path = file(tmp_path / "nq.qa.csv", '"who said\t[\'a\']\nwho said "so"\t[\'b\']\n"whole ""so"""\t[\'c\']\n')
    assert [(one.question, one.answers) for one in read_questions(path)] == [
        ('"who said', ("a",)),
        ('who said "so"', ("b",)),
        ('whole "so"', ("c",)),
    ]


def test_headers_in_quotes(tmp_path: Path) -> None:
    path = file(tmp_path / "q.csv", '"notes, remarks","Question",answers\n"a, b",who?,x|y\n')
    assert list(read_questions(path)) == [Question("2", "who?", ("x", "y"))]
    table = file(tmp_path / "p.tsv", '"id"\t"a ""b"""\t"text"\n1\tx\ty\n')
    assert list(read_tsv(table)) == [Passage("1", "y", "", {'a "b"': "x"})]


def test_an_unclosed_mark_of_a_spreadsheet_costs_one_row(tmp_path: Path) -> None:
    data = (
        "question,answers\n"
        '"Who wrote Hamlet?,Shakespeare\n'
        "Who wrote Faust?,Goethe\n"
        'Who said "veni"?,Caesar\n'
        '"Here is context, a long one.\nWho wrote Emma?",Austen\n'
        '"Who, then?","the ""Bard"""\n'
    )
    path = file(tmp_path / "q.csv", data)
    with pytest.raises(CorpusError, match=r"q\.csv:2: .*quot"):
        list(read_questions(path))
    report = SkipReport()
    assert list(read_questions(path, on_bad=report)) == [
        Question("3", "Who wrote Faust?", ("Goethe",)),
        Question("4", 'Who said "veni"?', ("Caesar",)),
        Question("5", "Here is context, a long one.\nWho wrote Emma?", ("Austen",)),
        Question("7", "Who, then?", ('the "Bard"',)),
    ]
    assert report.count == 1
    merged = file(tmp_path / "m.csv", 'question,answers\n"Who wrote Hamlet?,Shakespeare\nWho wrote Faust?",Goethe\n')
    with pytest.raises(CorpusError, match=r"m\.csv:2: a quotation mark opens a field"):
        list(read_questions(merged))

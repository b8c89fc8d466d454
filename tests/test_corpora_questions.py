"""Questions out of every form of file: spreadsheets, BEIR folders, JSON told by content, and DPR's."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpr_rag import Passage
from dpr_rag.arguments import is_blank
from dpr_rag.corpora import Judgement, Question, SkipReport, read_questions, write_beir
from dpr_rag.corpora.questions import qrels_of
from dpr_rag.errors import CorpusError

WORD = st.text(
    st.characters(exclude_categories=("Cs", "Z"), exclude_characters="|\0\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\ufeff\t"),
    min_size=1,
).filter(lambda text: not is_blank(text))


def file(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("q.csv", "question,answers\nwho wrote Hamlet?,William Shakespeare|Shakespeare\nwhen?,1601\n"),
        (
            "q.csv",
            b"\xef\xbb\xbfQuestion;Answers\r\nwho wrote Hamlet?;William Shakespeare | Shakespeare |\r\nwhen?;1601\r\n",
        ),
        ("q.tsv", "question\tanswers\nwho wrote Hamlet?\tWilliam Shakespeare|Shakespeare\nwhen?\t1601\n"),
        ("q.txt", '"question","answers"\n"who wrote Hamlet?","William Shakespeare|Shakespeare"\n"when?","1601"'),
        ("q.csv", "source,answers,question\nx,William Shakespeare|Shakespeare,who wrote Hamlet?\n,1601,when?\n"),
        (
            "q.csv.gz",
            gzip.compress(
                b"question,answers\nwho wrote Hamlet?,William Shakespeare|Shakespeare\nwhen?,1601\n", mtime=0
            ),
        ),
    ],
)
def test_spreadsheets(tmp_path: Path, name: str, data: str | bytes) -> None:
    assert list(read_questions(file(tmp_path / name, data))) == [
        Question("2", "who wrote Hamlet?", ("William Shakespeare", "Shakespeare")),
        Question("3", "when?", ("1601",)),
    ]


def test_spreadsheet_cells_of_several_lines_ids_and_positives(tmp_path: Path) -> None:
    data = 'id,question,positive_ids\n\nq7,"two\nlines, with a ""quote""",notes/a.md#1|notes/a.md#2\n,short row\n'
    assert list(read_questions(file(tmp_path / "q.csv", data))) == [
        Question("q7", 'two\nlines, with a "quote"', (), ("notes/a.md#1", "notes/a.md#2")),
        Question("5", "short row"),
    ]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WORD, st.lists(WORD, max_size=3)), max_size=4), st.sampled_from(",;\t"))
def test_spreadsheets_as_the_csv_module_writes_them(tmp_path: Path, rows: list, delimiter: str) -> None:
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=delimiter)
    writer.writerow(["question", "answers"])
    writer.writerows([question, "|".join(answers)] for question, answers in rows)
    read = read_questions(file(tmp_path / "q.csv", sheet.getvalue()))
    assert list(read) == [Question(str(at), one, tuple(answers)) for at, (one, answers) in enumerate(rows, 2)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"who, exactly,Shakespeare", "3 cells, expected 2"),
        (b",Shakespeare", "question is empty"),
        (b'"who" wrote,Shakespeare', "is no CSV"),
        (b"who\xff,Shakespeare", "0xff"),
    ],
)
def test_bad_spreadsheet_row(tmp_path: Path, row: bytes, said: str) -> None:
    path = file(tmp_path / "q.csv", b"question,answers\nfirst,a\n" + row + b"\nlast,b\n")
    with pytest.raises(CorpusError, match=r"q\.csv:3: .*" + said):
        list(read_questions(path))
    report = SkipReport()
    assert list(read_questions(path, on_bad=report)) == [Question("2", "first", ("a",)), Question("4", "last", ("b",))]
    assert report.count == 1


def test_spreadsheet_whose_quote_stays_open(tmp_path: Path) -> None:
    path = file(tmp_path / "q.csv", 'question,answers\nfirst,a\n"open,b\nlast,c\n')
    with pytest.raises(CorpusError, match=r"q\.csv:3: is no CSV"):
        list(read_questions(path))


def test_json_is_told_by_its_content(tmp_path: Path) -> None:
    one = {"id": "7", "question": "who, tab or not?", "answers": ["a"]}
    for data in (json.dumps(one), json.dumps([one]), json.dumps([one], indent=1)):
        assert list(read_questions(file(tmp_path / "questions", data))) == [Question("7", "who, tab or not?", ("a",))]
    row = '{who} wrote [it]\t["a"]\n[{also}]\t["b"]\n'
    assert [item.answers for item in read_questions(file(tmp_path / "questions", row))] == [("a",), ("b",)]


def test_beir_folder(tmp_path: Path) -> None:
    questions = [Question("q1", "one", ("a",), ("p1", "p2")), Question("q2", "two"), Question("q3", "three")]
    write_beir(tmp_path, [Passage("p1", "x")], questions=questions)
    assert list(read_questions(tmp_path)) == [questions[0]]
    graded = [Judgement("q2", "p1", 0), Judgement("q3", "p2", 2)]
    write_beir(tmp_path, [Passage("p1", "x")], questions=questions, splits={"dev": graded})
    assert list(read_questions(tmp_path, split="dev")) == [Question("q3", "three", (), ("p2",))]
    assert qrels_of(tmp_path) == tmp_path / "qrels" / "test.tsv"


def test_questions_left_out_of_a_beir_folder_are_counted_or_logged(tmp_path: Path, caplog) -> None:
    questions = [Question("q1", "one", ("a",), ("p1",)), Question("q2", "two"), Question("q3", "three")]
    write_beir(tmp_path, [], questions=questions, splits={"test": [Judgement("q1", "p1", 1), Judgement("q2", "p1", 0)]})
    left_out: Counter[str] = Counter()
    assert list(read_questions(tmp_path, left_out=left_out)) == [questions[0]]
    assert left_out == {"judged with 0 alone": 1, "without a judgement in qrels/test.tsv": 1}
    assert caplog.text == ""
    assert list(read_questions(tmp_path)) == [questions[0]]
    assert "left out questions: 1 judged with 0 alone, 1 without a judgement in qrels/test.tsv" in caplog.text


def test_beir_folder_without_test_split(tmp_path: Path) -> None:
    questions = [Question("q1", "one", ("a",))]
    write_beir(tmp_path, [], questions=questions, splits={})
    assert qrels_of(tmp_path) is None
    assert list(read_questions(tmp_path)) == questions
    file(tmp_path / "qrels" / "dev.tsv.gz", gzip.compress(b"query-id\tcorpus-id\tscore\nq1\tp1\t1\n"))
    assert list(read_questions(tmp_path)) == [Question("q1", "one", ("a",), ("p1",))]
    file(tmp_path / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore\n")
    with pytest.raises(CorpusError, match=r"no judgements qrels/test\.tsv; name the split: dev, train"):
        list(read_questions(tmp_path))
    with pytest.raises(CorpusError, match=r"qrels/tset\.tsv"):
        list(read_questions(tmp_path, split="tset"))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.csv: cannot be read"):
        list(read_questions(tmp_path / "none.csv"))

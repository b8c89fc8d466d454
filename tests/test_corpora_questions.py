"""Questions out of every form of file: spreadsheets, BEIR folders, JSON told by content, and DPR's."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import BadParameter

from dpr_rag import Passage
from dpr_rag.arguments import is_blank
from dpr_rag.cli.labelled import split_to_tune_on
from dpr_rag.corpora import Judgement, Question, SkipReport, read_questions, read_training, write_beir, write_questions
from dpr_rag.corpora.questions import qrels_of
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import on_face

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


@settings(max_examples=50)
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", "question,answers\rwho?,me\r"),
        ("q.csv", "question,positive_ids,answers\rwho?,1,me\r"),
        ("q.csv", 'question,id,answers\rwho?,1,"me, you"\rwhy?,2,it\r'),
        ("q.tsv", "question\tanswers\rwho?\tme\r"),
        ("topics.txt", "<top>\r<num> 1\r<title> who\r</top>\r"),
    ],
)
def test_questions_whose_lines_end_by_returns_alone_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    with pytest.raises(CorpusError, match=f"{name}:1: lines end by a carriage return alone"):
        list(read_questions(tmp_path / name))


@pytest.mark.parametrize(
    "text",
    [
        "anchor,positive,negative\rwho?,me,you\r",
        'anchor,positive,negative\rwho?,"me, too",you\r',
        "who?\tme me\tyou you\rwho?\tme me\tyou\r",
    ],
)
def test_triples_whose_lines_end_by_returns_alone_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    with pytest.raises(CorpusError, match=r"t\.csv:1: lines end by a carriage return alone"):
        list(read_training(tmp_path / "t.csv"))


def test_a_return_inside_a_question_is_text(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_bytes(b"1\twho\rasks?\n2\twho answers?\n")
    assert [one.question for one in read_questions(tmp_path / "q.tsv")] == ["who\rasks?", "who answers?"]
    (tmp_path / "one.tsv").write_bytes(b"who\rasks?\t['a']\n")
    assert [one.question for one in read_questions(tmp_path / "one.tsv")] == ["who\rasks?"]


def test_a_column_that_is_read_may_not_come_twice(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("question,answers,Question\nwho?,me,other\n")
    with pytest.raises(CorpusError, match=r"q\.csv:1: the header names the column 'question' twice; rename one"):
        list(read_questions(path))
    path.write_text("note,question,answers,note\n1,who?,me,2\n")  # nothing is read of these
    assert [one.answers for one in read_questions(path)] == [("me",)]
    path.write_text("anchor,positive,negative,anchor\na,b,c,d\n")
    with pytest.raises(CorpusError, match="names the column 'anchor' twice"):
        list(read_training(path))


@pytest.mark.parametrize(
    ("read", "record"),
    [
        (read_questions, '{"question": "q", "answers": ["%s"]}'),
        (read_questions, '{"question": "q", "answer": "%s"}'),
        (read_questions, '{"question": "q", "positive_ids": ["%s"]}'),
        (read_questions, '{"question": "q", "id": "%s"}'),
        (read_questions, '{"question": "q", "answer": {"value": "%s", "aliases": []}}'),
        (read_training, '{"question": "q", "answers": ["%s"], "positive_ctxs": [{"text": "t"}]}'),
        (read_training, '{"question": "q", "answers": [], "positive_ctxs": [{"text": "%s"}]}'),
        (read_training, '{"question": "q", "answers": [], "positive_ctxs": [{"text": "t", "title": "%s"}]}'),
        (read_training, '{"query": "q", "pos": ["t"], "neg": ["%s"]}'),
    ],
)
def test_what_is_no_text_is_named_by_its_line(tmp_path: Path, read: Callable[..., Any], record: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(record % "a" + "\n" + record % r"a\ud800" + "\n")
    report = SkipReport()
    assert len(list(read(path, on_bad=report))) == 1
    assert "q.jsonl:2: " in report.examples[0]
    assert "lone surrogate" in report.examples[0]


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.csv", "q.jsonl.gz"])
def test_what_is_no_text_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorpusError, match=rf"{name}: is not written, as .*\\ud800' holds a lone surrogate"):
        write_questions(tmp_path / name, [Question("1", "who?", ("me \ud800",))])
    assert list(tmp_path.iterdir()) == []


def test_questions_without_ids_on_one_line_have_different_numbers(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(
        '[{"question": "a"}, {"question": "b"},\n{"question": "c"},\n\n\n{"question": "d"}]', "utf-8"
    )
    assert [(one.id, one.question) for one in read_questions(tmp_path / "q.json")] == [
        ("1", "a"),
        ("2", "b"),
        ("3", "c"),
        ("5", "d"),
    ]


def test_hidden_files_are_no_splits_of_a_beir_folder(tmp_path: Path) -> None:
    """As macOS leaves beside each file where it copies to a foreign disk."""
    write_beir(tmp_path, [], questions=[Question("q1", "a")], splits={"dev": [Judgement("q1", "p1", 1)]})
    (tmp_path / "qrels" / "._dev.tsv").write_bytes(b"\0\5\26\7")
    assert [question.positive_ids for question in read_questions(tmp_path)] == [("p1",)]
    assert split_to_tune_on(tmp_path, None) == "dev"
    (tmp_path / "qrels" / "dev.tsv").rename(tmp_path / "qrels" / ".train.tsv")
    with pytest.raises(BadParameter, match="has the splits none"):
        split_to_tune_on(tmp_path, None)


@pytest.mark.parametrize("split", [None, "test"])
def test_judgements_of_a_beir_folder_under_another_ending_are_named(tmp_path: Path, split: str | None) -> None:
    write_beir(tmp_path, [], questions=[Question("q1", "a")], splits={"test": [Judgement("q1", "p1", 1)]})
    (tmp_path / "qrels" / "test.tsv").rename(tmp_path / "qrels" / "test.txt")
    with pytest.raises(CorpusError) as raised:
        list(read_questions(tmp_path, split=split))
    said = f"{tmp_path / 'qrels'}: holds test.txt, expected judgements as test.tsv; write them so, or "
    assert on_face(raised.value, "cli") == said + "name their file with --qrels"
    assert str(raised.value) == said + "pass qrels="
    assert [one.id for one in read_questions(tmp_path, qrels=tmp_path / "qrels" / "test.txt")] == ["q1"]


def test_judgements_of_a_beir_folder_that_may_not_be_listed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_beir(tmp_path, [], questions=[Question("q1", "a")], splits={"test": [Judgement("q1", "p1", 1)]})

    def refused(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(UnreadableError, match=r"qrels: cannot be listed \(Permission denied\); check its rights"):
        list(read_questions(tmp_path))

"""Files that others joined by ``cat``, with a header or a byte order mark in the middle, or whose lines end as on old Macs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr_rag.corpora import Judgement, open_corpus, read_qrels, read_questions
from dpr_rag.errors import CorpusError
from dpr_rag.evaluation import read_run
from dpr_rag.passages import Passage
from dpr_rag.training import read_samples

MARK = "\ufeff"


def joined(path: Path, *parts: str, mark: str = MARK) -> Path:
    path.write_bytes("".join(mark + part for part in parts).encode())
    return path


@pytest.mark.parametrize("header", ["id\ttext\ttitle\n", ""])
def test_a_mark_in_the_middle_of_a_table_is_no_part_of_an_id(header: str, tmp_path: Path) -> None:
    parts = f"{header}1\tone\tA\n", f"{header}2\ttwo\tB\n"
    assert list(open_corpus(joined(tmp_path / "p.tsv", *parts))) == [Passage("1", "one", "A"), Passage("2", "two", "B")]


def test_a_mark_inside_a_quoted_field_stays(tmp_path: Path) -> None:
    path = joined(tmp_path / "p.csv", f'id,text\n"1","one\n{MARK}two"\n')
    assert list(open_corpus(path)) == [Passage("1", f"one\n{MARK}two")]


def test_a_mark_in_the_middle_of_lines_of_json(tmp_path: Path) -> None:
    path = joined(tmp_path / "p.jsonl", '{"id": "1", "text": "one"}\n', '{"id": "2", "text": "two"}\n')
    assert [passage.id for passage in open_corpus(path)] == ["1", "2"]


@pytest.mark.parametrize("line", ["{} 0 d1 1\n", "{}\td1\t1\n"], ids=["TREC", "BEIR"])
def test_a_mark_in_the_middle_of_judgements(line: str, tmp_path: Path) -> None:
    path = joined(tmp_path / "qrels.tsv", line.format("q1"), line.format("q2"))
    assert list(read_qrels(path)) == [Judgement("q1", "d1", 1), Judgement("q2", "d1", 1)]


def test_a_mark_in_the_middle_of_a_run(tmp_path: Path) -> None:
    path = joined(tmp_path / "run.trec", "q1 Q0 d1 1 2.5 x\n", "q2 Q0 d1 1 2.5 x\n")
    assert set(read_run(path).found) == {"q1", "q2"}


def test_a_mark_in_the_middle_of_ids_and_questions(tmp_path: Path) -> None:
    path = joined(tmp_path / "queries.tsv", "1\twho was it?\n", "2\twhat was it?\n")
    assert [question.id for question in read_questions(path)] == ["1", "2"]


@pytest.mark.parametrize("mark", ["", MARK], ids=["bare", "with marks"])
def test_a_repeated_header_is_no_question(mark: str, tmp_path: Path) -> None:
    path = joined(tmp_path / "q.csv", "question,answers\nwho?,a\n", "question,answers\nwhat?,b\n", mark=mark)
    assert [question.question for question in read_questions(path)] == ["who?", "what?"]


@pytest.mark.parametrize("mark", ["", MARK], ids=["bare", "with marks"])
def test_a_repeated_header_is_no_sample(mark: str, tmp_path: Path) -> None:
    header = "query\tpositive\tnegative\n"
    path = joined(tmp_path / "t.tsv", f"{header}who?\ta b\tc d\n", f"{header}what?\te f\tg h\n", mark=mark)
    assert [sample.question for sample in read_samples(path)[0]] == ["who?", "what?"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.tsv", "id\ttext\ttitle\ra\tone\tA\rb\ttwo\tB\r"),
        ("p.tsv", "1\tone\r2\ttwo\r"),
        ("p.tsv", "id\ttext\ttitle\ra\tone\tA\nb\ttwo\tB\n"),
        ("p.csv", "id,text\ra,one\rb,two\r"),
    ],
    ids=["header", "bare", "header of another file", "CSV"],
)
def test_lines_that_end_by_a_carriage_return_alone_are_refused(name: str, data: str, tmp_path: Path) -> None:
    """The first would be a header without rows, the second one passage, and the third would lack its first."""
    (tmp_path / name).write_bytes(data.encode())
    with pytest.raises(CorpusError, match=r":1: lines end by a carriage return alone"):
        list(open_corpus(tmp_path / name))


def test_a_carriage_return_inside_a_text_stays(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_bytes(b"1\tone\rmore\tA\n2\ttwo\tB\n")
    assert [passage.text for passage in open_corpus(path)] == ["one\rmore", "two"]

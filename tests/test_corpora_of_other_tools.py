"""Files as other tools write them: runs and judgements of ranx and trec_eval, triplets with other keys."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from dpr_rag.corpora import read_qrels
from dpr_rag.corpora.nested import read_nested
from dpr_rag.corpora.qrels import Judgement
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.evaluation import read_run
from dpr_rag.training import read_samples


def written(path: Path, content: str) -> Path:
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    return path


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_run_by_question_and_passage(name: str, indent: int | None, tmp_path: Path) -> None:
    """ranx's form, pytrec_eval's, and that of BEIR's results."""
    content = json.dumps({"q1": {"d1": 1, "d3": 0.5, "d2": 7.25}, "q2": {"d9": -1.0}}, indent=indent)
    run = read_run(written(tmp_path / name, content))
    assert run.bare
    assert not run.by_question
    found = {question: [(hit.passage.id, hit.score, hit.rank) for hit in hits] for question, hits in run.found.items()}
    assert found == {"q1": [("d2", 7.25, 1), ("d1", 1.0, 2), ("d3", 0.5, 3)], "q2": [("d9", -1.0, 1)]}


@pytest.mark.parametrize("indent", [None, 4])
def test_judgements_by_question_and_passage(indent: int | None, tmp_path: Path) -> None:
    content = json.dumps({"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 2}}, indent=indent)
    found = list(read_qrels(written(tmp_path / "qrels.json", content)))
    assert found == [Judgement("q1", "d1", 1), Judgement("q1", "d2", 0), Judgement("q2", "d2", 2)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"q1": {"d1": "1"}}', r"'q1' has '1' for 'd1', expected a number"),
        ('{"q1": {"d1": 1}, "q2": [1]}', r"'q2' has \[1\], expected an object of numbers"),
        ('{"q1": {"d1": 1}', r"run\.json: is not JSON .*write it anew"),
        ('{"q1": {"d1": NaN}}', "expected|not JSON"),
    ],
)
def test_what_is_no_such_object_is_named(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=said):
        read_run(written(tmp_path / "run.json", content))


def test_grades_are_integers(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"the score is 0\.5, expected an integer"):
        list(read_qrels(written(tmp_path / "qrels.json", '{"q1": {"d1": 0.5}}')))


def test_a_time_is_no_grade(tmp_path: Path) -> None:
    """Measures count the passages of each grade up to the highest: they took gigabytes, or the process, or said 0."""
    row = "q1\td1\t1700000000\n"
    with pytest.raises(
        CorpusError, match=r"qrels\.tsv:2: the score is 1700000000, expected an integer of at most 999,999"
    ):
        list(read_qrels(written(tmp_path / "qrels.tsv", "query-id\tcorpus-id\tscore\n" + row)))
    with pytest.raises(CorpusError, match=r"qrels\.json: the score is -4611686018427387904, expected an integer"):
        list(read_qrels(written(tmp_path / "qrels.json", '{"q1": {"d1": -4611686018427387904}}')))
    for grade in (10**20, 1.0, "1"):
        with pytest.raises(CorpusError, match=r"the score is .*, expected an integer"):
            Judgement("q1", "d1", grade)
    numpys = Judgement("q1", "d1", np.int64(2))
    assert numpys == Judgement("q1", "d1", 2)
    assert type(numpys.relevance) is int


def test_comments_are_passed_over_as_in_trec_eval(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "run", "# made today\nq1 Q0 d#1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\n"))
    assert [hit.passage.id for hit in run.found["q1"]] == ["d#1", "d2"]
    found = list(read_qrels(written(tmp_path / "qrels", "# made today\nq1 0 d#1 1\n# and\nq1 0 d2 0\n")))
    assert found == [Judgement("q1", "d#1", 1), Judgement("q1", "d2", 0)]


def test_a_table_of_measures_is_no_run(tmp_path: Path) -> None:
    """What trec_eval prints has three columns, as MS MARCO's runs have, whose last is a rank."""
    with pytest.raises(CorpusError, match=r"run:1: the rank is '0\.0848', expected an integer from 1"):
        read_run(written(tmp_path / "run", "ndcg_cut_5  all 0.0848\n"))
    assert read_run(written(tmp_path / "ms", "q1\td2\t2\nq1\td1\t1\n")).found["q1"][0].passage.id == "d1"


@pytest.mark.parametrize("key", ["hard_negative", "hard_negatives"])
def test_hard_negatives_of_triplets(key: str, tmp_path: Path) -> None:
    line = json.dumps({"query": "who wrote hamlet", "positive": "shakespeare did", key: ["goethe did"]})
    samples, report = read_samples(written(tmp_path / "t.jsonl", line + "\n"))
    assert [one.text for one in samples[0].hard_negatives] == ["goethe did"]
    assert (report.without_hard_negatives, report.unread) == (0, ())


def test_a_pipe_of_judgements_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """What is looked at first would be gone, and a line cut there could still be a judgement."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="is a pipe"):
        list(read_qrels(tmp_path / "pipe"))


def test_errors_of_such_a_file_name_it_once(tmp_path: Path) -> None:
    (tmp_path / "run.json.gz").write_bytes(gzip.compress(json.dumps({"q": {"p": 1.5}}).encode())[:-9])
    (tmp_path / "latin.json").write_bytes(b'{"q": {"\xe9": 1}}')
    (tmp_path / "list.json").write_text("[1]")
    wanted = {
        "run.json.gz": (CorpusError, "gzip"),
        "latin.json": (CorpusError, "is not UTF-8"),
        "list.json": (CorpusError, r"holds list \[1\], expected an object"),
        "none.json": (UnreadableError, "cannot be read"),
    }
    for name, (kind, text) in wanted.items():
        with pytest.raises(kind, match=text) as caught:
            list(read_nested(tmp_path / name))
        assert str(caught.value).count(str(tmp_path / name)) == 1

"""FiD's files, with scores or without: their passages are a corpus, and what was retrieved is a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpr_rag.corpora import Columns, LeftOut, SkipReport, open_corpus, read_questions, read_results
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

HAMLET = {"id": "1", "title": "Hamlet", "text": "A tragedy."}
FAUST = {"id": 2, "title": "Faust", "text": "A play.", "year": 1808}
FID = [
    {"question": "who wrote Hamlet", "answers": ["Shakespeare"], "target": "Shakespeare", "ctxs": [HAMLET, FAUST]},
    {"question": "who wrote Faust", "answers": ["Goethe"], "ctxs": [{**FAUST, "score": "7.5", "has_answer": False}]},
]


def fid(path: Path, items: list[object]) -> Path:
    lines = [json.dumps(item) for item in items]
    path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]", "utf-8")
    return path


@pytest.mark.parametrize("name", ["fid.json", "fid.jsonl", "fid"])
def test_passages_of_fid_are_a_corpus(tmp_path: Path, name: str) -> None:
    faust = Passage("2", "A play.", "Faust", {"year": 1808})
    assert list(open_corpus(fid(tmp_path / name, FID))) == [Passage("1", "A tragedy.", "Hamlet"), faust, faust]


def test_questions_of_fid_are_read(tmp_path: Path) -> None:
    found = list(read_questions(fid(tmp_path / "fid.json", FID)))
    assert [(one.question, one.answers) for one in found] == [
        ("who wrote Hamlet", ("Shakespeare",)),
        ("who wrote Faust", ("Goethe",)),
    ]


def test_without_scores_the_order_ranks(tmp_path: Path) -> None:
    first, second = read_results(fid(tmp_path / "fid.json", FID))
    assert [(hit.passage.id, hit.score, hit.rank) for hit in first.hits] == [("1", -1.0, 1), ("2", -2.0, 2)]
    assert [(hit.score, hit.rank) for hit in second.hits] == [(7.5, 1)]


def test_some_scores_are_a_mistake(tmp_path: Path) -> None:
    item = {"question": "q", "ctxs": [{**HAMLET, "score": 1}, FAUST]}
    with pytest.raises(CorpusError, match=r"fid\.json:1: the score is None, expected a finite number"):
        list(read_results(fid(tmp_path / "fid.json", [item])))


def test_bad_passages_of_fid_are_named(tmp_path: Path) -> None:
    bad = [
        {"question": "q", "ctxs": [HAMLET, {"title": "x", "text": "y"}]},
        {"question": "q", "ctxs": [3]},
        {"question": "q", "ctxs": 3},
        {"question": "q", "ctxs": [{"id": "4", "text": ""}]},
    ]
    report, left_out = SkipReport(), LeftOut()
    path = fid(tmp_path / "fid.jsonl", [*FID, *bad])
    assert [one.id for one in open_corpus(path, on_bad=report, left_out=left_out)] == ["1", "2", "2"]
    assert left_out == {"passage without text and title": 1}
    assert [one.removeprefix(str(path)).partition(";")[0] for one in report.examples] == [
        ":3: passage 2 of ctxs: no key of text, title is known for the id "
        "(id, _id, pid, docid, doc_id, docno, passage_id, psg_id)",
        ":4: passage 1 of ctxs is 3, expected an object with id, title and text",
        ":5: ctxs is 3, expected a list of objects with id, title and text",
    ]


def test_other_names_of_keys_are_given(tmp_path: Path) -> None:
    path = fid(tmp_path / "fid.json", [{"question": "q", "ctxs": [{"key": "1", "words": "x"}]}])
    assert list(open_corpus(path, columns=Columns(id="key", text="words"))) == [Passage("1", "x")]

"""`ask`: an answer in the words of a passage, or that there is none, wherever the store lies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from readers import trained_reader
from serving import TOKEN, service_on
from tiny import TinyEncoder
from typer.testing import CliRunner

from dpr_rag import Hit, Passage, PassageStore, Ranking, Reader
from dpr_rag.answer import Answer
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.cli.asking import _around
from dpr_rag.reading import reader as reading
from dpr_rag.reading.answering import likeliest

TEXTS = {"p1": ("king", "is a king of the hamlet"), "p2": ("denmark", "the a is it"), "p3": ("king", "the of is it")}
HTTP = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_reader(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("s") / "kings.dpr", encoder=TinyEncoder("tiny")) as store:
        store.add(
            [Passage(name, text, title, {"year": 1600 + at}) for at, (name, (title, text)) in enumerate(TEXTS.items())]
        )
        yield store


@pytest.fixture(params=["folder", "milvus+lite", "http"])
def address(request: pytest.FixtureRequest, folder: PassageStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    place = request.getfixturevalue("tmp_path")
    if request.param == "folder":
        yield str(folder.path)
    elif request.param == "http":
        sync = httpx.HTTPTransport
        with service_on(place / "s", {"kings": folder}, token=TOKEN) as uds:
            monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
            monkeypatch.setenv("DPR_RAG_TOKEN", TOKEN)
            yield HTTP
    else:
        pytest.importorskip("milvus_lite")
        told = f"milvus+lite:{place / 'kings.db'}"
        assert run("copy", folder.path, told)[0] == 0
        yield told


def run(*args: object, lines: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["ask" if args[0] != "copy" else "copy", *map(str, args[args[0] == "copy" :])], lines
    )
    return done.exit_code, done.output


def records(*args: object, lines: str | None = None) -> list[dict]:
    code, told = run(*args, "--json", lines=lines)
    assert code == 0, told
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


def test_an_answer_comes_with_its_passage_wherever_that_lies(address: str, reader: Path) -> None:
    code, told = run(address, "who is king", "--reader", reader)
    assert code == 0, told
    answer, title, text = (line for line in told.splitlines() if line.startswith("  "))
    probability = records(address, "who is king", "--reader", reader)[0]["answer"]["probability"]
    assert answer.strip() == f"king  ({probability:.0%})"
    assert (title.strip(), text.strip()) == ("king  [p1]", "is a king of the hamlet")
    assert 0.9 < probability < 1


def test_the_record_holds_answer_passage_and_hits(folder: PassageStore, reader: Path) -> None:
    (found,) = records(folder.path, "who is king", "--reader", reader, "-k", 2, "--rerank-weight", 1)
    assert found["question"] == "who is king"
    with folder.restricted({"year": {"$gte": 1600}}) as whole:
        hits = whole.rank(["who is king"], 3)[0]
    again = Reader.from_pretrained(reader).rerank("who is king", hits)
    best = again[0].answer
    assert found["answer"] == {"text": "king", "start": 5, "end": 9, "probability": pytest.approx(best.probability)}
    assert {name: found["passage"][name] for name in ("id", "title", "text", "metadata")} == {
        "id": "p1",
        "title": "king",
        "text": "is a king of the hamlet",
        "metadata": {"year": 1600},
    }
    assert [hit["id"] for hit in found["hits"]] == [hit.passage.id for hit in again[:2]]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit.score for hit in again[:2]], abs=1e-4)
    assert found["passage"] == found["hits"][0]
    assert "answer" not in found["hits"][1]


def test_where_no_passage_holds_an_answer_it_says_so(address: str, reader: Path) -> None:
    where = ("--filter", '{"year": {"$gte": 1601}}')
    (found,) = records(address, "who is king", "--reader", reader, *where, "-k", 1)
    assert (found["answer"], found["passage"], len(found["hits"])) == (None, None, 1)
    code, told = run(address, "who is king", "--reader", reader, *where)
    assert code == 0
    assert "The passages hold no answer to “who is king”. The nearest:" in told
    assert "denmark  [p2]" in told
    assert "king  [p3]" in told
    code, told = run(address, "who is king", "--reader", reader, "--filter", '{"year": 1}')
    assert "The passages hold no answer to “who is king”." in told
    assert "nearest" not in told


def test_answers_that_are_not_likely_enough_are_none(folder: PassageStore, reader: Path) -> None:
    asked = (folder.path, "who is king", "--reader", reader)
    assert records(*asked, "--certainty", 1)[0]["answer"] is None
    assert records(*asked, "--certainty", 0)[0]["answer"]["text"] == "king"
    hits = [
        Hit(Passage(str(at), "text"), 1.0, at, answer=None if chance is None else Answer("text", 0, 4, chance))
        for at, chance in enumerate([None, 0.2, 0.4, 0.4], 1)
    ]
    assert likeliest(hits, 0.3) == likeliest(hits, 0.4) == hits[2]
    assert likeliest(hits, 0.5) is likeliest(hits[:1], 0.0) is likeliest([], 0.0) is None


def test_only_the_first_passages_are_read(folder: PassageStore, reader: Path) -> None:
    asked = (folder.path, "the king of hamlet is it a", "--reader", reader, "--certainty", 0)
    (found,) = records(*asked, "--mode", "bm25", "--filter", '{"year": {"$gte": 1601}}', "--rerank", 1)
    with PassageStore.open(folder.path) as store:
        wanted = store.rank(["the king of hamlet is it a"], 3, {"year": {"$gte": 1601}}, ranking=Ranking("bm25"))[0]
    assert [(hit["id"], hit["retrieved"]) for hit in found["hits"]] == [(hit.passage.id, hit.score) for hit in wanted]
    assert all("answer" not in hit for hit in found["hits"][1:])
    assert run(*asked, "--rerank", 0)[0] == 2


def test_many_questions_come_from_a_pipe(folder: PassageStore, reader: Path) -> None:
    found = records(folder.path, "-", "--reader", reader, lines="who is king\n\nwho is denmark\n")
    assert [(one["question"], (one["answer"] or {}).get("text")) for one in found] == [
        ("who is king", "king"),
        ("who is denmark", None),
    ]


def test_without_a_reader_it_says_how_to_name_one(
    folder: PassageStore, reader: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reading, "_DEFAULT", tmp_path / "none")
    code, told = run(folder.path, "who is king")
    assert code == 1
    assert "no reader comes with this version of dpr-rag; name one with --reader, such as DPR's" in told
    assert "Reader.from_pretrained" not in told
    monkeypatch.setattr(reading, "_DEFAULT", reader)  # as if one came with the package
    assert records(folder.path, "who is king")[0]["answer"]["text"] == "king"
    assert Reader.default().source == "dpr-rag-reader-v1"
    code, told = run(folder.path, "who is king", "--reader", tmp_path / "start")
    assert code == 1
    assert run(folder.path)[0] == 2


def test_a_service_that_reads_nothing_needs_a_reader_here(
    folder: PassageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sync = httpx.HTTPTransport
    with service_on(tmp_path / "s", {"kings": folder}) as uds:
        monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
        code, told = run(HTTP, "who is king")
    assert (code, "reads no passages; name a reader with --reader, or serve with --rerank" in told) == (1, True)


def test_a_long_passage_is_shown_around_the_answer() -> None:
    text = "the " * 100 + "\nis a\x1b king of  the hamlet\n" + "of " * 100
    start = text.index("king")
    shown = _around(text, start, start + 4).plain.strip()
    assert re.fullmatch(r"… (the )+is a\\x1b king of the hamlet( of)+ …", shown)
    assert 380 < len(shown) < 420
    assert _around("king", 0, 4).plain.strip() == "king"
    assert _around("a\nking\n.", 2, 6).plain.strip() == "a king ."
    assert _around("the-king's", 4, 8).plain.strip() == "the-king's"
    assert _around("x" * 500, 250, 260).plain.strip() == f"… {'x' * 410} …"

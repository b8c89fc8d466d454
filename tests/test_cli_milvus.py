"""Every command with the address of a collection: it works, or says by name what it needs instead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner

pytest.importorskip("milvus_lite")

from dpr_rag import MilvusStore, Passage, PassageStore, Ranking, open_store
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.paths import name_of

WORDS = ("denmark", "scotland", "england", "verona", "venice", "egypt", "rome", "athens", "cyprus", "illyria")
GIVEN = [Passage(f"p{at}", f"a play of {WORDS[at % 10]} number{at}", "", {"n": at}) for at in range(30)]


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"milvus+lite:{tmp_path_factory.mktemp('m') / 'plays.db'}"
    with open_store(f"{address}#held"):  # so that the engine starts once
        yield address


@pytest.fixture
def collection(file: str, request: pytest.FixtureRequest) -> str:
    address = f"{file}#c{abs(hash(request.node.name))}"
    with MilvusStore.open(address, encoder=TinyEncoder("tiny")) as store:
        store.add(GIVEN)
    return address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with PassageStore.open(tmp_path_factory.mktemp("f") / "plays.dpr", encoder=TinyEncoder("tiny")) as store:
        store.add(GIVEN)
        return store.path


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


def count(address: str) -> int:
    with MilvusStore.open(address, create=False) as store:
        return store.count()


def labelled(folder: Path) -> Path:
    questions = folder / "questions.jsonl"
    asked = [{"question": f"number{at} play", "positive_ids": [f"p{at}"]} for at in range(30)]
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked))
    return questions


def test_passages_are_deleted_by_id_by_filter_and_by_file(collection: str) -> None:
    assert run("delete", collection, "p1", "nobody") == (0, "deleted 1; 29 left 1 of 2 ids are not in the store")
    assert run("delete", collection, "--filter", '{"n": {"$lt": 5}}', "--dry-run") == (
        0,
        "would delete 4 of 29 passages: p0, p2, p3, p4",
    )
    assert run("delete", collection, "--filter", '{"n": {"$lt": 5}}') == (0, "deleted 4; 25 left")
    code, told = run("delete", collection, "--file", "nowhere.txt")
    assert (code, "came from 'nowhere.txt'" in told) == (1, True)
    assert count(collection) == 25


def test_corpora_are_indexed_and_files_own_their_passages(file: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.md").write_text("A forest in England.\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.md").write_text("A castle in Denmark.\n")
    address = f"{file}#indexed"
    options = ("--index", "hnsw", "--partition-key", "n", "--quiet")
    assert (
        "added 1, replaced 0, unchanged 0" in run("index", tmp_path / "a" / "notes.md", "--store", address, *options)[1]
    )
    code, told = run("index", tmp_path / "b" / "notes.md", "--store", address, "--quiet")
    assert (code, "left out 1 passages whose ids other files have brought" in told) == (1, True)
    assert "unchanged 1" in run("index", tmp_path / "a" / "notes.md", "--store", address, "--quiet")[1]
    assert run("delete", address, "--file", tmp_path / "a" / "notes.md")[1] == "deleted 1; 0 left"
    with MilvusStore.open(address) as store:
        assert (store.info().partition_key, store.info().fingerprint) == ("n", TinyEncoder("tiny").fingerprint)


def test_parts_are_loaded_and_stores_are_merged(file: str, folder: Path, collection: str, tmp_path: Path) -> None:
    assert run("export", collection, "--out", tmp_path / "parts", "--quiet")[0] == 0
    assert (
        "loaded 30; 0 were already there; 30 in all"
        in run("load", tmp_path / "parts", "--store", f"{file}#loaded", "--quiet")[1]
    )
    code, told = run("merge", collection, folder, "--out", f"{file}#merged", "--quiet")
    assert (code, "merged 30; 30 were already there; 60 in all" in told) == (0, True)
    code, told = run("merge", collection, f"{file}#loaded", "--out", tmp_path / "merged.dpr", "--quiet")
    assert (code, "merged 30; 30 were already there; 60 in all" in told) == (0, True)
    assert count(f"{file}#loaded") == count(f"{file}#merged") == 30
    code, told = run("copy", folder, f"{file}#parted", "--partition-key", "n", "--quiet")
    assert code == 0
    assert json.loads(run("info", f"{file}#parted", "--json")[1])["partition_key"] == "n"


def test_a_collection_keeps_what_it_is_tuned_to(collection: str, folder: Path, tmp_path: Path) -> None:
    questions = labelled(tmp_path)
    code, told = run("tune", collection, questions, "--dry-run", "--quiet")
    assert (code, "the store was left as it is" in told) == (0, True)
    assert run("tune", collection, questions, "--quiet", "--json")[0] == 0
    with MilvusStore.open(collection, encoder=TinyEncoder("tiny")) as store:
        chosen = store.tuned
        assert chosen is not None
        assert (store.ranking, store.info().ranking) == (chosen.ranking, f"{chosen.ranking}, tuned on 30 questions")
        assert chosen.ranking.mode in ("bm25", "hybrid")  # each question names a word of its passage alone
        assert store.rank(["number7"], 1)[0][0].passage.id == "p7"
        with open_store(folder, encoder=TinyEncoder("tiny")) as other:
            there, here = (one.candidates(["number7"], Ranking("hybrid", candidates=5)) for one in (store, other))
            best = [[found.passages[int(row)].id for row in found.legs[0].dense.rows[:1]] for found in (there, here)]
            assert best[0] == best[1]
            assert [there.passages[int(row)].id for row in there.alone[0].rows] == ["p7"]
            assert other.tuned is None
    assert run("tune", collection, "--undo") == (0, "The store ranks by inner product again.")
    with MilvusStore.open(collection) as store:
        assert store.tuned is None


def test_negatives_are_mined(collection: str, tmp_path: Path) -> None:
    for source in ("bm25", "dense"):
        output = tmp_path / f"{source}.json"
        options = ("--store", collection, "--output", output, "--from", source, "--negatives", 3, "--quiet")
        assert "wrote 30 of 30 questions" in run("mine", labelled(tmp_path), *options)[1]
        first = json.loads(output.read_text())[0]
        assert first["positive_ctxs"][0]["passage_id"] == "p0"
        assert len(first["hard_negative_ctxs"]) == 3


@pytest.mark.enable_socket
def test_pages_and_agents_open_a_collection(collection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    pytest.importorskip("mcp")
    from dpr_rag import agents
    from dpr_rag.cli import chatting
    from dpr_rag.pages import chat, playground

    opened: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chatting, "_serve", lambda *_: None)
    monkeypatch.setattr(chat, "chat_page", lambda talk, folders: opened.append(talk.store.count()))
    monkeypatch.setattr(playground, "playground_page", lambda store: opened.append(store.count()))
    for command in ("chat", "ui"):
        code, told = run(command, collection, "--port", "0")
        assert code == 0, told
    assert opened == [30, 30]
    name = collection.rpartition("/")[2]
    assert [one.name for one in tmp_path.iterdir()] == [f"{name}.chat"]

    class Served:
        def run(self, transport: str) -> None:
            opened.append(transport)

    monkeypatch.setattr(agents, "server_for", lambda store, **_: Served())
    assert run("mcp", collection)[0] == 0
    assert opened[-1] == "stdio"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Path("/data/wiki.dpr"), "wiki.dpr"),
        (Path("/"), "/"),
        ("milvus://10.0.0.1:19530/wiki", "wiki"),
        ("milvus+lite:/data/wiki.db#plays", "wiki.db#plays"),
        ("milvus+lite:wiki.db", "wiki.db"),
    ],
)
def test_a_store_has_a_name_for_people(place: Path | str, name: str) -> None:
    assert name_of(place) == name


def test_a_collection_answers_in_a_chat(collection: str, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from dpr_rag.pages.answering import Answerer, Settings
    from dpr_rag.pages.files import Files

    with MilvusStore.open(collection, encoder=TinyEncoder("tiny")) as store:
        *_, turn = Answerer(store, None).reply("number7", [], Settings(mode="bm25"))
        assert turn.citations[0].id == "p7"
        (tmp_path / "more.md").write_text("A wood near Athens.\n")
        files = Files(store)
        *_, done = files.add_path(tmp_path / "more.md")
        assert (done.passages, done.problems, [named for _, named in files.listed()]) == (1, (), [1])
        assert files.remove(files.listed()[0][0]) == 1


@pytest.mark.parametrize(
    "args",
    [
        ("check", "{}"),
        ("optimize", "{}"),
        ("backup", "{}", "copy"),
        ("recover", "{}", "new"),
        ("reencode", "{}", "--model", "x"),
        ("restore", "copy", "{}"),
    ],
    ids=lambda args: args[0],
)
def test_what_needs_a_folder_says_so(args: tuple[str, ...]) -> None:
    code, told = run(*(one.format("milvus://host/wiki") for one in args))
    assert code == 2
    assert "done with the folder of a store; make one with: dpr-rag copy milvus://host/wiki DIR" in told
    code, told = run(*(one.format("http://host:8000") for one in args))
    assert (code, "is a service, and this is done with the folder of a store" in told) == (2, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("load", "parts", "--store", "{}", "--dtype", "float16"), "--dtype: it goes with the folder of a store"),
        (
            ("index", "corpus", "--store", "{}", "--language", "german"),
            "--language: it goes with the folder of a store",
        ),
        (("index", "corpus", "--store", "{}", "--bind"), "--bind: it goes with the folder of a store"),
        (("merge", "a.dpr", "--out", "{}", "--index", "sq8"), "index is 'sq8', expected one of auto, flat, hnsw"),
        (("copy", "a.dpr", "b.dpr", "--partition-key", "n"), "it goes with a collection of a Milvus"),
        (("load", "parts", "--store", "http://host:8000"), "name the folder or the collection behind it"),
        (("chat", "http://host:8000"), "this needs the store itself"),
        (("mcp", "http://host:8000"), "this needs the store itself"),
        (("tune", "http://host:8000", "--undo"), "this needs the store itself"),
        (("tune", "{}", "--undo", "--dry-run"), "there is no collection"),
        (("delete", "{}", "p1"), "there is no collection"),
    ],
)
def test_what_an_address_cannot_have_is_refused_by_name(args: tuple[str, ...], said: str, file: str) -> None:
    code, told = run(*(one.format(f"{file}#absent") for one in args))
    assert code in (1, 2)
    assert said in told
